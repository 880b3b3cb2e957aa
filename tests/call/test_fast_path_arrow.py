"""Small batches of pyarrow arrays take the same way in C as those of numpy."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from hostile_mutations import Mutations

import udfvm
from udfvm.call.fast_path import MAX_REQUEST
from udfvm.protocol import OUTPUT_BASE, STATUS_OK, VECTOR_COMPLETE

TYPES = [
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
    pa.uint64(), pa.float32(), pa.float64(),
]  # fmt: skip


@udfvm.udf(vectorized=True, input_types=["double", "int32"], output_type="double")
def weighted(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if len(x) and weight[0] == 13:
        raise ValueError("thirteen")
    return x * weight + 1


@udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64")
def positive(x: pa.Int64Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pc.greater(x, 0), x, None)


def arguments(rows: int) -> tuple[pa.Array, pa.Array]:
    values = np.random.default_rng(rows)
    return pa.array(values.random(rows)), pa.array(values.integers(1, 10, rows, dtype=np.int32))


def expected(x: pa.Array, weight: pa.Array) -> pa.Array:
    return pa.array(x.to_numpy() * weight.to_numpy() + 1)


def small(function: udfvm.ScalarFunction, *given: object) -> object:
    """The result of the way in C."""
    return function._calls._small.call(given)


@pytest.fixture(scope="module", autouse=True)
def _seen() -> None:
    assert weighted(*arguments(3)).equals(expected(*arguments(3)))
    assert weighted._calls._small is not None


@pytest.mark.parametrize("rows", [1, 7, 8, 1000, MAX_REQUEST // 12 - 100])
def test_sizes(rows: int) -> None:
    given = arguments(rows)
    result = small(weighted, *given)
    assert isinstance(result, pa.DoubleArray) and result.equals(expected(*given))
    result.validate(full=True)
    assert result.null_count == 0 and result.offset == 0
    assert result.buffers()[1].address % 64 == 0


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_types(type_: pa.DataType) -> None:
    same = udfvm.udf(_same, name="same", vectorized=True, input_types=[type_], output_type=type_)
    values = pa.array([0, 1, 100], type_)
    for given in (values, values[1:], values.to_numpy()):
        same(given)
        result = small(same, given)
        assert pa.array(result).equals(pa.array(given)) and type(result) is type(given)
    others = [each for each in TYPES if each != type_]
    assert all(small(same, pa.array([1], each)) is NotImplemented for each in others)


def _same(x):  # type: ignore[no-untyped-def]
    return x


def test_slices_and_bitmaps_without_nulls() -> None:
    x, weight = arguments(100)
    assert small(weighted, x[3:], weight[:97]).equals(expected(x[3:], weight[:97]))
    holed = pa.array([None, *range(9), None], pa.float64())
    for given in (holed[1:10], holed[2:9]):  # their counts of nulls are not known
        assert given.buffers()[0] is not None
        few = weight[: len(given)]
        assert small(weighted, given, few).equals(expected(given, few))
    counted = pa.Array.from_buffers(pa.float64(), 9, holed.buffers(), 0, 1)
    assert small(weighted, counted, weight[:9]).equals(expected(counted, weight[:9]))
    for given in (holed, holed[:5], holed[5:], pa.nulls(11, pa.float64())):
        assert small(weighted, given, weight[: len(given)]) is NotImplemented
        made = weighted(given, weight[: len(given)])
        assert made.is_null().equals(given.is_null())


def test_arrays_of_both_libraries() -> None:
    x, weight = arguments(50)
    for given in ((x.to_numpy(), weight), (x, weight.to_numpy())):
        result = small(weighted, *given)
        assert isinstance(result, pa.DoubleArray) and result.equals(expected(x, weight))
    assert isinstance(small(weighted, x.to_numpy(), weight.to_numpy()), np.ndarray)


def test_what_is_left_to_python() -> None:
    x, weight = arguments(20)
    for given in (
        (x,),
        (x, weight[:5]),
        (x[:0], weight[:0]),
        (x, 3),
        (x, weight.cast(pa.int64())),
        (pa.chunked_array([x]), weight),
        (x.dictionary_encode(), weight),
        arguments(MAX_REQUEST),
    ):
        assert small(weighted, *given) is NotImplemented
    assert weighted(x, 3).equals(expected(x, pa.array([3] * 20)))
    assert len(weighted(x[:0], weight[:0])) == 0
    with pytest.raises(udfvm.TypeMappingError):
        weighted(x, weight[:5])


def test_nothing_is_kept() -> None:
    values = np.random.default_rng(1).random(100)
    x, weight = pa.array(values), arguments(100)[1]
    failing = pa.array([13] * 100, pa.int32())
    counts = [sys.getrefcount(each) for each in (values, x, weight, NotImplemented)]
    for _ in range(30):
        weighted(x, weight)
        assert small(weighted, x, weight[:50]) is NotImplemented
        with pytest.raises(udfvm.UDFError, match="thirteen"):
            weighted(x, failing)
    gc.collect()
    assert [sys.getrefcount(each) for each in (values, x, weight, NotImplemented)] == counts


def test_results_live_on_their_own() -> None:
    made = [weighted(*arguments(rows)) for rows in range(1, 60)]
    halves = [each[len(each) // 2 :] for each in made]
    kept = [expected(*arguments(rows)) for rows in range(1, 60)]
    del made
    dropped: list[pa.Array] = [weighted(*arguments(9)) for _ in range(50)]
    thread = threading.Thread(target=dropped.clear)
    thread.start()
    thread.join()
    assert all(half.equals(one[len(one) // 2 :]) for half, one in zip(halves, kept, strict=True))


def test_nulls_in_a_result() -> None:
    for values in ([1, -1, 5], [1, 2, 3], [-1]):
        for _ in range(2):
            result = positive(pa.array(values))
            assert result.to_pylist() == [value if value > 0 else None for value in values]


def test_a_forked_child_makes_its_own_vm() -> None:
    given = arguments(50)
    child = os.fork()
    if child == 0:
        os._exit(0 if weighted(*given).equals(expected(*given)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert weighted(*given).equals(expected(*given))


PROGRAM = """
import sys
sys.modules["numpy"] = None              # as if it were not installed
import pyarrow as pa
import udfvm
def one(x):
    import pyarrow.compute as pc
    return pc.add(x, 1)
following = udfvm.udf(one, vectorized=True, input_types=["int64"], output_type="int64")
for _ in range(3):
    assert following(pa.array([1, 2])).to_pylist() == [2, 3]
assert not following._calls._small.has_numpy
del sys.modules["numpy"]
import numpy as np
for _ in range(3):
    assert following(np.array([1, 2])).tolist() == [2, 3]
assert following._calls._small.has_numpy
assert following._calls._small.call((np.array([5]),)).tolist() == [6]
"""


def test_without_numpy() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


# ---- Replies of a hostile guest ----


def _complete(data: bytes) -> None:
    ctypes.memmove(OUTPUT_BASE, data, len(data))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(STATUS_OK, len(data))


def _mutated() -> list[tuple[int, bytes]]:
    """Replies of float64 for so many rows: the usual one, and mutations of it and of others."""
    mutations, chosen = Mutations(pa.float64()), random.Random(3)
    made = [mutations.make(number) for number in chosen.sample(range(mutations.count), 60)]
    layout = mutations.codec.number_codec().layout(9)
    usual = layout.reply_head + bytes(range(256))[: layout.reply_length - len(layout.reply_head)]
    assert len(usual) == layout.reply_length
    made += [(9, usual), (9, usual[:-8]), (9, usual + bytes(8)), (9, usual[:100]), (9, b"")]
    for offset in chosen.sample(range(len(layout.reply_head)), 60):
        changed = usual[:offset] + bytes([usual[offset] ^ 1 << chosen.randrange(8)])
        made.append((9, changed + usual[offset + 1 :]))
    return made


def test_replies_of_a_hostile_guest() -> None:
    replies = _mutated()

    @udfvm.udf(vectorized=True, input_types=["int64"], output_type="double")
    def hostile(x: pa.Int64Array) -> pa.Array:
        if len(x):
            _complete(replies[x[0].as_py()][1])
        return pa.nulls(len(x), pa.float64())

    accepted = 0
    hostile(pa.array([60] * 9))
    for index, (rows, _) in enumerate(replies):
        given = pa.array([index] * rows)
        for argument in (given, given.to_numpy()):
            try:
                result = hostile._calls._small.call((argument,))
            except udfvm.ProtocolError:
                continue
            array = pa.array(result)
            array.validate(full=True)
            assert len(array) == rows and array.type == pa.float64()
            assert len(array.to_pylist()) == rows
            accepted += 1
    assert 2 <= accepted < 2 * len(replies)
