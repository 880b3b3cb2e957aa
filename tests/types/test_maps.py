"""Maps are arguments and results, as values and in batches: dictionaries in Python."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nested_types import MAPS, checked, identity, values

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm.codec.record_batches import BatchCodec
from udfvm.errors import ProtocolError, TypeMappingError, UDFError
from udfvm.types.arrow_types import Parameter, ResultType, declared, named
from udfvm.types.nested import type_name

SIMPLE = pa.map_(pa.string(), pa.int64())


@pytest.mark.parametrize("type_", MAPS, ids=str)
@pytest.mark.parametrize("vectorized", [False, True], ids=["scalar", "vectorized"])
def test_columns_come_back_as_they_went(type_: pa.DataType, vectorized: bool) -> None:
    same = identity(type_, vectorized)

    @checked
    @given(st.lists(values(type_), max_size=12), st.integers(0, 4))
    def check(items: list[Any], start: int) -> None:
        whole = pa.array(items, type_)
        array = whole.slice(start)
        result = same(array)
        assert result.type.equals(type_, check_metadata=True) and result.equals(array)
        chunked = pa.chunked_array([whole.slice(0, start), array], type_)
        assert same(chunked).equals(chunked)
        objects = np.empty(len(items), dtype=object)
        objects[:] = items
        assert same(objects).tolist() == items

    check()


@pytest.mark.parametrize("type_", MAPS, ids=str)
def test_values_come_back_as_they_went(type_: pa.DataType) -> None:
    same = identity(type_, False)

    @checked
    @given(values(type_))
    def check(value: Any) -> None:
        assert same(value) == value
        assert same(pa.array([value], type_)[0]) == value

    check()


@pytest.mark.parametrize("type_", MAPS, ids=str)
def test_names(type_: pa.DataType) -> None:
    assert declared(type_).as_declared.equals(type_, check_metadata=True)
    assert named(named(type_name(type_)).name) == named(type_name(type_))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("map<string, float64>", pa.map_(pa.string(), pa.float64())),
        (
            'map<"a k": string, v: list<int8> not null, keys_sorted>',
            pa.map_(
                pa.field("a k", pa.string(), nullable=False),
                pa.field("v", pa.list_(pa.int8()), nullable=False),
                keys_sorted=True,
            ),
        ),
    ],
)
def test_text_declares_maps(text: str, expected: pa.DataType) -> None:
    assert declared(text).as_declared.equals(expected)


@pytest.mark.parametrize(
    "wrong", ["map<string>", "map<>", "map<int8, int8, int8>", "map<a, b>", "map<null, int8>"]
)
def test_text_that_is_no_map(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"is not a"):
        declared(wrong)


@dataclasses.dataclass
class Point:
    x: float


def test_annotations() -> None:
    @udfvm.udf
    def scaled(points: dict[str, Point], by: float) -> dict[str, float]:
        return {name: point.x * by for name, point in points.items()}

    assert str(scaled.parameters[0].type) == "map<string, struct<x: double>>"
    assert str(scaled.result.type) == "map<string, double>"
    assert scaled({"a": Point(2.0), "b": {"x": 3}}, 2.0) == {"a": 4.0, "b": 6.0}

    @udfvm.udf
    def anything(x: int) -> dict[str, Any]:
        return {"a": [x]}

    assert str(anything.result.type) == "json"


def test_in_compute_and_pipelines() -> None:
    array = pa.array([{"a": 1, "b": None}, None, {}], SIMPLE)
    for vectorized in (False, True):
        udfvm.arrow.register(None, identity(SIMPLE, vectorized), name=f"same_map_{vectorized}")
        assert pc.call_function(f"same_map_{vectorized}", [array]).equals(array)
    mapped = identity(SIMPLE, False).map(pa.table({"x": array}), columns=["x"])
    assert mapped.column(mapped.num_columns - 1).combine_chunks().equals(array)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (SIMPLE, '{"a":1,"b":null}'),
        (pa.map_(pa.int8(), pa.list_(pa.string())), '[[1,["x"]],[2,null]]'),
        (pa.list_(pa.map_(pa.date32(), pa.int8())), '[[["2026-01-02",1]],null,[]]'),
        (pa.map_(pa.struct([("a", pa.int8())]), pa.bool_()), '[[{"a":1},true]]'),
    ],
    ids=str,
)
def test_in_sql(type_: pa.DataType, text: str) -> None:
    connection = apsw.Connection(":memory:")
    vectorized = identity(type_, True).with_options(name="column_same")
    udfvm.sqlite.register(connection, identity(type_, False), vectorized)
    for sql in (
        "SELECT same(?)",
        "SELECT value FROM vm_map('same', 'SELECT 1, ' || quote(?))",
        "SELECT value FROM vm_map('column_same', 'SELECT 1, ' || quote(?))",
    ):
        ((result,),) = connection.execute(sql, (text,)).fetchall()
        assert json.loads(result) == json.loads(text), sql


def test_pairs_stand_for_maps() -> None:
    made = udfvm.udf(
        lambda twice: [("a", 1), ("a" if twice else "b", None)],
        name="made",
        input_types=["bool"],
        output_type=SIMPLE,
    )
    assert made(False) == {"a": 1, "b": None}
    same = identity(SIMPLE, False)
    assert same([("a", 1), ["b", 2]]) == {"a": 1, "b": 2}
    # Arrow has maps with a key twice.
    twice = pa.array([[("a", 1), ("a", None)]], SIMPLE)
    assert made(pa.array([True])).equals(twice)
    assert identity(SIMPLE, True)(twice).equals(twice)
    with pytest.raises(TypeMappingError, match="the key 'a' twice"):
        made(True)
    with pytest.raises(TypeMappingError, match=r"the key 'a' twice.*a vectorised function"):
        same(twice)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({None: 1}, "whose keys are not null"),
        ({"a": "x"}, "entry 0 is declared int64"),
        ({"a": 1, 2: 2}, "entry 1 is declared string"),
        ([1], "expected a dictionary or a list of pairs, got list"),
        (3, "expected a dictionary or a list of pairs, got int"),
        (pa.array([["a"]]), "an array of list"),
        (pa.array([[("a", "x")]], pa.map_(pa.string(), pa.string())), "an array of map"),
    ],
)
def test_arguments_of_other_types_are_refused(value: Any, message: str) -> None:
    with pytest.raises(TypeMappingError, match=message):
        identity(SIMPLE, False)(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({None: 1}, "expected a key, got None"),
        ({"a": 1, "b": "x"}, "entry 1: "),
        ({1: 1}, "entry 0: "),
        ("ab", "expected a dictionary or a list of pairs, got str"),
    ],
)
def test_results_of_other_types_are_errors(value: Any, message: str) -> None:
    wrong = udfvm.udf(lambda x: value, name="wrong", input_types=["int64"], output_type=SIMPLE)
    with pytest.raises(UDFError, match=message):
        wrong(1)


# ---- Hostile replies ----


@pytest.mark.parametrize(
    "entries",
    [
        [[{"key": None, "value": 1}]],
        [[{"key": "a", "value": 1}, {"key": None, "value": 1}], []],
        [[{"key": "a", "value": 1}, None]],
    ],
    ids=["null key", "second null key", "null entry"],
)
def test_replies_with_nulls_where_maps_have_none(entries: list[Any]) -> None:
    """pyarrow ends the process when it makes a map with a null key."""
    lists = pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())]))
    codecs = [
        BatchCodec("f", [Parameter("x", named("int64"), False)], ResultType(declared(each), True))
        for each in (SIMPLE, lists)
    ]

    def reply(rows: list[Any]) -> bytes:
        """A map is laid out as the lists are."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, codecs[1].result_schema) as writer:
            array = pa.array(rows, lists)
            writer.write_batch(pa.record_batch([array], schema=codecs[1].result_schema))
        data = bytes(sink.getvalue().to_pybytes())
        return codecs[0].result_schema_message + data[len(codecs[1].result_schema_message) :]

    honest = codecs[0].read(reply([[{"key": "a", "value": None}], None]), 2)
    assert honest.equals(pa.array([{"a": None}, None], SIMPLE))
    with pytest.raises(ProtocolError, match="an entry or a key that is null"):
        codecs[0].read(reply(entries), len(entries))
