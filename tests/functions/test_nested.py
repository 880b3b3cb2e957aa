"""Lists and structs are arguments and results, as values and in batches."""

from __future__ import annotations

import datetime
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nested_types import TYPES, checked, identity, length, moved, values

import udfvm
import udfvm.sqlite
from udfvm.errors import TypeMappingError, UDFError


@pytest.mark.parametrize("vectorized", [False, True], ids=["scalar", "vectorized"])
@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_batches_return(type_: pa.DataType, vectorized: bool) -> None:
    same = identity(type_, vectorized)

    @checked
    @given(st.lists(values(type_), max_size=20), st.integers(0, 5))
    def check(items: list[Any], start: int) -> None:
        array = pa.array(items, type_).slice(start)
        result = same(array)
        assert result.type == type_ and result.to_pylist() == array.to_pylist()

    check()


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_values_return(type_: pa.DataType) -> None:
    same = identity(type_, False)

    @checked
    @given(values(type_))
    def check(value: Any) -> None:
        assert same(value) == value

    check()


def test_calls_with_values() -> None:
    assert length([3.0, 4]) == 5.0
    assert length((3.0, 4.0)) == 5.0
    assert length(None) is None
    since = datetime.date(2026, 1, 2)
    assert moved({"name": "a", "where": [1, 2], "since": since}, 1) == {
        "name": "a",
        "where": [2.0, 3.0],
        "since": since,
    }
    assert moved({"name": "a", "where": [1.0]}, 1.0) == {"name": "a", "where": [2.0], "since": None}
    assert moved({"name": "a", "where": []}, 1.0) is None


def test_calls_with_columns() -> None:
    assert length(pa.array([[3, 4], None, []], pa.list_(pa.int8()))).to_pylist() == [5.0, None, 0.0]
    assert length(pa.chunked_array([[[3.0]], [[4.0], [5.0]]])).to_pylist() == [3.0, 4.0, 5.0]
    assert length(pa.array([[3.0, 4.0]], pa.list_(pa.float64(), 2))).to_pylist() == [5.0]
    assert length(pa.nulls(2)).to_pylist() == [None, None]
    objects = np.empty(2, dtype=object)
    objects[:] = [[3.0, 4.0], [6.0, 8.0]]
    assert length(objects).tolist() == [5.0, 10.0]
    names = pa.array(["a", None])
    lists = pa.array([[1.0], [2.0]])
    assert moved(
        pa.StructArray.from_arrays(
            [names, lists, pa.nulls(2, pa.date32())], names=["name", "where", "since"]
        ),
        1,
    ).to_pylist() == [
        {"name": "a", "where": [2.0], "since": None},
        {"name": None, "where": [3.0], "since": None},
    ]


def test_a_batch_larger_than_the_window_is_cut() -> None:
    @udfvm.udf(
        vectorized=True, elementwise=True, input_types=["list<int64>"], output_type="list<int64>"
    )
    def doubled(xs: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(xs.offsets, pc.multiply(xs.values, 2))

    flat = np.arange(20_000_000)
    lists = pa.ListArray.from_arrays(np.arange(0, len(flat) + 1, 100, dtype=np.int32), flat)
    result = doubled(lists)
    assert len(result) == len(lists)
    assert result.flatten().to_numpy().sum() == 2 * flat.sum()


def test_in_compute_and_datasets() -> None:
    udfvm.arrow.register(None, length)
    column = pa.array([[3.0, 4.0], None])
    assert pc.call_function("length", [column]).to_pylist() == [5.0, None]
    table = ds.dataset(pa.table({"xs": column})).to_table(
        columns={"n": length.expr(ds.field("xs"))}
    )
    assert table["n"].to_pylist() == [5.0, None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: length(3.0), "float where a list is declared"),
        (lambda: length("ab"), "str where a list is declared"),
        (lambda: length(["a"]), "declared double.*got str"),
        (lambda: length(pa.array([["a"]])), "an array of list<.*string>"),
        (lambda: length(np.array([1.0])), "argument 'xs'"),
        (lambda: moved({"nam": "a"}, 1.0), "'nam' is no field of struct<name"),
        (lambda: moved([("name", "a")], 1.0), "list where a mapping is declared"),
        (lambda: moved({"name": "a", "where": [{}]}, 1.0), "argument 'place'"),
        (
            lambda: moved(pa.array([{"where": [1.0], "name": "a", "since": None}]), 1.0),
            "an array of struct<where",
        ),
    ],
)
def test_arguments_of_other_types_are_refused(call: Any, message: str) -> None:
    with pytest.raises(TypeMappingError, match=message):
        call()


@pytest.mark.parametrize(
    ("output", "value", "message"),
    [
        (
            "list<int8>",
            [1, 128],
            "OverflowError: 128 is out of the range of its declared type, int8",
        ),
        ("list<int8>", 1, "TypeError: int where a list is declared"),
        (
            "list<string>",
            ["a", 1],
            "TypeError: the function returned int, but its result is declared str",
        ),
        (
            "fixed_size_list<double>[2]",
            [1.0],
            "ValueError: a list of 1 values where a list of 2 is declared",
        ),
        ("struct<a: int8>", [1], "TypeError: list where a dictionary with a is declared"),
        (
            "struct<a: int8>",
            {"b": 1},
            "TypeError: a dictionary with 'b' where one with a is declared",
        ),
        ("struct<a: list<double>>", {"a": ["x"]}, "TypeError: in 'a': the function returned str"),
    ],
)
def test_results_of_other_types_are_errors_of_their_row(
    output: str, value: Any, message: str
) -> None:
    @udfvm.udf(output_type=output)
    def wrong(row: int):  # type: ignore[no-untyped-def]
        return value if row == 2 else None

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, wrong)
    with pytest.raises(UDFError, match=message) as caught:
        wrong(pa.array([0, 1, 2]))
    assert caught.value.row == 2
    with pytest.raises(apsw.SQLError, match=message):
        connection.execute("SELECT wrong(2)").fetchall()


def test_results_may_be_tuples_and_arrays() -> None:
    @udfvm.udf(output_type="struct<a: list<double>, b: list<int64>>", packages=["numpy"])
    def spread(n: int):  # type: ignore[no-untyped-def]
        return {"a": np.arange(n, dtype=np.float32), "b": tuple(range(n))}

    assert spread(3) == {"a": [0.0, 1.0, 2.0], "b": [0, 1, 2]}


def test_the_sample_may_hold_lists() -> None:
    @udfvm.udf(sample=([1.0, 2.0],))
    def first(xs: list[float]) -> float:
        return xs[0]

    assert first([7.0]) == 7.0


def test_calls_do_not_see_what_others_did() -> None:
    @udfvm.udf
    def remembers(xs: list[int], seen: list[int] = []) -> list[int]:  # noqa: B006 - the point of the test
        return seen + xs

    made = udfvm.udf(
        lambda xs, seen=[]: (seen.extend(xs), list(seen))[1],
        name="grows",
        input_types=["list<int64>"] * 2,
        output_type="list<int64>",
    )  # noqa: B006,E501
    assert [made([index], []) for index in range(3)] == [[0], [1], [2]]
    assert remembers([1], [2]) == [2, 1]
