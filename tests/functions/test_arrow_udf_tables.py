"""Table functions of modules for arrow-udf that yield the file that they are given."""

from __future__ import annotations

import datetime
import json
import math
import random
from typing import Any

import apsw
import pyarrow as pa
import pytest
from arrow_udf_text import (
    ARROW,
    POINT,
    SAME_ROWS,
    STRUCTS,
    arrow_file,
    module,
    rows_of,
    value,
)

import udfvm
from udfvm import errors


def test_a_table_of_several_columns() -> None:
    rows = rows_of(["struct Outer"])
    columns = ARROW["struct Outer"].removeprefix("struct<").removesuffix(">")
    assert (
        repr(rows)
        == f"<table UDF rows(a0: int32 | null, a1: {ARROW['struct Outer']} | null) -> ({columns})>"
    )
    outer = {
        "name": "é",
        "point": {"x": 1.0, "y": None},
        "points": [None, {"x": 0.5, "y": 2.0}],
        "tags": [],
        "numbers": [[1], None],
    }
    assert list(rows(0, outer)) == [tuple(outer.values())]
    assert list(rows(0, None)) == [(None,) * 5]
    assert list(rows(0, {"name": "n"})) == [("n", None, None, None, None)]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows)
    query = "SELECT c1, c2 ->> 'x', c3, c4, c5 FROM vm_table('rows', 0, ?)"
    assert connection.execute(query, (json.dumps(outer),)).fetchall() == [
        ("é", 1.0, '[null,{"x":0.5,"y":2.0}]', "[]", "[[1],null]")
    ]
    with pytest.raises(apsw.SQLError, match="an object is expected"):
        connection.execute(query, ("[]",)).fetchall()


def test_a_table_with_declared_types() -> None:
    text = module({"rows(int32,struct Point)->>struct Point": SAME_ROWS})
    rows = udfvm.from_wasm(text, "rows", signature=f"(number: i32, place: {POINT}?) -> {POINT}")
    assert (
        repr(rows)
        == f"<table UDF rows(number: int32, place: {POINT} | null) -> (x: double, y: double)>"
    )
    assert list(rows(0, {"x": 1.0})) == [(1.0, None)]
    with pytest.raises(
        udfvm.UDFError,
        match="TypeError: the function returned a null, and the declared result has no",
    ):
        list(rows(0, None))


def test_a_table_function_whose_module_hides_what_it_is() -> None:
    """The host does not read escapes of the text format: a micro-VM tells what the module is."""
    text = module({"rows(int32,int8)->>int8": SAME_ROWS}).replace("ARROWUDF", r"\41RROWUDF")
    assert list(udfvm.from_wasm(text, "rows")(0, 5)) == [(5,)]
    declared = udfvm.from_wasm(text, "rows", signature="(i32, i8) -> i8")
    assert isinstance(declared, udfvm.TableFunction)
    assert list(declared(0, 5)) == [(5,)]


def test_a_table_of_simple_columns() -> None:
    structs = {"Row": STRUCTS["Mixed"].replace("u64:uint64", "u32:uint32")}
    rows = udfvm.from_wasm(
        module({"rows(int32,struct Row)->>struct Row": SAME_ROWS}, structs), "rows"
    )
    row = {
        "b": True,
        "i8": -1,
        "u32": 2**32 - 1,
        "f": 0.5,
        "s": "a",
        "y": b"\0",
        "d": datetime.date(2024, 2, 29),
        "t": datetime.datetime(2024, 1, 1, 12, 0, 0, 5),
        "j": "[1]",
    }
    assert list(rows(0, row)) == [tuple(row.values())]
    assert list(rows(0, row | dict.fromkeys("bsd"))) == [
        tuple((row | dict.fromkeys("bsd")).values())
    ]
    wide = rows_of(["struct Mixed"])
    del row["u32"]
    assert next(wide(0, row | {"u64": 2**64 - 1}))[2] == 2**64 - 1
    with pytest.raises(
        errors.TypeMappingError, match="column 'u64' is uint64, for which SQLite has no type"
    ):
        udfvm.sqlite.register(apsw.Connection(":memory:"), wide)


def test_a_table_of_dates() -> None:
    assert list(rows_of(["date32"])(0, datetime.date(2024, 2, 29))) == [
        (datetime.date(2024, 2, 29),)
    ]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows_of(["timestamp"]))
    assert connection.execute("SELECT c1 FROM vm_table('rows', 0, -5)").fetchall() == [(-5,)]


def test_a_table_of_lists() -> None:
    rows = rows_of(["int32[]"])
    assert (
        repr(rows) == "<table UDF rows(a0: int32 | null, a1: list<item: int32> | null)"
        " -> (value: list<item: int32>)>"
    )
    assert list(rows(0, [1, None, 3])) == [([1, None, 3],)]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows)
    query = "SELECT value FROM rows(0, '[1,null,3]')"
    assert connection.execute(query).fetchall() == [("[1,null,3]",)]
    numbers = rows_of(["float64[]"])
    assert list(numbers(0, [math.inf, -0.5])) == [([math.inf, -0.5],)]


def test_a_table_of_unsigned_integers() -> None:
    rows = rows_of(["uint64"])
    assert list(rows(0, 2**64 - 1)) == [(2**64 - 1,)]
    assert list(rows(0, None)) == [(None,)]
    other = module({"rows(int32,int64)->>int64": SAME_ROWS})
    with pytest.raises(errors.SignatureError, match="no function rows of the declared types"):
        udfvm.from_wasm(other, "rows", signature="(i32, i64) -> u64")


@pytest.mark.parametrize("type_", ARROW)
def test_arguments_come_back_as_they_went(type_: str) -> None:
    rows = rows_of([type_])
    column = rows.parameters[1].type.arrow
    for given in values_of(column, 20):
        ((*found,),) = list(rows(0, given))
        (wanted,) = pa.array([given], column).to_pylist()
        if not pa.types.is_struct(column):
            assert found == [wanted]
        else:
            assert found == ([None] * len(found) if wanted is None else list(wanted.values()))


@pytest.mark.parametrize("max_output", [None, 20_000])
@pytest.mark.parametrize("type_", ARROW)
def test_many_rows(type_: str, max_output: int | None) -> None:
    """They are fetched in parts, which begin in the middle of lists, of bytes and of bitmaps."""
    arrow = rows_of([type_]).parameters[1].type.arrow
    column = pa.array(values_of(arrow, 700), arrow)
    file = arrow_file(pa.array([0] * 700, pa.int32()), column)
    stored = SAME_ROWS.replace("(local.get $at)", "(i32.const 1024)").replace(
        "(local.get $length)", f"(i32.const {len(file)})"
    )
    text = module({f"rows(int32)->>{type_}": stored}, data=file)
    rows = udfvm.from_wasm(text, "rows", max_output=max_output)
    assert isinstance(rows, udfvm.TableFunction)
    found = list(rows(0))
    if pa.types.is_struct(arrow):
        names = [column.name for column in rows.columns]
        wanted = [tuple((row or {}).get(name) for name in names) for row in column.to_pylist()]
        assert found == wanted
    else:
        assert found == [(value,) for value in column.to_pylist()]


def values_of(type_: pa.DataType, count: int) -> list[Any]:
    chance = random.Random(str(type_))
    return [value(type_, chance) for _ in range(count)]
