"""Lists and structs are arguments and results, as values and in batches."""

from __future__ import annotations

import datetime
from typing import Any, TypedDict

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
        (
            lambda: length(3.0),
            r"'xs' \(position 1\) is declared list<.*>, which takes a list; got float",
        ),
        (lambda: length("ab"), "is declared list<.*>, which takes a list; got str"),
        (lambda: length(["a"]), "is not a list<.*>: item 0 is declared double.*got str"),
        (lambda: length(pa.array([["a"]])), "an array of list<.*string>"),
        (lambda: length(np.array([1.0])), "argument 'xs'"),
        (
            lambda: moved({"nam": "a"}, 1.0),
            r"\(position 1\) has 'nam', which is not a field of struct<name",
        ),
        (
            lambda: moved([("name", "a")], 1.0),
            "is declared struct<.*>, which takes a mapping; got list",
        ),
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


_RETURNED = "the function returned a value that is no .*"


@pytest.mark.parametrize(
    ("output", "value", "message"),
    [
        (
            "list<int8>",
            [1, 128],
            f"OverflowError: {_RETURNED}: item 1: 128 is out of the range of its declared type, "
            "int8",
        ),
        ("list<int8>", 1, f"TypeError: {_RETURNED}: expected a list, got int"),
        (
            "list<string>",
            ["a", 1],
            f"TypeError: {_RETURNED}: item 1: expected str, got int",
        ),
        (
            "fixed_size_list<double>[2]",
            [1.0],
            f"ValueError: {_RETURNED}: expected a list of 2, got one of 1",
        ),
        (
            "struct<a: int8>",
            [1],
            f"TypeError: {_RETURNED}: expected a dictionary with the fields a; got list",
        ),
        (
            "struct<a: int8>",
            {"b": 1},
            f"TypeError: {_RETURNED}: unknown field 'b'; the fields are a",
        ),
        (
            "struct<a: list<double>>",
            {"a": ["x"]},
            f"TypeError: {_RETURNED}: field 'a', item 0: expected float, got str",
        ),
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
    )  # noqa: B006
    assert [made([index], []) for index in range(3)] == [[0], [1], [2]]
    assert remembers([1], [2]) == [2, 1]


class Tagged(TypedDict):
    a: int
    tags: list[str]


@udfvm.udf
def count_tagged(values: list[Tagged]) -> int:
    return len(values)


@udfvm.udf
def make_tagged(wrong: int) -> list[Tagged]:
    tags = ["x", {1: 3, 2: "\ud800"}.get(wrong, "y")]
    return [{"a": 1, "tags": []}, {"a": 2**70 if wrong == 3 else 2, "tags": tags}]  # type: ignore[typeddict-item]


def test_errors_say_where_in_a_value_they_are() -> None:
    wrong: Any = [{"a": 1, "tags": []}, {"a": 2, "tags": ["x", 3]}]
    assert count_tagged(wrong[:1]) == 1
    place = "is not a list<.*>: item 1, field 'tags', item 1 is declared string.*got int"
    with pytest.raises(TypeMappingError, match=place):
        count_tagged(wrong)
    assert len(make_tagged(0)) == 2
    for how, message in (
        (1, f"TypeError: {_RETURNED}: item 1, field 'tags', item 1: expected str, got int"),
        (
            3,
            f"OverflowError: {_RETURNED}: item 1, field 'a': 1180591620717411303424 is out of the",
        ),
    ):
        for argument in (how, pa.array([how])):
            with pytest.raises(udfvm.UDFError, match=message) as caught:
                make_tagged(argument)  # type: ignore[arg-type]
            assert str(caught.value).count("item 1, field") == 1  # the text is not there twice


def test_json_with_a_lone_surrogate_says_where_it_is() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, count_tagged)
    text = '[{"a": 1, "tags": ["x", "\\ud800"]}]'
    message = (
        r"argument 'values' \(position 1\) is not a list.*: item 0, field 'tags', item 1: the"
        " text in JSON has the lone surrogate"
    )
    with pytest.raises(apsw.SQLError, match=message):
        connection.execute("SELECT count_tagged(?)", (text,)).fetchall()
