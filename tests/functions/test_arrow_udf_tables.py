"""Table functions of modules for arrow-udf that yield the file that they are given."""

from __future__ import annotations

import datetime
import json

import apsw
import pytest
from arrow_udf_text import ARROW, POINT, SAME_ROWS, STRUCTS, module, rows_of

import udfvm
from udfvm import errors


def test_a_table_of_several_columns() -> None:
    rows = rows_of(["struct Outer"])
    columns = "name: string, point: json, points: json, tags: json, numbers: json"
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
    ((name, *texts),) = list(rows(0, outer))
    assert name == "é"
    assert [json.loads(text) for text in texts] == list(outer.values())[1:]
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
    with pytest.raises(
        errors.SignatureError,
        match="column 'u64' is uint64, which table functions and aggregates do not have",
    ):
        rows_of(["struct Mixed"])


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
        repr(rows)
        == "<table UDF rows(a0: int32 | null, a1: list<item: int32> | null) -> (value: json)>"
    )
    assert list(rows(0, [1, None, 3])) == [("[1,null,3]",)]
    with pytest.raises(
        errors.TypeMappingError,
        match="an argument that is a list or struct: Out of range float values",
    ):
        list(rows_of(["float64[]"])(0, [float("inf")]))
