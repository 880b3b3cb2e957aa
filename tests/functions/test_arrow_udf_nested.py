"""Structs and lists of modules for arrow-udf that return the file that they are given."""

from __future__ import annotations

import json
import random
from pathlib import Path

import apsw
import pyarrow as pa
import pytest
from arrow_udf_text import ARROW, SAME, module, rows_of, same, value

import udfvm
from udfvm import errors


@pytest.mark.parametrize("type_", ARROW)
def test_batches_come_back_as_they_went(type_: str) -> None:
    udf = same(type_)
    assert repr(udf) == f"<UDF same(a0: {ARROW[type_]} | null) -> {ARROW[type_]}>"
    arrow, chance = udf.parameters[0].type.arrow, random.Random(type_)
    rows = [value(arrow, chance) for _ in range(90)]
    column = pa.array(rows, arrow)
    assert udf(column).equals(column)
    assert udf(column.slice(3, 17)).equals(column.slice(3, 17))
    assert udf(column.slice(0, 0)).to_pylist() == []
    assert [udf(row) for row in rows[:6]] == rows[:6]


OLD_NAMES = {
    "boolean": "bool",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float4": "float",
    "float8": "double",
    "varchar": "string",
    "bytea": "binary",
    "date": "date32[day]",
    "timestamp": "timestamp[us]",
    "json": "large_string",
    "decimal": "large_binary",
    "int8[]": "list<item: int64>",
    "struct Old": "struct<a: int64, b: list<item: string>>",
}


@pytest.mark.parametrize("version", ["1_0", "2_0"])
@pytest.mark.parametrize("type_", OLD_NAMES)
def test_types_of_older_versions_of_the_abi(type_: str, version: str) -> None:
    text = module({f"same({type_})->{type_}": SAME}, {"Old": "a:int8,b:varchar[]"}).replace(
        "VERSION_3_0", f"VERSION_{version}"
    )
    udf, chance = udfvm.from_wasm(text, "same"), random.Random(type_)
    assert repr(udf) == f"<UDF same(a0: {OLD_NAMES[type_]} | null) -> {OLD_NAMES[type_]}>"
    arrow = udf.parameters[0].type.arrow
    column = pa.array([value(arrow, chance) for _ in range(50)], arrow)
    assert udf(column).equals(column)


@pytest.mark.parametrize(
    ("version", "type_"),
    [("2_0", "int64"), ("2_0", "string"), ("1_0", "uint8"), ("3_0", "int4"), ("3_0", "bytea")],
)
def test_names_of_other_versions_are_not_taken(version: str, type_: str) -> None:
    text = module({f"f(boolean)->{type_}": SAME}).replace("VERSION_3_0", f"VERSION_{version}")
    refusal = f"takes or returns {type_}, which UDFs do not support"
    with pytest.raises(errors.SignatureError, match=refusal):
        udfvm.from_wasm(text, "f")


def test_large_batches() -> None:
    udf = same("struct Outer")
    arrow, chance = udf.parameters[0].type.arrow, random.Random(0)
    column = pa.array([value(arrow, chance) for _ in range(500)] * 40, arrow)
    assert udf(column).equals(column)


@pytest.mark.parametrize("isolation", ["row", "statement"])
def test_json_in_sql(isolation: str) -> None:
    connection = apsw.Connection(":memory:")
    text = module(
        {
            f"{name}({type_})->{type_}": SAME
            for name, type_ in (("mixed", "struct Mixed"), ("outer", "struct Outer"))
        }
    )
    udfvm.sqlite.register(
        connection,
        *(udfvm.from_wasm(text, name, isolation=isolation) for name in ("mixed", "outer")),
    )  # type: ignore[arg-type]
    chance = random.Random(1)
    outer = same("struct Outer").parameters[0].type.arrow
    rows = [value(outer, chance) for _ in range(30)]
    found = connection.execute(
        "SELECT outer(value) FROM json_each(?)", (json.dumps(rows),)
    ).fetchall()
    assert [None if text is None else json.loads(text) for (text,) in found] == rows
    for given, expected in (
        (
            '{"d": "2024-02-29", "t": "2024-02-29T12:30"}',
            {"d": "2024-02-29", "t": "2024-02-29T12:30:00"},
        ),
        (
            '{"d": "0001-01-01", "t": "1969-12-31 23:59:59.000001Z"}',
            {"d": "0001-01-01", "t": "1969-12-31T23:59:59.000001"},
        ),
        (
            '{"d": "-0044-03-15", "t": "9999-12-31T00:00:00.5"}',
            {"d": "-0044-03-15", "t": "9999-12-31T00:00:00.500000"},
        ),
        ('{"y": "c3A9", "j": "[1]", "f": 0.1}', {"y": "C3A9", "j": "[1]", "f": 0.1}),
    ):
        (text,) = connection.execute("SELECT mixed(?)", (given,)).fetchall()[0]
        assert (
            json.loads(text)
            == dict.fromkeys(("b", "i8", "u64", "f", "s", "y", "d", "t", "j")) | expected
        )
    for bad in ("2023-02-29", "2024-13-01", "2024-1-01", "20240101", "2024-01-01T00:00"):
        with pytest.raises(apsw.SQLError, match="at byte 5 of its JSON a date such as"):
            connection.execute("SELECT mixed(json_object('d', ?))", (bad,)).fetchall()
    for bad in (
        "2024-01-01",
        "2024-01-01T24:00",
        "2024-01-01T00:60",
        "2024-01-01T00:00:00.0000001",
        "2024-01-01T00:00+01:00",
    ):
        with pytest.raises(apsw.SQLError, match="at byte 5 of its JSON a time such as"):
            connection.execute("SELECT mixed(json_object('t', ?))", (bad,)).fetchall()


@pytest.mark.parametrize("isolation", ["row", "statement"])
def test_large_texts_and_bytes_in_sql(isolation: str) -> None:
    connection = apsw.Connection(":memory:")
    for name, type_ in (
        ("texts", "largestring"),
        ("blobs", "largebinary"),
        ("structs", "struct Large"),
    ):
        text = module({f"{name}({type_})->{type_}": SAME})
        udfvm.sqlite.register(connection, udfvm.from_wasm(text, name, isolation=isolation))  # type: ignore[arg-type]
    for query in ("SELECT {}(?)", "SELECT value FROM vm_map('{}', 'SELECT 1, ?1', ?1)"):
        for name, values in (("texts", ("", "añ", None)), ("blobs", (b"", b"\0\xff", None))):
            assert [
                connection.execute(query.format(name), (given,)).fetchall() for given in values
            ] == [[(given,)] for given in values]
    given = '{"s":"añ","y":"00FF","l":["C3",null,""]}'
    assert connection.execute("SELECT structs(?)", (given,)).fetchall() == [(given,)]
    many = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 30) SELECT"
        " texts('row ' || x) FROM n"
    )
    assert connection.execute(many).fetchall() == [(f"row {x}",) for x in range(1, 31)]


def test_large_types_elsewhere(tmp_path: Path) -> None:
    rows = rows_of(["struct Large"])
    assert repr(rows).endswith(
        " -> (s: large_string, y: large_binary, l: list<item: large_binary>)>"
    )
    assert list(rows(0, {"s": "añ", "y": b"\0", "l": [b"a"]})) == [("añ", b"\0", [b"a"])]
    declared = same("largestring", signature="(large_string) -> large_string")
    assert declared(pa.array(["a", None], pa.large_string())).to_pylist() == ["a", None]
    with pytest.raises(
        errors.SignatureError, match="there is no function same of the declared types"
    ):
        same("largestring", signature="(text) -> text")
    (tmp_path / "object.so").write_bytes(b"\x7fELF")
    with pytest.raises(
        errors.SignatureError,
        match="a0 is large_string, which native functions do not support: use text and blob",
    ):
        udfvm.from_elf(tmp_path / "object.so", "f", signature="(large_string) -> i64")


def test_nulls_and_declared_types() -> None:
    declared = "(p: struct<x: f64, y: f64>) -> struct<x: f64, y: f64>"
    strict = same("struct Point", signature=declared)
    point = {"x": 1.0, "y": None}
    assert strict(pa.array([point, None], strict.parameters[0].type.arrow)).to_pylist() == [
        point,
        None,
    ]
    loose = same("struct Point", signature=declared.replace(") ->", "?) ->"))
    with pytest.raises(
        udfvm.UDFError,
        match="row 1: TypeError: the function returned a null, and the declared result has no",
    ):
        loose(pa.array([point, None], loose.parameters[0].type.arrow))
    with pytest.raises(
        errors.SignatureError, match="there is no function same of the declared types"
    ):
        same("struct Point", signature=declared.replace("y: f64", "z: f64"))
