"""The ways to call functions, for tests that all of them give the same results."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import apsw
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from plain_connections import connect

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
TIMEOUTS = {"endless": 0.04}
TYPES = {
    "double": "double",
    "int": "int64",
    "json": "list<item: struct<id: int64, name: string, at: list<item: double>>>",
}


def types_of(function: str) -> tuple[list[str], str]:
    arguments, _, result = SIGNATURES[function].partition(" -> ")
    return [TYPES[word] for word in arguments.strip("()").split(", ")], TYPES[result]


class Kind(NamedTuple):
    """A way to write functions."""

    name: str
    make: Callable[..., udfvm.ScalarFunction]  # (function, name=, isolation=, timeout=)
    # Kind and source for vm_create, where a database may hold such functions.
    stored: tuple[str, Callable[[], str | bytes]] | None
    refusal: str  # what the error of `refuse` says
    by_row: bool = (
        True  # takes a row at a time, so SQL has a function for it, and errors name the row
    )
    nests: bool = True  # takes lists and structs

    @property
    def functions(self) -> list[str]:
        """Those that it can have."""
        return [name for name in SIGNATURES if self.nests or name != NESTED]


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
        types = [named(type_).arrow for type_ in types_of(function)[0]]
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


def decoded(value: object) -> object:
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


def without_extension(functions: Functions, function: str, rows: Sequence[Row]) -> list[Any]:
    """By the standard library's sqlite3."""
    head, columns = _query(rows)
    connection, udf = connect(), functions.udfs[function]
    udfvm.sqlite.register(connection, udf)
    query = f"{head} json_group_array({udf.name}({columns})) FROM r"
    with contextlib.closing(connection), udfvm.sqlite.real_errors(connection):
        result: list[Any] = json.loads(connection.execute(query).fetchone()[0])
        return result


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
    Engine(without_extension, ("statement",), ("statement",), names_row=False, only_by_row=True),
]
