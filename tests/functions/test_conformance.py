"""The same functions give the same in every language and by every way to call them.

The matrix is made of ``KINDS``, ``ENGINES`` and the isolations that an engine knows. A kind is
added by one entry: how to make the functions of ``SIGNATURES``, what of it a database stores, and
what the error says where ``refuse`` refuses.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import apsw
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from wit_components import list_of, option, record, simple
from wit_components import same as same_component

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm.sqlite import sealed
from udfvm.types.arrow_types import named

Row = tuple[Any, ...]

#: The functions, as ``vm_create`` takes their signatures. A null argument makes a null; ``refuse``
# fails for what is negative; ``calls`` : counts its calls; ``endless`` never returns; ``same``
# returns its argument.
SIGNATURES = {
    "weigh": "(double, int) -> double",
    "refuse": "(double) -> double",
    "calls": "(int) -> int",
    "endless": "(int) -> int",
    "same": "(json) -> json",
}
NESTED = "same"
TIMEOUTS = {"endless": 0.1}
TYPES = {
    "double": "double",
    "int": "int64",
    "json": "list<item: struct<id: int64, name: string, at: list<item: double>>>",
}

# ---- The functions in each language ----

_seen: list[int] = []


def weigh(a: float, b: int) -> float:
    return a * b + 0.5


def refuse(a: float) -> float:
    if a < 0:
        raise ValueError("refused")
    return a


def calls(x: int) -> int:
    _seen.append(x)
    return len(_seen)


def endless(x: int) -> int:
    while True:
        pass


class Item(TypedDict):
    """What ``same`` takes a list of."""

    id: int
    name: str | None
    at: list[float]


def same(x: list[Item]) -> list[Item]:
    return x


SCALAR = {function.__name__: function for function in (weigh, refuse, calls, endless, same)}
SOURCE = "_seen, Item = [], dict\n" + "\n".join(
    inspect.getsource(function) for function in SCALAR.values()
)


def _weigh_all(a: pa.Array, b: pa.Array) -> pa.Array:
    return pc.add(pc.multiply(a, pc.cast(b, pa.float64())), 0.5)


def _refuse_all(a: pa.Array) -> pa.Array:
    if pc.any(pc.less(a, 0)).as_py():
        raise ValueError("refused")
    return a


def _calls_all(x: pa.Array) -> pa.Array:
    before = len(_seen)
    _seen.extend(x.to_pylist())
    return pa.array(range(before + 1, len(_seen) + 1), pa.int64())


def _endless_all(x: pa.Array) -> pa.Array:
    while len(x):  # a vectorised function is run on no rows when it is loaded
        pass
    return x


def _same_all(x: pa.Array) -> pa.Array:
    return x


VECTORIZED = {
    "weigh": _weigh_all,
    "refuse": _refuse_all,
    "calls": _calls_all,
    "endless": _endless_all,
    "same": _same_all,
}

C = r"""
#include <udfvm.h>

UDFVM_SCALAR(weigh, f64, (f64, a), (i64, b)) { return a * (double)b + 0.5; }
UDFVM_SCALAR(refuse, f64, (f64, a))
{
    if (a < 0)
        udfvm_fail("refused");
    return a;
}
static int64_t seen;
UDFVM_SCALAR(calls, i64, (i64, x)) { (void)x; return ++seen; }
static volatile int going = 1;
UDFVM_SCALAR(endless, i64, (i64, x)) { while (going); return x; }
UDFVM_MAIN
"""

WASM = """(module
    (global $seen (mut i64) (i64.const 0))
    (func (export "weigh") (param f64 i64) (result f64)
        local.get 0 local.get 1 f64.convert_i64_s f64.mul f64.const 0.5 f64.add)
    (func $refused (export "refuse") (param f64) (result f64) local.get 0 f64.const 0 f64.lt if unreachable end local.get 0)
    (func (export "calls") (param i64) (result i64)
        global.get $seen i64.const 1 i64.add global.set $seen global.get $seen)
    (func (export "endless") (param i64) (result i64) loop br 0 end unreachable))"""

ITEM = record(id=simple("s64"), name=option(simple("string")), at=list_of(simple("f64")))
COMPONENT = same_component(
    ITEM,
    f"""
    (core module $numbers {WASM.strip().removeprefix("(module")}
    (core instance $n (instantiate $numbers))
    (func (export "weigh") (param "a" f64) (param "b" s64) (result f64) (canon lift (core func $n "weigh")))
    (func (export "refuse") (param "a" f64) (result f64) (canon lift (core func $n "refuse")))
    (func (export "calls") (param "x" s64) (result s64) (canon lift (core func $n "calls")))
    (func (export "endless") (param "x" s64) (result s64) (canon lift (core func $n "endless")))""",
)


@functools.cache
def _object(*linkage: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "gcc",
            "-O2",
            *linkage,
            "-I",
            udfvm.get_include(),
            "-x",
            "c",
            "-",
            "-o",
            f"{folder}/f",
        ]
        subprocess.run(command, input=C, text=True, check=True)
        return Path(folder, "f").read_bytes()


SHARED = functools.partial(_object, "-shared", "-fPIC")
STATIC = functools.partial(_object, "-static")


def _native(made: Callable[[], bytes], function: str, **options: Any) -> udfvm.ScalarFunction:
    with tempfile.NamedTemporaryFile() as file:
        file.write(made())
        file.flush()
        return udfvm.from_elf(file.name, function, **options)


def _vectorized(function: str, **options: Any) -> udfvm.ScalarFunction:
    arguments, result = _types(function)
    return udfvm.udf(
        VECTORIZED[function], vectorized=True, input_types=arguments, output_type=result, **options
    )


def _types(function: str) -> tuple[list[str], str]:
    arguments, _, result = SIGNATURES[function].partition(" -> ")
    return [TYPES[word] for word in arguments.strip("()").split(", ")], TYPES[result]


class Kind(NamedTuple):
    """A way to write functions."""

    name: str
    make: Callable[..., udfvm.ScalarFunction]  # (function, name=, isolation=, timeout=)
    stored: (
        tuple[str, Callable[[], str | bytes]] | None
    )  # kind and source for vm_create, where a database may hold such functions
    refusal: str  # what the error of `refuse` says
    by_row: bool = (
        True  # takes a row at a time, so SQL has a function for it, and errors name the row
    )
    nests: bool = True  # takes lists and structs

    @property
    def functions(self) -> list[str]:
        """Those that it can have."""
        return [name for name in SIGNATURES if self.nests or name != NESTED]


TRAP = "Trap: wasm `unreachable` instruction executed"
KINDS = [
    Kind(
        "python",
        lambda function, **options: udfvm.udf(SCALAR[function], **options),
        ("python", lambda: SOURCE),
        "ValueError: refused",
    ),
    Kind("vectorized", _vectorized, None, "ValueError: refused", by_row=False),
    Kind(
        "native",
        functools.partial(_native, SHARED),
        ("native", SHARED),
        "RuntimeError: refused",
        nests=False,
    ),
    Kind(
        "program",
        functools.partial(_native, STATIC),
        ("native", STATIC),
        "RuntimeError: refused",
        nests=False,
    ),
    Kind(
        "wasm", functools.partial(udfvm.from_wasm, WASM), ("wasm", lambda: WASM), TRAP, nests=False
    ),
    Kind(
        "component",
        functools.partial(udfvm.from_wasm, COMPONENT),
        ("wasm", lambda: COMPONENT),
        TRAP,
    ),
]

# ---- The ways to call them ----


class Functions:
    """The functions of a kind, with an isolation, made known everywhere."""

    def __init__(self, kind: Kind, isolation: str) -> None:
        self.kind = kind
        self.udfs = {
            name: kind.make(
                name,
                name=f"{kind.name}_{name}_{isolation}",
                isolation=isolation,
                timeout=TIMEOUTS.get(name, 30),
            )
            for name in kind.functions
        }
        self.connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(
            self.connection,
            *self.udfs.values(),
            policy=udfvm.sqlite.Policy(allow_create=True, row_timeout=30),
        )
        for udf in self.udfs.values():
            udfvm.arrow.register(None, udf)
            sealed.seal(udf)
        if kind.stored:
            language, source = kind.stored
            for name, udf in self.udfs.items():
                options = (
                    f"entry={name}",
                    f"isolation={isolation}",
                    f"row_timeout={TIMEOUTS.get(name, 30)}",
                )
                bindings = (f"stored_{udf.name}", language, source(), SIGNATURES[name], *options)
                self.connection.execute(
                    f"SELECT vm_create({', '.join('?' * len(bindings))})", bindings
                ).fetchall()

    def columns(self, function: str, rows: Sequence[Row]) -> list[pa.Array]:
        types = [named(type_).arrow for type_ in _types(function)[0]]
        return [
            pa.array(column, type_)
            for column, type_ in zip(zip(*rows, strict=True), types, strict=True)
        ]


@functools.cache
def functions_of(kind: Kind, isolation: str) -> Functions:
    return Functions(kind, isolation)


def by_value(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    return [functions.udfs[function](*row) for row in rows]


def by_array(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    result: list[Any] = functions.udfs[function](*functions.columns(function, rows)).to_pylist()
    return result


def by_compute(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    result: list[Any] = pc.call_function(
        functions.udfs[function].name, functions.columns(function, rows)
    ).to_pylist()
    return result


def by_dataset(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    columns = functions.columns(function, rows)
    names = [f"c{index}" for index in range(len(columns))]
    expression = functions.udfs[function].expr(*map(ds.field, names))
    table = ds.dataset(pa.table(columns, names=names)).to_table(
        columns={"result": expression}, use_threads=False
    )
    result: list[Any] = table["result"].to_pylist()
    return result


def _literal(value: object) -> str:
    if isinstance(value, list):
        return _quoted(json.dumps(value))
    return "NULL" if value is None else repr(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _plain(value: object) -> object:
    """A value that SQL has as JSON text, where its subtype is lost on the way."""
    return json.loads(value) if isinstance(value, str) else value


def _query(rows: Sequence[Row]) -> tuple[str, str]:
    """SQL that has the rows as ``r``, and its columns."""
    columns = ", ".join(f"c{index}" for index in range(len(rows[0])))
    values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
    return f"WITH r({columns}) AS (VALUES {values}) SELECT ", columns


def _sql(connection: apsw.Connection, sql: str) -> list[Any]:
    result: list[Any] = json.loads(connection.execute(sql).fetchall()[0][0])
    return result


def by_vm_udf(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    head, columns = _query(rows)
    return _sql(
        functions.connection,
        f"{head} json_group_array(vm_udf('{functions.udfs[function].name}', {columns})) FROM r",
    )


def by_own_name(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    head, columns = _query(rows)
    return _sql(
        functions.connection,
        f"{head} json_group_array({functions.udfs[function].name}({columns})) FROM r",
    )


def by_vm_map(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    head, columns = _query(rows)
    query = f"{head} 0, {columns} FROM r"
    return _sql(
        functions.connection,
        f"SELECT json_group_array(value) FROM vm_map('{functions.udfs[function].name}',"
        f" {_quoted(query)})",
    )


def stored(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    head, columns = _query(rows)
    return _sql(
        functions.connection,
        f"{head} json_group_array(vm_udf('stored_{functions.udfs[function].name}', {columns}))"
        " FROM r",
    )


class ShellError(Exception):
    """What the shell wrote to standard error."""


def in_shell(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    """Sealed, in a program without Python."""
    head, columns = _query(rows)
    name = functions.udfs[function].name
    sql = f"{head} json_group_array(vm_udf('{name}', {columns})) FROM r;"
    if not functions.kind.by_row:
        sql = (
            f"SELECT json_group_array(value) FROM vm_map('{name}',"
            f" {_quoted(f'{head} 0, {columns} FROM r')});"
        )
    program = shutil.which("sqlite3")
    assert program is not None, "the sqlite3 shell is needed: apt-get install sqlite3"
    environment = {"PATH": "/nowhere", "UDFVM_CACHE": os.environ["UDFVM_CACHE"]}
    done = subprocess.run(
        [program, "-bail", ":memory:"],
        input=f".load {udfvm.sqlite.EXTENSION}\n{sql}\n",
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    if done.returncode:
        raise ShellError(done.stderr)
    result: list[Any] = json.loads(done.stdout)
    return result


class Engine(NamedTuple):
    """A way to call functions with rows."""

    call: Callable[[Functions, str, Sequence[Row]], list[Any]]
    isolations: tuple[str, ...] = ("statement", "row")  # those that make a difference
    rows_apart: tuple[str, ...] = ()  # isolations in which each row is a call of its own
    names_row: bool = True  # errors say which row
    only_by_row: bool = False
    from_database: bool = False


ENGINES = [
    Engine(by_value, ("statement",), rows_apart=("statement",), names_row=False),
    Engine(by_array, ("statement",)),
    Engine(by_compute, ("statement",)),
    Engine(by_dataset, ("statement",)),
    Engine(by_vm_udf, rows_apart=("row",), only_by_row=True),
    Engine(by_own_name, rows_apart=("row",), only_by_row=True),
    Engine(by_vm_map),
    Engine(stored, rows_apart=("row",), only_by_row=True, from_database=True),
    Engine(in_shell, rows_apart=("row",)),
]


class Cell(NamedTuple):
    """A place in the matrix."""

    kind: Kind
    engine: Engine
    isolation: str

    @property
    def rows_apart(self) -> bool:
        return self.isolation in self.engine.rows_apart and (
            self.kind.by_row or self.engine.call is by_value
        )

    def __call__(self, function: str, rows: Sequence[Row]) -> list[Any]:
        return self.engine.call(functions_of(self.kind, self.isolation), function, rows)

    def fails(self, function: str, rows: Sequence[Row]) -> str:
        """The text of the error; afterwards all is as before."""
        with pytest.raises((udfvm.errors.Error, apsw.Error, ShellError)) as caught:
            self(function, rows)
        assert self("weigh", [(1.0, 2)]) == [2.5]
        return str(caught.value)


def _cells() -> Iterator[Any]:
    for kind in KINDS:
        for engine in ENGINES:
            if (engine.only_by_row and not kind.by_row) or (
                engine.from_database and not kind.stored
            ):
                continue
            for isolation in engine.isolations:
                yield pytest.param(
                    Cell(kind, engine, isolation),
                    id=f"{kind.name}-{engine.call.__name__}-{isolation}",
                )


@pytest.fixture(params=_cells(), scope="module")
def cell(request: pytest.FixtureRequest) -> Cell:
    found: Cell = request.param
    return found


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    yield
    functions_of.cache_clear()


def test_results(cell: Cell) -> None:
    assert cell("weigh", [(1.5, 2), (None, 1), (-0.25, -(2**40)), (2.0, None), (1e300, 0)]) == [
        3.5,
        None,
        2**38 + 0.5,
        None,
        0.5,
    ]


def test_lists_and_structs(cell: Cell) -> None:
    if not cell.kind.nests:
        return
    rows: list[Row] = [
        ([{"id": 2**62 + 1, "name": "é", "at": [0.5, 2.0]}],),
        (None,),
        ([],),
        ([{"id": -1, "name": None, "at": []}] * 2,),
    ]
    assert [_plain(value) for value in cell("same", rows)] == [row[0] for row in rows]


def test_errors(cell: Cell) -> None:
    text = cell.fails("refuse", [(1.0,), (0.0,), (-1.0,), (2.0,)])
    assert cell.kind.refusal in text
    assert f"{cell.kind.name}_refuse_{cell.isolation}'" in text
    assert bool(re.search(r"row 2( of its batch)?:", text)) == (
        cell.engine.names_row and cell.kind.by_row
    )


def test_state_ends_with_the_call(cell: Cell) -> None:
    for _ in range(2):
        assert cell("calls", [(5,), (6,), (7,)]) == ([1, 1, 1] if cell.rows_apart else [1, 2, 3])


def test_timeouts(cell: Cell) -> None:
    assert "did not end within 0.1 s" in cell.fails("endless", [(1,), (2,)])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_functions_take_turns_in_one_micro_vm(kind: Kind) -> None:
    """Layers of one base, moved through one VM of a pool of the user's own: what one did, neither
    it nor another finds.
    """
    with udfvm.Pool(size=1) as pool:
        counter, weighing, refusing = (
            kind.make(name, name=f"turns_{name}", pool=pool)
            for name in ("calls", "weigh", "refuse")
        )
        for _ in range(3):
            assert counter(pa.array([5, 6])).to_pylist() == [1, 2]
            assert weighing(2.0, 3) == 6.5
            with pytest.raises(udfvm.UDFError, match=r"refused|unreachable"):
                refusing(-1.0)
            assert counter(5) == 1
