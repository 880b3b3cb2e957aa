"""Columns of other libraries go in, and come back as what they were."""

from __future__ import annotations

import array
import ctypes
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from capsule_producers import capsules
from column_functions import added, following, shouted, total, twice

import udfvm
from udfvm.codec.buffers import buffer_column
from udfvm.codec.containers import Container, container_of
from udfvm.types.arrow_types import Parameter, declared


def parameter() -> Parameter:
    return Parameter("x", declared("double"), False, position=1)


@udfvm.udf
def described(x: int) -> dict:
    return {"is": x}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (pd.Series(pd.period_range("2020", periods=2, freq="M")), "dtype period[M], which"),
        (pd.period_range("2020", periods=2, freq="M"), "pyarrow.array(index).type"),
        (pd.Series(pd.interval_range(0, 2)), "series.array.left"),
        (pd.Series([0, 1], dtype="Sparse[int64]"), "Sparse[int64, 0], which Arrow has no counter"),
        (
            pd.Series([1, 2], dtype=np.longdouble),
            "float128, which Arrow has no counterpart for: pass series.astype('float64')",
        ),
        (pd.Series([1j]), "complex128, which Arrow has no counterpart for: pass its parts"),
        (pd.MultiIndex.from_tuples([(1, 2)]), "index.get_level_values(0)"),
        (pd.Series([1.0, None]), "pass series.astype('Int64')"),
        (pl.Series([object()], dtype=pl.Object), "polars Series of Object, which Arrow has no"),
        (pl.Series([1], dtype=pl.Int128), "polars Series of Int128, which Arrow has no"),
        (pa.py_buffer(b"ab"), "got bytes"),
        (memoryview(b"ab"), "got memoryview"),
        (memoryview(b"abcd").cast("h", [1, 2]), "a memoryview of 2 dimensions"),
        (array.array("u", "ab"), "items 'w'"),
        (np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]), "such as array['a']"),
        (np.ones((2, 2)), "2 dimensions"),
        (
            np.array([1j]),
            "numpy array of complex128, which Arrow has no type for: cast it first: arra",
        ),
        (
            np.array(["2024"], "M8[Y]"),
            "Y], which Arrow has no type for: cast it first: array.astype('datetime64[s]')",
        ),
        (np.array([1, 2], np.longdouble), "cast it first: array.astype('float64')"),
        (pd.DataFrame({"a": [1], "b": [2]}), "pandas DataFrame of 2 columns: pass one of them"),
        (pl.DataFrame({"a": [1], "b": [2]}), "polars DataFrame of 2 columns: pass one of them"),
        (pa.table({"a": [1], "b": [2]}), "a Table of 2 columns: pass one of them, such as 'a'"),
        (pa.table({}), "a Table of 0 columns"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:20],
)
def test_what_has_no_counterpart_says_so(given: Any, found: str) -> None:
    with pytest.raises(udfvm.TypeMappingError) as caught:
        following(given)
    assert found in str(caught.value) and caught.value.argument == "x"
    assert str(caught.value).startswith("UDF 'following': argument 'x' (position 1) is declared")


def _size(data: bytes) -> int:
    return len(data)


def _same(x):  # type: ignore[no-untyped-def]
    return x


# ---- polars ----


def test_a_series_of_polars_comes_back() -> None:
    made = shouted(pl.Series("word", ["a", None]))
    assert made.to_list() == ["A", None] and made.name == "word" and made.dtype == pl.String
    assert twice(pl.Series("x", [1.0, float("nan")])).is_nan().to_list() == [False, True]
    assert shouted(pl.Series(["a", "b"], dtype=pl.Categorical)).to_list() == ["A", "B"]
    assert added(pl.Series("x", [1.0]), pl.Series("y", [2.0])).name == "x"
    joined = pl.concat([pl.Series("x", [1.0]), pl.Series("x", [2.0])], rechunk=False)
    assert twice(joined).to_list() == [2.0, 4.0]
    assert twice(joined[:0]).to_list() == []


def test_a_result_that_polars_cannot_hold() -> None:
    wide = udfvm.udf(
        _same, name="wide", input_types=["decimal128(5, 2)"], output_type="decimal256(40, 2)"
    )
    with pytest.raises(udfvm.TypeMappingError, match=r"decimal256.* polars cannot hold.*to_arrow"):
        wide(pl.Series([Decimal("1.50")]))
    for type_ in (pa.list_(pa.int8(), 0), pa.struct([("a", pa.list_(pa.decimal256(40, 3)))])):
        nulls = udfvm.udf(lambda x: None, name="f", input_types=["int64"], output_type=type_)
        with pytest.raises(udfvm.TypeMappingError, match="which polars cannot hold"):
            nulls(pl.Series([1, 2]))


def test_a_series_that_polars_cannot_hand_over() -> None:
    """It would end the process."""
    broken = pl.Series("x", pa.array([[Decimal("1.50")]], pa.list_(pa.decimal32(5, 2))))
    lists = udfvm.udf(_same, name="f", input_types=["list<decimal128(5, 2)>"], output_type="int64")
    joined = pl.concat([pl.Series("x", [[]], broken.dtype), broken], rechunk=False)
    for series in (broken, broken.limit(0), joined):
        for given in (series, series.to_frame()):
            with pytest.raises(udfvm.TypeMappingError, match="which polars cannot hand over"):
                lists(given)
        with pytest.raises(udfvm.TypeMappingError, match="column 'x' of the source of map"):
            lists.map(series.to_frame())


@pytest.mark.parametrize("bits", [32, 64])
def test_polars_reads_decimals_of_few_bits_right(bits: int) -> None:
    """It has other values of those in lists and structs that it reads from Arrow."""
    few, many = f"list<struct<a: decimal{bits}(5, 2)>>", "list<struct<a: decimal128(5, 2)>>"
    back = udfvm.udf(_same, name="back", input_types=[many], output_type=few)
    values = [[{"a": Decimal("1.50")}, {"a": Decimal("-2.25")}], None, []]
    given = pl.Series("x", values, pl.List(pl.Struct({"a": pl.Decimal(5, 2)})))
    made = back(given)
    assert made.to_list() == values
    assert made.to_arrow().to_pylist() == values


# ---- pyarrow, capsules and buffers ----


@pytest.mark.parametrize(
    ("given", "container"),
    [
        (pa.table({"x": [1, 2]}), pa.ChunkedArray),
        (pa.record_batch({"x": [1, 2]}), pa.Array),
        (capsules(pa.array([1, 2])), pa.Array),
        (capsules(pa.array([0, 1, 2])[1:]), pa.Array),
        (capsules(pa.chunked_array([[1], [2]])), pa.Array),
        (capsules(pa.record_batch({"x": [1, 2]})), pa.Array),
        (
            pa.RecordBatchReader.from_batches(
                pa.schema({"x": pa.int64()}), [pa.record_batch({"x": [1, 2]})]
            ),
            pa.Array,
        ),
        (duckdb.sql("SELECT unnest([1, 2])::BIGINT AS x"), pa.Array),
        (array.array("q", [1, 2]), pa.Array),
        (array.array("B", [1, 2]), pa.Array),
        (memoryview(array.array("h", [1, 2])), pa.Array),
        (memoryview(np.arange(1, 4, dtype="u2"))[:2], pa.Array),
        (memoryview(np.array([1, 0, 2, 0]))[::2], pa.Array),
    ],
    ids=lambda value: type(value).__name__,
)
def test_producers_of_arrow_data_get_arrays(given: Any, container: type) -> None:
    made = following(given)
    assert isinstance(made, container) and made.to_pylist() == [2, 3]


class OnDevice:
    """Has no more than ``__arrow_c_device_array__``."""

    def __init__(self, held: Any, device_type: int = 1) -> None:
        self._held, self._device_type = held, device_type

    def __arrow_c_device_array__(self, requested: object = None, **_: object) -> tuple[Any, Any]:
        schema, array = self._held.__arrow_c_device_array__(requested)
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        # Behind the array, of ten words, is the number of the device, and then its type.
        address = pointer(array, b"arrow_device_array") + 11 * 8
        ctypes.c_int32.from_address(address).value = self._device_type
        return schema, array


def test_arrays_of_devices_are_taken_from_the_memory_of_the_processor() -> None:
    made = twice(OnDevice(pa.array([1.0, None, 3.0])))
    assert isinstance(made, pa.Array) and made.to_pylist() == [2.0, None, 6.0]
    assert twice(OnDevice(pa.record_batch({"x": [1.0]}))).to_pylist() == [2.0]
    assert twice.map(OnDevice(pa.record_batch({"x": [1.5]})))["twice"].to_pylist() == [3.0]
    cuda = 2
    with pytest.raises(udfvm.TypeMappingError, match="OnDevice, whose Arrow data cannot be read"):
        twice(OnDevice(pa.array([1.0]), cuda))
    with pytest.raises(udfvm.Error, match="OnDevice"):
        twice.map(OnDevice(pa.record_batch({"x": [1.5]}), cuda))


def test_a_producer_that_fails() -> None:
    class Broken:
        def __arrow_c_array__(self, requested_schema: object = None) -> Any:
            raise ValueError("the file is closed")

    with pytest.raises(
        udfvm.TypeMappingError, match=r"Broken, whose Arrow data cannot be read: the"
    ):
        following(Broken())


def test_buffers() -> None:
    for code, type_ in (
        ("b", "int8"), ("B", "uint8"), ("h", "int16"), ("H", "uint16"), ("i", "int32"),
        ("I", "uint32"), ("l", "int64"), ("L", "uint64"), ("q", "int64"), ("Q", "uint64"),
        ("f", "float"), ("d", "double"),
    ):  # fmt: skip
        made = buffer_column("f", parameter(), array.array(code, [1, 2]))
        assert str(made.type) == type_ and made.to_pylist() == [1, 2]
    flags = memoryview(np.array([True, False]))
    assert buffer_column("f", parameter(), flags).to_pylist() == [True, False]
    swapped = memoryview(np.array([1], ">i4"))
    with pytest.raises(udfvm.TypeMappingError, match="items '>i'"):
        buffer_column("f", parameter(), swapped)
    size = udfvm.udf(_size, name="size", input_types=["binary"], output_type=int)
    assert [size(each(b"abc")) for each in (bytes, bytearray, memoryview)] == [3, 3, 3]


def test_a_struct_in_a_producer() -> None:
    structs = pa.array([{"a": 1, "b": 2.0}, None], pa.struct({"a": pa.int64(), "b": pa.float64()}))
    assert total(capsules(structs)).to_pylist() == [3.0, None]
    assert total(pa.table({"pair": structs})).to_pylist() == [3.0, None]
    assert total(capsules(structs[:1])).to_pylist() == [3.0]


# ---- numpy ----


def test_masked_arrays_come_back() -> None:
    made = following(np.ma.array([1, 2], mask=[False, True]))
    assert type(made) is np.ma.MaskedArray and made.tolist() == [2, None]
    assert made.dtype == np.int64
    assert shouted(np.ma.array(["a", "b"], mask=[True, False])).tolist() == [None, "B"]
    assert twice(np.ma.array([1.0])).tolist() == [2.0]
    assert following(np.ma.array([1, 2], mask=True)).tolist() == [None, None]
    assert following(np.ma.masked) is None
    assert described(np.ma.array([1, 2], mask=[False, True])).tolist() == [{"is": 1}, None]


def test_structured_arrays() -> None:
    pairs = np.array([(1, 0.5), (2, 1.5)], dtype=[("a", ">i4"), ("b", "f4")])
    assert total(pairs).tolist() == [1.5, 3.5] and total(pairs[0]) == 1.5
    assert total(pairs[::2]).tolist() == [1.5]
    masked = np.ma.array(pairs, mask=[(False, False), (True, True)])
    assert total(masked).tolist() == [1.5, None]
    with pytest.raises(udfvm.TypeMappingError, match=r"numpy array of .*'c'"):
        total(np.array([(1, 0.5)], dtype=[("a", "i4"), ("c", "f4")]))


# ---- Mixed ----


def test_the_first_in_the_order_decides() -> None:
    series, other = pd.Series([1.0]), pl.Series([1.0])
    table, chunked = pa.table({"x": [1.0]}), pa.chunked_array([[1.0]])
    single, producer, masked = pa.array([1.0]), array.array("d", [1.0]), np.ma.array([1.0])
    plain = np.array([1.0])
    order = [
        ([series], pd.Series),
        ([pd.Index([1.0])], pd.Index),
        ([pd.array([1.0])], pd.api.extensions.ExtensionArray),
        ([other], pl.Series),
        ([table, chunked], pa.ChunkedArray),
        ([single, producer], pa.Array),
        ([masked], np.ma.MaskedArray),
        ([plain], np.ndarray),
        ([1.0], float),
    ]
    for index, (values, expected) in enumerate(order):
        for value in values:
            for others, _ in order[index:]:
                for one in others:
                    assert isinstance(added(value, one), expected)
                    assert isinstance(added(one, value), expected)


def test_json_for_pandas_and_polars() -> None:
    assert described(pd.Series([1, 2], index=[5, 6])).to_dict() == {5: {"is": 1}, 6: {"is": 2}}
    assert described(pl.Series([1])).to_list() == ['{"is":1}']


def test_what_is_a_value_stays_one() -> None:
    for value in (1, "a", b"a", memoryview(b"a"), pa.scalar(1), pd.Timestamp(0), np.float64(1),
                  np.array(1), pd.NA, np.datetime64(1, "s"), [1], Decimal(1)):  # fmt: skip
        assert container_of(value) is Container.SCALAR
