"""Columns of numbers cross as they are stored: whole, sliced, in chunks, in steps; what is no such
column takes the other way.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import udfvm
from udfvm.call.chunks import TooLarge, TooLargeForWindowError, call_in_chunks
from udfvm.codec.containers import Container
from udfvm.codec.fixed_width import NumberBatches, NumberColumns
from udfvm.codec.record_batches import BatchCodec, BatchReply
from udfvm.errors import ProtocolError
from udfvm.types.arrow_types import Parameter, ResultType, declared

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


@udfvm.udf(vectorized=True, input_types=["double", "int32"], output_type="double")
def weighted(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x * weight + 1


@udfvm.udf(vectorized=True, input_types=["double", "int32"], output_type="double")
def weighted_in_arrow(x: pa.Array, weight: pa.Array) -> pa.Array:
    from pyarrow import compute

    return compute.add(compute.multiply(x, weight.cast("double")), 1.0)


def _numbers(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=rows), random.integers(-1000, 1000, rows, dtype=np.int32)


def _cut(column: pa.Array, cuts: Sequence[int]) -> pa.ChunkedArray:
    ends = [0, *sorted(min(cut, len(column)) for cut in cuts), len(column)]
    return pa.chunked_array(
        [column.slice(begin, end - begin) for begin, end in itertools.pairwise(ends)], column.type
    )


def _batches(parameters: Sequence[str], result: str) -> NumberBatches:
    return NumberBatches(_codec(parameters, result))


def _codec(parameters: Sequence[str], result: str) -> BatchCodec:
    inputs = [
        Parameter(f"p{index}", declared(type_), False) for index, type_ in enumerate(parameters)
    ]
    return BatchCodec("f", inputs, ResultType(declared(result), True))


# ---- Calls ----


@pytest.mark.parametrize("function", [weighted, weighted_in_arrow], ids=["numpy", "pyarrow"])
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 3000),
    skipped=st.integers(0, 70),
    cuts=st.tuples(*[st.lists(st.integers(0, 3000), max_size=4)] * 2),
    forms=st.tuples(*[st.sampled_from(["array", "chunked", "numpy", "steps", "backwards"])] * 2),
)
def test_columns_in_any_shape(
    function: udfvm.ScalarFunction,
    rows: int,
    skipped: int,
    cuts: tuple[list[int], list[int]],
    forms: tuple[str, str],
) -> None:
    columns = [column[skipped:] for column in _numbers(rows + skipped, rows)]
    arguments = []
    for column, cut, form in zip(columns, cuts, forms, strict=True):
        padded = np.concatenate(
            [np.full(skipped, 7, column.dtype), column, np.full(5, 9, column.dtype)]
        )
        array = pa.array(padded).slice(skipped, rows)
        shapes = {
            "array": array,
            "chunked": _cut(array, cut),
            "numpy": column,
            "steps": np.repeat(column, 2)[::2],
        }
        arguments.append(shapes.get(form, column[::-1].copy()[::-1]))
    result = function(*arguments)
    kind = pa.ChunkedArray if "chunked" in forms else pa.Array if "array" in forms else np.ndarray
    assert isinstance(result, kind)
    values = result if isinstance(result, np.ndarray) else result.to_numpy()
    np.testing.assert_array_equal(values, columns[0] * columns[1] + 1)
    if isinstance(result, np.ndarray):
        assert result.flags.writeable
    else:
        result.validate(full=True)
        assert result.type == pa.float64()
        assert result.null_count == 0


def test_nulls_take_the_other_way() -> None:
    x, weight = (pa.array(column) for column in _numbers(100))
    with_null = pa.concat_arrays([pa.nulls(1, x.type), x.slice(1)])
    result = weighted(with_null, weight)
    assert result.null_count == 1 and not result[0].is_valid
    assert result.slice(1).equals(weighted(x, weight).slice(1))
    # A slice past the null has none.
    assert weighted(with_null.slice(1), weight.slice(1)).equals(result.slice(1))
    chunked = pa.chunked_array([x.slice(0, 50), with_null.slice(0, 50)])
    assert weighted(chunked, weight).null_count == 1


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_not_a_time_is_null(unit: str) -> None:
    @udfvm.udf(input_types=[f"timestamp[{unit}]"], output_type="int64")
    def year(moment: datetime.datetime) -> int:
        return moment.year

    times = np.array(["2013-01-05", "NaT", "1969-12-31"], f"datetime64[{unit}]")
    assert year(times).tolist() == [2013, None, 1969]
    assert year(times[[0, 2]]).tolist() == [2013, 1969]
    assert year(pa.array(times)).to_pylist() == [2013, None, 1969]


def test_values_repeat_beside_arrays() -> None:
    x, _ = _numbers(10)
    np.testing.assert_array_equal(weighted(x, 3), x * 3 + 1)
    assert weighted(pa.array(x), 3).equals(pa.array(x * 3 + 1))


def test_columns_of_other_types_are_cast() -> None:
    x, weight = _numbers(10)
    assert weighted(pa.array(x), pa.array(weight, pa.int64())).equals(
        weighted(pa.array(x), pa.array(weight))
    )
    np.testing.assert_array_equal(
        weighted(x.astype(">f8"), weight.astype(np.int16)), x * weight + 1
    )
    with pytest.raises(udfvm.TypeMappingError, match="different lengths"):
        weighted(pa.array(x), pa.array(weight[1:]))
    assert weighted(pa.array(x[:0]), pa.array(weight[:0])).equals(pa.array(x[:0]))


def test_results_are_not_shared() -> None:
    x, weight = _numbers(5000)
    first = weighted(x, weight)
    kept = first.copy()
    second = weighted(x, weight)
    second[:] = 0
    np.testing.assert_array_equal(first, kept)
    arrow = weighted(pa.array(x), pa.array(weight))
    weighted(pa.array(x + 1), pa.array(weight))
    np.testing.assert_array_equal(arrow.to_numpy(), kept)


def test_batches_larger_than_the_window_are_cut() -> None:
    rows = 6_000_000  # 72 MB
    x, weight = np.arange(rows, dtype=float), np.ones(rows, np.int32)
    result = weighted(_cut(pa.array(x), [1_000_001]), pa.array(weight))
    assert isinstance(result, pa.ChunkedArray)
    np.testing.assert_array_equal(result.to_numpy(), x + 1)


def test_errors_of_later_chunks_name_the_row() -> None:
    @udfvm.udf(timeout=None)
    def positive(x: int) -> int:
        if x < 0:
            raise ValueError("negative")
        return 1

    column = np.ones(1000, np.int64)
    column[700] = -1
    with pytest.raises(udfvm.UDFError, match="negative") as caught:
        positive(pa.array(column))
    assert caught.value.row == 700


# ---- Parts ----


def test_what_is_taken() -> None:
    batches = _batches(["double"], "double")
    assert batches.take([np.zeros(3)]) is not None
    for other in (
        np.zeros(0),
        np.zeros((2, 2)),
        np.zeros(3, np.float32),
        np.ma.masked_array(np.zeros(3)),
        [1.0],
        1.0,
        None,
        pa.array([], pa.float64()),
        pa.array([1.0, None]),
        pa.array([1]),
        pa.chunked_array([], pa.float64()),
        pa.array([1.0]).dictionary_encode(),
    ):
        assert batches.take([other]) is None
    assert _batches(["string"], "double").take([pa.array(["a"])]) is None
    assert _batches(["bool"], "double").take([pa.array([True])]) is None
    assert _batches(["double"], "string").take([np.zeros(3)]) is None


def test_requests_are_streams() -> None:
    codec = _codec(["int8", "timestamp[us]", "double"], "double")
    batches = NumberBatches(codec)
    columns = [
        _cut(pa.array(range(13), pa.int8()), [3, 3, 11]),
        pa.array(range(13), pa.timestamp("us")),
        pa.array(np.arange(13.0)),
    ]
    taken = batches.take(columns)
    assert taken is not None and taken.container is Container.CHUNKED
    window = bytearray(4096)
    length = batches.write(memoryview(window), taken)
    read = pa.ipc.open_stream(bytes(window[:length])).read_all()
    assert [column.to_pylist() for column in read.columns] == [
        column.to_pylist() for column in columns
    ]
    part = taken.slice(2, 10)
    length = batches.write(memoryview(window), part)
    read = pa.ipc.open_stream(bytes(window[:length])).read_all()
    assert [column.to_pylist() for column in read.columns] == [
        column.slice(2, 10).to_pylist() for column in columns
    ]
    with pytest.raises(TooLargeForWindowError):
        batches.write(memoryview(window)[: length - 1], part)


def _guest_reply(values: np.ndarray) -> bytes:
    """A reply laid out as guests lay it out: the capacity of a bitmap, then the data."""
    numbers = _codec(["double"], "double").number_codec()
    assert numbers is not None
    layout = numbers.layout(len(values))
    return (layout.reply_head.ljust(layout.reply_data, b"\0") + values.tobytes()).ljust(
        layout.reply_length - 8, b"\0"
    ) + END_OF_STREAM


def _arrow_reply(values: pa.Array) -> bytes:
    """A reply as pyarrow lays it out."""
    schema = _codec(["double"], "double").result_schema
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([values], schema=schema))
    return bytes(sink.getvalue())


def _reply(stream: bytes, rows: int = 3) -> BatchReply:
    """A reply as a call gives it."""
    part = _codec(["double"], "double").numbers_in(memoryview(stream), rows)
    return BatchReply(stream[part] if part else stream, rows, part is not None)


FROM_GUEST = _guest_reply(np.array([1.0, 2.0, 3.0]))
FROM_ARROW = _arrow_reply(pa.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("reply", [FROM_GUEST, FROM_ARROW], ids=["guest", "arrow"])
def test_hostile_replies(reply: bytes) -> None:
    """Whatever bits of a reply are changed, it is refused or gives as many numbers as were asked
    for.
    """
    batches = _batches(["double"], "double")
    assert batches.result(Container.ARRAY, [_reply(reply)]).to_pylist() == [1.0, 2.0, 3.0]
    assert batches.result(Container.NUMPY, [_reply(reply)]).tolist() == [1.0, 2.0, 3.0]
    refused = 0
    for position in range(len(reply)):
        for bit in (0, 3, 7):
            changed = bytearray(reply)
            changed[position] ^= 1 << bit
            for container in (Container.ARRAY, Container.NUMPY):
                try:
                    result = batches.result(container, [_reply(bytes(changed))])
                except ProtocolError:
                    refused += 1
                    continue
                assert len(result) == 3
                if container is Container.ARRAY:
                    result.validate(full=True)
    assert refused > 100
    for cut in range(len(reply) - 32):
        with pytest.raises(ProtocolError):
            batches.result(Container.ARRAY, [_reply(reply[:cut])])
    for rows in (2, 4):
        with pytest.raises(ProtocolError, match=f"3 rows where the request had {rows}"):
            batches.result(Container.NUMPY, [_reply(reply, rows)])


def test_chunks_are_in_order() -> None:
    whole = NumberColumns(
        Container.ARRAY,
        100,
        (1,),
        ((memoryview(bytes(range(60))), memoryview(bytes(range(60, 100)))),),
    )
    starts = []

    def call(part: NumberColumns, start: int, failure: TooLarge | None) -> bytes:
        if part.num_rows > 40 and failure is None:
            raise TooLargeForWindowError(part.num_rows, 40)
        if part.num_rows > 20 and failure is None:
            raise udfvm.OutputLimitError("too large")
        starts.append((start, type(failure)))
        return b"".join(part.data[0])

    assert b"".join(call_in_chunks(whole, call, cut=True, cut_results=True)) == bytes(range(100))
    assert starts == sorted(starts) and {kind for _, kind in starts} == {type(None)}

    starts.clear()
    assert b"".join(call_in_chunks(whole, call, cut=True, cut_results=False)) == bytes(range(100))
    assert [start for start, _ in starts] == [0, 33, 66, 99] and starts[0][
        1
    ] is udfvm.OutputLimitError

    starts.clear()
    assert call_in_chunks(whole, call, cut=False, cut_results=True) == [bytes(range(100))]
    assert starts == [(0, TooLargeForWindowError)]


def test_a_row_that_does_not_fit_gets_larger_windows() -> None:
    whole = NumberColumns(Container.ARRAY, 2, (1,), ((memoryview(b"ab"),),))

    def call(part: NumberColumns, start: int, failure: TooLarge | None) -> str:
        if failure is None:
            raise TooLargeForWindowError(100, 10)
        return f"{start}: {part.num_rows} of {failure.args[0]}"

    assert call_in_chunks(whole, call, cut=True, cut_results=True) == ["0: 1 of 100", "1: 1 of 100"]
