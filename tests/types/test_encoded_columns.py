"""Encoded columns, encodings inside each other among them, have the values of decoded ones."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pyarrow as pa
import pytest
from capsule_producers import capsules
from conversion_cases import column
from golden_files import identity

from udfvm.errors import TypeMappingError


class Encodings:
    """Random columns in random encodings, in each other; with slices, gaps, and values behind
    nulls.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def mask(self, rows: int) -> pa.Array | None:
        share = self._random.choice([0, 0.3])
        return pa.array([self._random.random() < share for _ in range(rows)]) if rows else None

    def leaf(self, rows: int) -> tuple[pa.Array, pa.DataType]:
        values, types, canonical = self._random.choice(
            [
                ([1, 2, 3], [pa.int8(), pa.int64()], pa.int64()),
                ([1.5, 2.0], [pa.float32()], pa.float64()),
                (
                    ["a", "", "longer than twelve bytes"],
                    [pa.string(), pa.large_string(), pa.string_view()],
                    pa.string(),
                ),
                ([True, False], [pa.bool_()], pa.bool_()),
            ]
        )
        chosen = [self._random.choice([*values, None]) for _ in range(rows)]
        return pa.array(chosen, self._random.choice(types)), canonical

    def column(self, rows: int, depth: int) -> tuple[pa.Array, pa.DataType]:
        """A column, and the type to declare for it."""
        if not depth:
            return self.leaf(rows)
        make = self._random.choice(
            [
                self.views,
                self.views,
                self.lists,
                self.fixed,
                self.structs,
                self.dictionary,
                self.runs,
            ]
        )
        return make(rows, depth - 1)

    def views(self, rows: int, depth: int) -> tuple[pa.Array, pa.DataType]:
        count = self._random.randrange(12)
        items, canonical = self.column(count, depth)
        offsets = [self._random.randrange(count + 1) for _ in range(rows)]
        sizes = [self._random.randrange(count - offset + 1) for offset in offsets]
        cls, kind = self._random.choice(
            [(pa.ListViewArray, pa.int32()), (pa.LargeListViewArray, pa.int64())]
        )
        return cls.from_arrays(
            pa.array(offsets, kind), pa.array(sizes, kind), items, mask=self.mask(rows)
        ), pa.list_(canonical)

    def lists(self, rows: int, depth: int) -> tuple[pa.Array, pa.DataType]:
        count = self._random.randrange(12)
        items, canonical = self.column(count, depth)
        offsets = sorted(self._random.randrange(count + 1) for _ in range(rows + 1))
        return pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), items, mask=self.mask(rows)
        ), pa.large_list(canonical)

    def fixed(self, rows: int, depth: int) -> tuple[pa.Array, pa.DataType]:
        items, canonical = self.column(2 * rows, depth)
        made = pa.FixedSizeListArray.from_arrays(items, 2, mask=self.mask(rows))
        return made, self._random.choice([pa.list_(canonical), pa.list_(canonical, 2)])

    def structs(self, rows: int, depth: int) -> tuple[pa.Array, pa.DataType]:
        (one, first), (other, second) = self.column(rows, depth), self.column(rows, depth)
        return pa.StructArray.from_arrays(
            [one, other], names=["a", "b"], mask=self.mask(rows)
        ), pa.struct([("a", first), ("b", second)])

    def dictionary(self, rows: int, depth: int) -> tuple[pa.Array, pa.DataType]:
        count = self._random.randrange(6)
        items, canonical = self.column(count, depth)
        indices = [self._random.choice([None, *range(count)]) for _ in range(rows)]
        return pa.DictionaryArray.from_arrays(
            pa.array(indices, self._random.choice([pa.int8(), pa.uint8(), pa.int32()])), items
        ), canonical

    def runs(self, rows: int, depth: int) -> tuple[pa.Array, pa.DataType]:
        if not rows:
            return self.leaf(rows)
        ends = sorted({*(self._random.randrange(1, rows + 1) for _ in range(3)), rows})
        items, canonical = self.column(len(ends), depth)
        kind = self._random.choice([pa.int16(), pa.int32(), pa.int64()])
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, kind), items), canonical


def decoded(array: pa.Array) -> list[Any]:
    """The values of a column, computed independently of the code under test."""
    kind, valid = array.type, array.is_valid().to_pylist()
    if pa.types.is_dictionary(kind):
        items = decoded(array.dictionary)
        return [None if index is None else items[index] for index in array.indices.to_pylist()]
    if pa.types.is_run_end_encoded(kind):
        items, ends = decoded(array.values), array.run_ends.to_pylist()
        return [
            items[next(run for run, end in enumerate(ends) if row < end)]
            for row in range(array.offset, array.offset + len(array))
        ]
    if pa.types.is_struct(kind):
        fields = [
            (kind.field(index).name, decoded(array.field(index)))
            for index in range(kind.num_fields)
        ]
        return [
            {name: values[row] for name, values in fields} if valid[row] else None
            for row in range(len(array))
        ]
    if not kind.num_fields:
        return array.to_pylist()
    items = decoded(array.values)
    if pa.types.is_fixed_size_list(kind):
        bounds = [(2 * row, 2 * row + 2) for row in range(array.offset, array.offset + len(array))]
    elif hasattr(array, "sizes"):
        bounds = [
            (start, start + size)
            for start, size in zip(array.offsets.to_pylist(), array.sizes.to_pylist(), strict=True)
        ]
    else:
        bounds = list(itertools.pairwise(array.offsets.to_pylist()))
    return [
        items[begin:end] if is_valid else None
        for (begin, end), is_valid in zip(bounds, valid, strict=True)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_encodings_in_each_other(seed: int) -> None:
    chance = random.Random(seed)
    encodings = Encodings(seed)
    for _ in range(150):
        array, canonical = encodings.column(
            chance.choice([0, 1, 2, 5, 9]), chance.choice([1, 2, 3])
        )
        if len(array) and chance.random() < 0.6:
            start = chance.randrange(len(array))
            array = array.slice(start, chance.randrange(len(array) - start + 1))
        expected = decoded(array)
        middle = len(array) // 2
        chunks = [array.slice(0, 0), array.slice(0, middle), array.slice(0, 0), array.slice(middle)]
        for given in (array, pa.chunked_array(chunks)):
            made = column(canonical, given)
            made.validate(full=True)
            assert made.type == canonical and made.to_pylist() == expected, array.type
        for row in range(min(len(array), 2)):
            assert column(canonical, array[row]).to_pylist() == [expected[row]], array.type


def test_values_of_a_dictionary_that_no_row_has_do_not_matter() -> None:
    values = pa.array([1, 300, 2])
    assert column(
        "int8", pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 2]), values)
    ).to_pylist() == [2, None, 1, 2]
    with pytest.raises(TypeMappingError, match="300") as caught:
        column("int8", pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 1]), values))
    assert caught.value.row == 3
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 4, 6], pa.int32()), values)
    assert column("int8", runs.slice(4)).to_pylist() == [2, 2]
    with pytest.raises(TypeMappingError, match="300") as caught:
        column("int8", runs)
    assert caught.value.row == 2


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("skipped", [0, 1, 3, 4])
def test_children_that_are_empty_behind_an_offset(skipped: int, vectorized: bool) -> None:
    values = pa.array([1, 2, 3, 4], pa.int64())[skipped:skipped]
    plain = pa.ListArray.from_arrays(pa.array([0, 0, 0], pa.int32()), values)
    union = pa.UnionArray.from_dense(
        pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()), [plain, values]
    )
    named = pa.list_(pa.field("x", pa.int64(), metadata={"k": "v"}))
    pairs = pa.MapArray.from_arrays(pa.array([0, 0, 0], pa.int32()), values, values)
    for array in (plain, union, pairs, pa.StructArray.from_arrays([plain, pairs], ["a", "b"])):
        for type_ in (array.type, named) if array is plain else (array.type,):
            same = identity(type_, vectorized=vectorized)
            for given in (array, capsules(array), capsules(pa.chunked_array([array]))):
                assert same(given).to_pylist() == array.to_pylist()
            mapped = same.map(capsules(pa.table({"x": array})), keep=[])["same"]
            assert mapped.to_pylist() == array.to_pylist()
    for given in (capsules(values), values):
        assert identity(pa.int64(), vectorized=vectorized)(given).to_pylist() == []
