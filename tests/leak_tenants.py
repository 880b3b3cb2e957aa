"""Two tenants that share a micro-VM, and every way to call their functions: see leak_guest.py."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import leak_guest
import leak_search
import pyarrow as pa
import pyarrow.compute as pc

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm import protocol
from udfvm.limits import DEFAULT_MEMORY

MEMORY = int(DEFAULT_MEMORY)
AT = {
    "kernel": protocol.KERNEL_BASE,
    "program": protocol.PROGRAM_BASE,
    "input": protocol.INPUT_BASE,
    "output": protocol.OUTPUT_BASE,
    "logged": protocol.LOGGED_OUTPUT,
    "unlogged_end": 128 << 20,
    "guard": protocol.STACK_GUARD,
    "memory_end": MEMORY,
    "pending_log": protocol.PENDING_LOG,
    "stream_reply": protocol.STREAM_REPLY,
    "fault_stack": protocol.FAULT_STACK,
}
ROWS = 12  # of a statement: the last of them are streamed
COUNT = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) "
LAST = f"CASE i WHEN {ROWS} THEN ?1 ELSE ?2 END"

Way = Callable[[bytes], str]


def program(marks: bytes, **task: Any) -> bytes:
    return json.dumps({"at": AT, **task}).encode() + b"\0" + marks


NOTHING = program(b"", do="nothing")


class Functions:
    """What a tenant has: each is a layer of its own. All are on one micro-VM."""

    def __init__(self, name: str, pool: udfvm.Pool, timeout: float) -> None:
        options: dict[str, Any] = {
            "pool": pool,
            "timeout": timeout,
            "packages": ["numpy", "pyarrow"],
            "log": "drop",
        }

        def scalar(task: bytes) -> str:
            return leak_guest.run(task) if name else ""

        def vector(tasks: pa.Array) -> pa.Array:
            return pa.array([leak_guest.run(task) for task in tasks.to_pylist()])

        def rows(task: bytes) -> Iterator[tuple[str]]:
            for number in range(200):
                yield (leak_guest.run(task) if number == 0 else "",)

        class Group:
            def __init__(self) -> None:
                self.said = ""

            def step(self, task: bytes) -> None:
                self.said = leak_guest.run(task) or self.said

            def inverse(self, task: bytes) -> None:
                pass

            def finish(self) -> str:
                return self.said

        self.scalar = udfvm.udf(scalar, name=f"scalar_{name}", **options)
        self.alone = self.scalar.with_options(name=f"alone_{name}", isolation="row")
        self.vector = udfvm.udf(
            vector,
            name=f"vector_{name}",
            vectorized=True,
            elementwise=True,
            input_types=["binary"],
            output_type="string",
            **options,
        )
        self.rows = udfvm.table_function(
            rows, name=f"rows_{name}", columns={"said": "string"}, **options
        )
        self.group = udfvm.aggregate(Group, name=f"group_{name}", output_type="string", **options)

    def all(self) -> list[Any]:
        return [self.scalar, self.alone, self.vector, self.rows, self.group]


class Ways:
    """Every way to call the functions of a tenant: from a program to what it says."""

    def __init__(self, name: str, pool: udfvm.Pool, timeout: float, haste: float) -> None:
        """``haste``: the timeout of calls that are to end by it. Functions of jailed VMs are not
        registered with Arrow, which has one function of a name, that of other VMs.
        """
        self.functions = functions = Functions(name, pool, timeout)
        self.connection = apsw.Connection(":memory:")
        hasty = functions.scalar.with_options(name=f"hasty_{name}", timeout=haste)
        hasty_rows = functions.rows.with_options(timeout=haste)
        udfvm.sqlite.register(self.connection, *functions.all(), hasty)
        self._registered = [] if pool.jail else [functions.scalar, functions.vector]
        udfvm.arrow.register(None, *self._registered)
        self.whole: dict[str, Way] = {
            "call": functions.scalar,
            "batch": lambda task: str(functions.scalar(pa.array([task, NOTHING]))[0]),
            "vectorised": lambda task: str(functions.vector(pa.array([task]))[0]),
            **{
                f"pyarrow.compute of {kind}": self._compute(function.name)
                for kind, function in zip(["scalar", "vectorised"], self._registered, strict=False)
            },
            "map": lambda task: str(self._mapped(task).column(1)[0]),
            "table": lambda task: "".join(said for (said,) in functions.rows(task)),
            "aggregate": lambda task: str(functions.group(pa.array([task]))),
            "row": self._query("SELECT scalar_{0}(?1)", name),
            "row alone": self._query("SELECT alone_{0}(?1)", name),
            "vm_map": self._query("SELECT * FROM vm_map('scalar_{0}', 'SELECT 1, ?', ?1)", name),
            "vm_table": self._query("SELECT * FROM vm_table('rows_{0}', ?1)", name),
            "vm_agg": self._query("SELECT vm_agg('group_{0}', ?1)", name),
        }
        self.hasty: dict[str, list[Way]] = {
            "call": [hasty],
            "batch": [lambda task: str(hasty(pa.array([task, NOTHING]))[0])],
            "table": [lambda task: str(list(hasty_rows(task)))],
            "row": [self._query("SELECT hasty_{0}(?1)", name)],
            "streamed rows": [self._query(COUNT + f"SELECT hasty_{{0}}({LAST}) FROM n", name)],
            "vm_map": [self._query("SELECT * FROM vm_map('hasty_{0}', 'SELECT 1, ?', ?1)", name)],
        }
        # These end with what a search would not be asked for.
        self.others: dict[str, Way] = {
            "streamed rows": self._query(COUNT + f"SELECT scalar_{{0}}({LAST}) FROM n", name),
            "window": self._query(
                COUNT + f"SELECT group_{{0}}({LAST}) OVER (ORDER BY i ROWS 2 PRECEDING) FROM n",
                name,
            ),
            "abandoned rows": self._abandoned(COUNT + f"SELECT scalar_{name}(?1) FROM n"),
            "abandoned map": self._abandoned(
                f"SELECT * FROM vm_map('scalar_{name}', '{COUNT} SELECT i, ? FROM n', ?1)"
            ),
            "abandoned table": self._abandoned(f"SELECT * FROM vm_table('rows_{name}', ?1)"),
            "closed table": self._closed_table,
            "closed map": self._closed_map,
        }

    @staticmethod
    def _compute(name: str) -> Way:
        return lambda task: str(pc.call_function(name, [pa.array([task])])[0])

    def _mapped(self, task: bytes) -> Any:
        table = pa.table({"task": [task]})
        return self.functions.scalar.map(table, threads=1, progress=False)

    def _query(self, sql: str, name: str) -> Way:
        text = sql.format(name)
        bindings = {"1": 1, "2": 2}
        count = sum(f"?{number}" in text for number in bindings)

        def all_rows(task: bytes) -> str:
            rows = self.connection.execute(text, (task, NOTHING)[:count]).fetchall()
            return "".join(row[-1] for row in rows)

        return all_rows

    def _abandoned(self, sql: str) -> Way:
        def leave(task: bytes) -> str:
            cursor = self.connection.execute(sql, (task,))
            said = str(next(cursor)[-1])
            cursor.close()
            return said

        return leave

    def _closed_table(self, task: bytes) -> str:
        rows = self.functions.rows(task)
        said = str(next(rows)[0])
        rows.close()
        return said

    def _closed_map(self, task: bytes) -> str:
        table = pa.table({"task": [task, *[NOTHING] * 50]})
        reader = self.functions.scalar.map(
            table, threads=1, progress=False, output=pa.RecordBatchReader
        )
        said = str(reader.read_next_batch().column(1)[0])
        reader.close()
        return said

    def close(self) -> None:
        udfvm.arrow.unregister(None, *self._registered)
        self.connection.close()


def source() -> str:
    """What runs in the guest, as one module: the source of a stored function."""
    texts = [Path(module.__file__).read_text() for module in (leak_search, leak_guest)]
    lines = itertools.chain.from_iterable(text.splitlines() for text in texts)
    others = "from __future__", "from leak_search", "from udfvm"
    kept = (line for line in lines if not line.startswith(others))
    text = "\n".join(kept).replace("import leak_search\n", "").replace("vars(leak_search)", "{}")
    text += f"\n\nVECTOR_COMPLETE = {protocol.VECTOR_COMPLETE}\n"
    return text + "\n\ndef stored(task: bytes) -> str:\n    return run(task)\n"


def number_ways(
    name: str, function: udfvm.ScalarFunction, haste: float
) -> dict[str, list[Callable[[int, int, int], int]]]:
    """Ways to call a function of three numbers, and the same with a short timeout."""
    connection = apsw.Connection(":memory:")
    hasty = function.with_options(name="hasty", timeout=haste)
    alone = function.with_options(name="alone", isolation="row")
    udfvm.sqlite.register(connection, function, hasty, alone)

    def query(sql: str) -> Callable[[int, int, int], int]:
        return lambda *numbers: int(connection.execute(sql, numbers).fetchall()[0][-1])

    def batch(called: udfvm.ScalarFunction) -> Callable[[int, int, int], int]:
        return lambda *numbers: int(called(*(pa.array([each]) for each in numbers))[0].as_py())

    rows = "SELECT * FROM vm_map('{}', 'SELECT 1, ?, ?, ?', ?, ?, ?)"
    row = "SELECT {}(?, ?, ?)"
    return {
        f"call of {name}": [function, hasty],
        f"batch of {name}": [batch(function), batch(hasty)],
        f"row of {name}": [query(row.format(function.name)), query(row.format("hasty"))],
        f"row alone of {name}": [query(row.format("alone")), query(row.format("hasty"))],
        f"vm_map of {name}": [query(rows.format(function.name)), query(rows.format("hasty"))],
    }
