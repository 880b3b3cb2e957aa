"""Arrays become arrays of another type: lists of every form, encoded columns, nested values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conversion_cases import DAY, array_of, parameter
from encoded_values import Meters
from hypothesis import given, settings
from hypothesis import strategies as st

from udfvm.codec.arguments import columns_of
from udfvm.errors import TypeMappingError
from udfvm.types.array_conversions import _NUMBERS, convert
from udfvm.types.array_values import to_values
from udfvm.types.conversions import (
    Loss,
    Refused,
)

LISTS = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]
ITEMS = st.none() | st.lists(st.none() | st.integers(-100, 100), max_size=4)
PAIRS = st.none() | st.lists(st.none() | st.integers(-100, 100), min_size=2, max_size=2)


@pytest.mark.parametrize("type_", [pa.list_(pa.int64()), pa.map_(pa.int64(), pa.int64())], ids=str)
def test_no_lists_whose_first_offset_is_beyond_the_values(type_: Any) -> None:
    """Arrow writes them where it cuts lists of lists, and pyarrow ends the process at some uses."""
    held = pa.array([], type_.value_type if pa.types.is_list(type_) else type_.field(0).type)
    offsets = pa.array([2, 2], pa.int32()).buffers()[1]
    empty = pa.Array.from_buffers(type_, 0, [None, offsets], children=[held])
    for array in (empty, pa.ListArray.from_arrays([0, 0], empty)):
        assert convert(array, array.type).to_pylist() == array.to_pylist()
        assert to_values(array) == array.to_pylist()
    lists = pa.ListArray.from_arrays([0, 0], empty)
    other = pa.map_(pa.int8(), pa.int8()) if pa.types.is_map(type_) else pa.list_(pa.int8())
    assert convert(lists, pa.large_list(other)).to_pylist() == [[]]


@pytest.mark.parametrize("made", LISTS, ids=lambda made: made.__name__)
def test_lists_of_every_kind(made: Any) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(ITEMS, max_size=8), st.integers(0, 3), st.lists(PAIRS, max_size=5))
    def check(lists: list[Any], start: int, pairs: list[Any]) -> None:
        array = pa.array(lists, made(pa.int16())).slice(start)
        for kind in (pa.list_(pa.int64()), pa.large_list(pa.int8()), pa.list_(pa.float32())):
            result = convert(array, kind)
            result.validate(full=True)
            assert result.type == kind and result.to_pylist() == array.to_pylist()
        fixed = convert(pa.array(pairs, made(pa.int16())), pa.list_(pa.int8(), 2))
        fixed.validate(full=True)
        assert fixed.to_pylist() == pairs
        assert (
            convert(
                fixed.slice(1), made(pa.int32()) if made in LISTS[:2] else pa.list_(pa.int32())
            ).to_pylist()
            == pairs[1:]
        )

    check()


def test_views_that_overlap_and_go_backwards() -> None:
    views = pa.ListViewArray.from_arrays(
        pa.array([3, 0, 1], pa.int32()), pa.array([2, 4, 0], pa.int32()), pa.array([1, 2, 3, 4, 5])
    )
    assert convert(views, pa.list_(pa.int8())).to_pylist() == [[4, 5], [1, 2, 3, 4], []]


@pytest.mark.parametrize(
    "values", [[1, 1, 2, None, None, 300], ["a", "a", None, "é"], [[1], [1], None, [2, 3]]], ids=str
)
def test_encoded_columns(values: list[Any]) -> None:
    decoded = pa.array(values)
    ends, items = pa.array(range(1, len(values) + 1), pa.int32()), decoded
    for encoded in (
        pa.RunEndEncodedArray.from_arrays(ends, items),
        *([decoded.dictionary_encode()] if not decoded.type.num_fields else []),
    ):
        for array in (encoded, encoded.slice(1), encoded.slice(2, 1)):
            assert convert(array, decoded.type).to_pylist() == array.to_pylist()
    if not decoded.type.num_fields:
        both = pa.RunEndEncodedArray.from_arrays(ends, decoded.dictionary_encode())
        assert convert(both.slice(1), decoded.type).to_pylist() == values[1:]
        inside = pa.ListArray.from_arrays([0, 2, len(values)], decoded.dictionary_encode())
        assert convert(inside, pa.list_(decoded.type)).to_pylist() == [values[:2], values[2:]]
    if 300 in values:
        with pytest.raises(Loss, match=r"300.*int8") as caught:
            convert(pc.run_end_encode(decoded), pa.int8())
        assert caught.value.row == 5


def test_the_value_of_a_loss_is_that_of_what_is_encoded() -> None:
    """pyarrow ends the process where it makes a scalar of the last."""
    plain = pa.ExtensionArray.from_storage(Meters("m"), pa.array([1.0, 1e300]))
    ends, indices = pa.array([1, 2], pa.int16()), pa.array([0, 1, None], pa.int8())
    runs = pa.RunEndEncodedArray.from_arrays(ends, plain)
    deeper = pa.RunEndEncodedArray.from_arrays(ends, runs)
    for array in (plain, runs, deeper, pa.DictionaryArray.from_arrays(indices, deeper)):
        with pytest.raises(Loss, match=r"1e\+300, which cannot be float without loss") as caught:
            convert(array, pa.float32())
        assert caught.value.row == 1


def test_what_lists_and_structs_hold_is_checked() -> None:
    lists = pa.array([[1.5], None, [0.0, 1e300]])
    structs = pa.array([{"a": [1]}, {"a": [2, 2**40]}])
    for array, name, row in (
        (lists, "list<float>", 2),
        (structs, "struct<a: list<int32>>", 1),
        (pa.array([[1, 2], [1]]), "fixed_size_list<int64>[2]", 1),
        (pa.ListArray.from_arrays([0, 1, 2], array_of(pa.date64(), [DAY, 5])), "list<date64>", 1),
    ):
        with pytest.raises(TypeMappingError) as caught:
            columns_of("f", [parameter(name)], [array])
        assert caught.value.row == row
    with pytest.raises(Refused):
        convert(pa.array([{"a": 1}]), pa.struct([("b", pa.int64())]))
    hidden = pa.ListArray.from_arrays([0, 1, 2], pa.array([1, 2**40]), mask=pa.array([False, True]))
    # What a null hides is no value.
    assert convert(hidden, pa.list_(pa.int8())).to_pylist() == [
        [1],
        None,
    ]


def test_the_types_of_numbers_are_those_of_arrow() -> None:
    ours = {
        name
        for name in dir(pa.lib)
        if name.startswith("Type_") and getattr(pa.lib, name) in _NUMBERS
    }
    widths = {f"Type_{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)}
    assert ours == widths | {
        "Type_BOOL",
        "Type_HALF_FLOAT",
        "Type_FLOAT",
        "Type_DOUBLE",
        "Type_DATE32",
        "Type_TIMESTAMP",
    }
