"""Lists and structs: batches, values, JSON in SQL, and replies of hostile guests."""

from __future__ import annotations

import datetime
import functools
import json
import struct
from typing import Any, NotRequired, TypedDict

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import udfvm
import udfvm.sqlite
from udfvm.codec.arrow_ipc import BatchCodec
from udfvm.errors import ProtocolError, SignatureError, TypeMappingError, UDFError
from udfvm.types.arrow_types import JSON, Parameter, ResultType, declared

POINT = pa.struct([("x", pa.float64()), ("name", pa.string())])
TYPES = [
    pa.list_(pa.int16()),
    pa.large_list(pa.string()),
    pa.list_(pa.float32(), 3),
    pa.list_(pa.list_(pa.bool_())),
    pa.list_(pa.binary()),
    POINT,
    pa.struct(
        [("the é", pa.date32()), ("at", pa.list_(pa.timestamp("us", tz="UTC"))), ("p", POINT)]
    ),
    pa.list_(pa.struct([("pairs", pa.list_(pa.int8(), 2)), ("n", pa.uint64())])),
]


def values(type_: pa.DataType) -> st.SearchStrategy[Any]:
    """Python values of a type, None among them at every level."""
    if pa.types.is_struct(type_):
        fields = {
            type_.field(index).name: values(type_.field(index).type)
            for index in range(type_.num_fields)
        }
        return st.none() | st.fixed_dictionaries(fields)
    if pa.types.is_fixed_size_list(type_):
        return st.none() | st.lists(
            values(type_.value_type), min_size=type_.list_size, max_size=type_.list_size
        )
    if type_.num_fields:
        return st.none() | st.lists(values(type_.value_type), max_size=4)
    if pa.types.is_integer(type_):
        bits = type_.bit_width
        unsigned = pa.types.is_unsigned_integer(type_)
        return st.none() | (
            st.integers(0, 2**bits - 1)
            if unsigned
            else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
    leaves: dict[pa.DataType, st.SearchStrategy[Any]] = {
        pa.bool_(): st.booleans(),
        pa.float32(): st.floats(width=32, allow_nan=False),
        pa.float64(): st.floats(allow_nan=False),
        pa.string(): st.text(max_size=8),
        pa.binary(): st.binary(max_size=8),
        pa.date32(): st.dates(),
        pa.timestamp("us", tz="UTC"): st.datetimes(
            datetime.datetime(1700, 1, 1), timezones=st.just(datetime.UTC)
        ),
    }
    return st.none() | leaves[type_]


@functools.cache
def identity(type_: pa.DataType, vectorized: bool) -> udfvm.ScalarFunction:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    return udfvm.udf(
        same, name="same", vectorized=vectorized, input_types=[type_], output_type=type_
    )


_checked = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("vectorized", [False, True], ids=["scalar", "vectorized"])
@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_batches_return(type_: pa.DataType, vectorized: bool) -> None:
    same = identity(type_, vectorized)

    @_checked
    @given(st.lists(values(type_), max_size=20), st.integers(0, 5))
    def check(items: list[Any], start: int) -> None:
        array = pa.array(items, type_).slice(start)
        result = same(array)
        assert result.type == type_ and result.to_pylist() == array.to_pylist()

    check()


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_values_return(type_: pa.DataType) -> None:
    same = identity(type_, False)

    @_checked
    @given(values(type_))
    def check(value: Any) -> None:
        assert same(value) == value

    check()


# JSON's numbers do not hold a float32 or the infinities, and text in SQLite ends at no NUL.
JSON_TYPES = [type_ for type_ in TYPES if "float" not in str(type_)]


@pytest.mark.parametrize("type_", JSON_TYPES, ids=str)
def test_json_returns(type_: pa.DataType) -> None:
    same = identity(type_, False)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, same)

    @_checked
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


# ---- Annotations ----


class Place(TypedDict):
    name: str
    where: list[float]
    since: NotRequired[datetime.date]


@udfvm.udf
def length(xs: list[float]) -> float:
    return sum(x * x for x in xs) ** 0.5


@udfvm.udf
def moved(place: Place, by: float) -> Place | None:
    return {**place, "where": [x + by for x in place["where"]]} if place["where"] else None


def test_annotations() -> None:
    def function(a: list[int | None], b: list[list[str]] | None, c: Place) -> list[Place]:
        return [c]

    made = udfvm.udf(function)
    place = "struct<name: string, where: list<item: double>, since: date32[day]>"
    assert [str(each.type) for each in made.parameters] == [
        "list<item: int64>",
        "list<item: list<item: string>>",
        place,
    ]
    assert [each.nullable for each in made.parameters] == [False, True, False]
    assert made.result == ResultType(declared(f"list<item: {place}>"), False)


@pytest.mark.parametrize(
    "annotation",
    [list, dict, list[Any], list[dict[str, int]], dict[str, float], list[list[object]]],
    ids=str,
)
def test_results_of_no_certain_type_are_json(annotation: Any) -> None:
    def function(a: int) -> Any:
        return a

    function.__annotations__["return"] = annotation
    assert udfvm.udf(function).result.type == JSON


@pytest.mark.parametrize(
    "annotation",
    [list, dict, list[Any], dict[str, float], tuple[float, float], list[np.ndarray]],
    ids=str,
)
def test_parameters_of_no_certain_type_are_refused(annotation: Any) -> None:
    def function(a: Any) -> int:
        return 0

    function.__annotations__["a"] = annotation
    with pytest.raises(SignatureError, match="parameter 'a': annotation"):
        udfvm.udf(function)


# ---- Calls ----


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
            "ValueError: a list of 1 values where one of 2 is declared",
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


# ---- SQL ----


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


def test_aggregates_and_table_functions_have_no_nested_types() -> None:
    class Gather:
        def step(self, xs: list[float]) -> None: ...
        def finish(self) -> list[float]:
            return []

    with pytest.raises(SignatureError, match="which table functions and aggregates do not have"):
        udfvm.aggregate(Gather)
    with pytest.raises(SignatureError, match="which table functions and aggregates do not have"):
        udfvm.table_function(
            lambda n: [], columns={"xs": "list<double>"}, name="rows", input_types=["int64"]
        )


# ---- Hostile replies ----


def reply_of(codec: BatchCodec, array: pa.Array) -> bytes:
    """What a guest would reply."""
    batch = pa.RecordBatch.from_arrays([array], schema=codec.result_schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, codec.result_schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def codec_of(type_: pa.DataType) -> BatchCodec:
    return BatchCodec(
        "f", [Parameter("x", declared("int64"), False)], ResultType(declared(type_), True)
    )


HOSTILE = pa.list_(
    pa.struct([("a", pa.list_(pa.int32())), ("b", pa.string()), ("c", pa.list_(pa.int8(), 2))])
)
ROWS = [[{"a": [1, 2], "b": "é", "c": [1, 2]}, None], None, [], [{"a": None, "b": None, "c": None}]]


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_replies_are_read_as_pyarrow_wrote_them(type_: pa.DataType) -> None:
    codec = codec_of(type_)

    @_checked
    @given(st.lists(values(type_), max_size=9))
    def check(items: list[Any]) -> None:
        array = pa.array(items, type_)
        assert codec.read(reply_of(codec, array), len(array)).equals(array)

    check()


@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_replies_that_were_tampered_with(data: st.DataObject) -> None:
    """Each is refused, or is a valid array."""
    codec = codec_of(HOSTILE)
    reply = bytearray(reply_of(codec, pa.array(ROWS, HOSTILE)))
    start = len(codec.result_schema_message)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(start, len(reply) - 8))
        number = data.draw(st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), 2**62, -(2**63), 7, 16]))
        form = data.draw(st.sampled_from(["<b", "<i", "<q"]))
        width = struct.calcsize(form)
        packed = (number & (1 << 8 * width) - 1).to_bytes(width, "little")
        reply[at : at + len(packed)] = packed
    try:
        array = codec.read(bytes(reply), len(ROWS))
    except ProtocolError:
        return
    array.validate(full=True)
    assert len(array) == len(ROWS) and array.type == HOSTILE
    array.to_pylist()


@pytest.mark.parametrize(
    ("field", "index", "pair", "message"),
    [
        ("nodes", 0, (5, 0), "rows where the request had"),
        ("nodes", 1, (-1, 0), "fewer than no rows"),
        ("nodes", 2, (1, 0), "has not the"),
        ("nodes", 6, (1, 0), "has not the"),
        ("nodes", 3, (2**40, 0), "not valid|no valid"),
        ("buffers", 0, (0, 2**40), "outside of the reply"),
        ("buffers", 1, (2**40, 8), "outside of the reply"),
        ("buffers", 1, (0, 4), "no valid"),
        ("buffers", 5, (-8, 8), "outside of the reply"),
    ],
)
def test_forged_places(field: str, index: int, pair: tuple[int, int], message: str) -> None:
    codec = codec_of(HOSTILE)
    reply = bytearray(reply_of(codec, pa.array(ROWS, HOSTILE)))
    start = len(codec.result_schema_message) + 8
    metadata = bytes(reply[start : start + struct.unpack_from("<I", reply, start - 4)[0]])
    from udfvm.codec.arrow_ipc import _Table, _unsigned

    header = _Table(metadata, _unsigned(metadata, 0)).table(2)
    place = start + header.target(1 if field == "nodes" else 2) + 4 + 16 * index
    struct.pack_into("<qq", reply, place, *pair)
    with pytest.raises(ProtocolError, match=message):
        codec.read(bytes(reply), len(ROWS))
