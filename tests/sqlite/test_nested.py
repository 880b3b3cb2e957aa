"""Lists and structs are JSON in SQL."""

from __future__ import annotations

import json
from typing import Any

import apsw
import pyarrow as pa
import pytest
from hypothesis import given
from nested_types import TYPES, checked, identity, length, moved, values

import udfvm
import udfvm.sqlite

# JSON's numbers do not hold a float32 or the infinities, and text in SQLite ends at no NUL.
JSON_TYPES = [type_ for type_ in TYPES if "float" not in str(type_)]


@pytest.mark.parametrize("type_", JSON_TYPES, ids=str)
def test_json_returns(type_: pa.DataType) -> None:
    same = identity(type_, False)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, same)

    @checked
    @given(values(type_))
    def check(value: Any) -> None:
        text = json.dumps(
            value,
            default=lambda leaf: (
                leaf.hex().upper() if isinstance(leaf, bytes) else leaf.isoformat()
            ),
        )
        if "Infinity" in text:
            return
        for sql in ("SELECT same(?)", "SELECT value FROM vm_map('same', 'SELECT 1, ' || quote(?))"):
            ((result,),) = connection.execute(sql, (None if value is None else text,)).fetchall()
            assert (None if result is None else json.loads(result)) == json.loads(text), sql

    check()


def query(sql: str, *udfs: udfvm.ScalarFunction) -> Any:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *udfs)
    return connection.execute(sql).fetchall()


def test_json_in_sql() -> None:
    assert query("SELECT length('[3, 4]'), length(json_array(6, 8)), length(NULL)", length) == [
        (5.0, 10.0, None)
    ]
    place = "json_object('name', 'a', 'where', json_array(1, 2.5), 'since', '2026-01-02')"
    assert query(f"SELECT moved({place}, 1) ->> 'where', json_array(moved({place}, 1))", moved) == [
        ("[2.0,3.5]", '[{"name":"a","where":[2.0,3.5],"since":"2026-01-02"}]')
    ]
    assert query(f"SELECT moved(moved({place}, 1), 1) ->> '$.where[0]'", moved) == [(3.0,)]
    assert query("SELECT signature FROM vm_functions", moved) == [
        ("(place text, by double) -> json",)
    ]


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_isolation(isolation: Any) -> None:
    made = udfvm.udf(length.function, isolation=isolation)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
    assert query(f"{numbers} SELECT sum(length(json_array(i, 0))) FROM n", made) == [(5050.0,)]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "'[1,'",
            (
                r"argument 'xs' \(position 1\): not valid JSON: Expecting value: line 1 column 4"
                r" \(char 3\)"
            ),
        ),
        ("'{}'", r"argument 'xs' \(position 1\): dict where a list is declared"),
        ("'[\"a\"]'", '"a" in JSON where a number is declared'),
        ("'[true]'", "true in JSON where a number is declared"),
        ("3", "expected TEXT, got INTEGER"),
    ],
)
def test_json_of_other_types(argument: str, message: str) -> None:
    with pytest.raises(apsw.SQLError, match=message) as caught:
        query(f"SELECT length({argument})", length)
    assert "json/" not in str(caught.value)
