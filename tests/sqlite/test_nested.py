"""Lists and structs are JSON in SQL."""

from __future__ import annotations

import json
from typing import Any

import apsw
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nested_rows import last, last_of_columns, twice
from nested_types import TYPES, checked, identity, length, moved, values

import udfvm
import udfvm.sqlite

# JSON's numbers do not hold a float32 or the infinities, and text in SQLite ends at no NUL.
JSON_TYPES = [type_ for type_ in TYPES if "float" not in str(type_)]


def json_of(value: Any) -> str:
    return json.dumps(
        value,
        default=lambda leaf: leaf.hex().upper() if isinstance(leaf, bytes) else leaf.isoformat(),
    )


@pytest.mark.parametrize("type_", JSON_TYPES, ids=str)
def test_json_returns(type_: pa.DataType) -> None:
    same = identity(type_, False)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, same)

    @checked
    @given(values(type_))
    def check(value: Any) -> None:
        text = json_of(value)
        if "Infinity" in text:
            return
        for sql in ("SELECT same(?)", "SELECT value FROM vm_map('same', 'SELECT 1, ' || quote(?))"):
            ((result,),) = connection.execute(sql, (None if value is None else text,)).fetchall()
            assert (None if result is None else json.loads(result)) == json.loads(text), sql

    check()


@pytest.mark.parametrize("type_", JSON_TYPES, ids=str)
def test_json_of_table_functions_and_aggregates(type_: pa.DataType) -> None:
    connection = apsw.Connection(":memory:")
    functions = {
        "twice": twice(type_),
        "latest": last(type_),
        "latest_column": last_of_columns(type_),
    }
    udfvm.sqlite.register(
        connection, *(made.with_options(name=name) for name, made in functions.items())
    )
    connection.execute("CREATE TABLE t (x)")

    @checked
    @given(st.lists(values(type_), max_size=4))
    def check(items: list[Any]) -> None:
        texts = [None if value is None else json_of(value) for value in items]
        if any("Infinity" in text for text in texts if text):
            return
        connection.execute("DELETE FROM t")
        connection.executemany("INSERT INTO t VALUES (?)", [(text,) for text in texts])
        counted = [json.loads(text) for text in texts if text is not None]
        for sql in (
            "SELECT y.x FROM t, twice(t.x) y",
            "SELECT c1 FROM t, vm_table('twice', t.x)",
        ):
            rows = [json.loads(x) for (x,) in connection.execute(sql)]
            assert rows == [value for value in counted for _ in range(2)], sql
        for sql in (
            "SELECT json_array(latest(x)), json_array(latest_column(x)) FROM t",
            "SELECT json_array(vm_agg('latest', x)), json_array(vm_agg('latest_column', x)) FROM t",
        ):
            (row,) = connection.execute(sql)
            for x in row:
                assert json.loads(x) == [counted[-1] if counted else None], sql

    check()


def test_groups_and_windows_of_lists() -> None:
    numbers = "WITH n(i, x) AS (VALUES (1, '[1,2]'), (2, '[]'), (3, NULL), (4, '[4]'))"
    latest = last(pa.list_(pa.int16())).with_options(name="latest")
    assert query(f"{numbers} SELECT i % 2, latest(x) FROM n GROUP BY 1", latest) == [
        (0, "[4]"),
        (1, "[1,2]"),
    ]
    assert query(f"{numbers} SELECT latest(x) OVER (ORDER BY i) FROM n", latest) == [
        ("[1,2]",),
        ("[]",),
        ("[]",),
        ("[4]",),
    ]


def test_lists_that_json_lacks_words_for() -> None:
    @udfvm.table_function(columns={"x": "list<double>"})
    def rows() -> Any:
        yield [[1.0]]
        yield [[float("nan")]]

    with pytest.raises(apsw.SQLError, match=r"JSON cannot represent: in \[0\]: Out of range"):
        query("SELECT * FROM rows()", rows)
    assert query("SELECT x FROM rows() LIMIT 1", rows) == [("[1.0]",)]
    wrong = twice(pa.list_(pa.int16()))
    with pytest.raises(
        apsw.SQLError,
        match=r"argument 'x' \(position 1\) is not a .*: item 0: expected an integer .*, got 32768",
    ):
        query("SELECT * FROM rows('[32768]')", wrong)


def query(
    sql: str, *udfs: udfvm.ScalarFunction | udfvm.TableFunction | udfvm.AggregateFunction
) -> Any:
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
        ("(place json, by double) -> json",)
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
                r"argument 'xs' \(position 1\) is not valid JSON: Expecting value: line 1 column 4"
                r" \(char 3\)"
            ),
        ),
        ("'{}'", r"argument 'xs' \(position 1\) is not a .*: expected a list, got dict"),
        ("'[\"a\"]'", 'item 0: expected a number in JSON, got "a"'),
        ('\'[{"a": 1, "a": 2}]\'', "is not valid JSON: an object has the key 'a' twice"),
        ("'[true]'", "item 0: expected a number in JSON, got true"),
        ("3", "takes TEXT; got INTEGER"),
    ],
)
def test_json_of_other_types(argument: str, message: str) -> None:
    with pytest.raises(apsw.SQLError, match=message) as caught:
        query(f"SELECT length({argument})", length)
    assert "json/" not in str(caught.value)
