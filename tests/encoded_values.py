"""Random columns of encoded and extension types, in each other, and their values."""

from __future__ import annotations

import random
from typing import Any, Final

import pyarrow as pa


class Meters(pa.ExtensionType):
    """A user's own extension type."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        super().__init__(pa.float64(), "tests.meters")

    def __arrow_ext_serialize__(self) -> bytes:
        return self.unit.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> Meters:
        return cls(serialized.decode())


pa.register_extension_type(Meters("m"))

LEAVES: Final = (
    pa.int8(),
    pa.uint64(),
    pa.float64(),
    pa.bool_(),
    pa.string(),
    pa.string_view(),
    pa.large_binary(),
    pa.binary(3),
    pa.decimal128(9, 2),
    pa.date32(),
    pa.timestamp("us", "UTC"),
    pa.time64("us"),
    pa.duration("ms"),
)
EXTENSIONS: Final = (
    pa.uuid(),
    pa.json_(),
    pa.bool8(),
    pa.opaque(pa.list_(pa.int16()), "matrix", "somebody"),
    pa.fixed_shape_tensor(pa.float32(), [2, 2]),
    Meters("mm"),
)


class Columns:
    """Random columns, from one source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def any_column(self) -> pa.Array:
        """A column of any type, three deep, cut at random."""
        rows = self._chance.choice([0, 1, 3, 8])
        array = self.of(self.any_type(3), rows)
        start = self._chance.randrange(rows + 1)
        return array if self._chance.random() < 0.5 else array.slice(start)

    def any_type(self, depth: int) -> pa.DataType:
        chance = self._chance
        if not depth or chance.random() < 0.2:
            return chance.choice([*LEAVES, *EXTENSIONS])
        inner = self.any_type(depth - 1)
        field = pa.field(chance.choice(["item", "x"]), inner, metadata={"k": "v"})
        return chance.choice(
            [
                lambda: pa.dictionary(chance.choice([pa.int8(), pa.uint32()]), inner),
                lambda: pa.dictionary(pa.int64(), inner, ordered=True),
                lambda: pa.run_end_encoded(chance.choice([pa.int16(), pa.int64()]), inner),
                lambda: pa.list_view(field),
                lambda: pa.large_list_view(field),
                lambda: pa.list_(field),
                lambda: pa.list_(inner, 2),
                lambda: pa.struct([field, pa.field("y", self.any_type(depth - 1))]),
            ]
        )()

    def of(self, type_: pa.DataType, rows: int, *, nulls: bool = True) -> pa.Array:
        """A column of a type, built level by level: pyarrow makes no such of values."""
        chance = self._chance
        mask = [nulls and chance.random() < 0.25 for _ in range(rows)]
        if isinstance(type_, pa.BaseExtensionType):
            return type_.wrap_array(self.of(type_.storage_type, rows, nulls=nulls))
        if pa.types.is_dictionary(type_):
            values = self.of(type_.value_type, 4, nulls=False)
            indices = [None if null else chance.randrange(4) for null in mask]
            return pa.DictionaryArray.from_arrays(
                pa.array(indices, type_.index_type), values, ordered=type_.ordered
            )
        if pa.types.is_run_end_encoded(type_):
            ends = (
                sorted({*(chance.randrange(1, rows + 1) for _ in range(2)), rows}) if rows else []
            )
            values = self.of(type_.value_type, len(ends), nulls=nulls)
            return pa.RunEndEncodedArray.from_arrays(
                pa.array(ends, type_.run_end_type), values, type_
            )
        if type_.num_fields:
            return self._container(type_, rows, mask, nulls)
        return pa.array([None if null else self._leaf(type_) for null in mask], type_)

    def _container(self, type_: pa.DataType, rows: int, mask: list[bool], nulls: bool) -> pa.Array:
        if pa.types.is_struct(type_):
            fields = list(type_)
            columns = [self.of(field.type, rows, nulls=nulls) for field in fields]
            return pa.StructArray.from_arrays(columns, fields=fields, mask=_mask(mask))
        if pa.types.is_fixed_size_list(type_):
            items = self.of(type_.value_type, rows * type_.list_size, nulls=nulls)
            return pa.FixedSizeListArray.from_arrays(items, type=type_, mask=_mask(mask))
        return self._lists(type_, rows, mask)

    def _lists(self, type_: pa.DataType, rows: int, mask: list[bool]) -> pa.Array:
        chance, count = self._chance, 6
        items = self.of(type_.value_type, count)
        if hasattr(pa.types, "is_list_view") and (
            pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_)
        ):
            large = pa.types.is_large_list_view(type_)
            index = pa.int64() if large else pa.int32()
            offsets = [chance.randrange(count + 1) for _ in range(rows)]
            sizes = [chance.randrange(count - offset + 1) for offset in offsets]
            cls = pa.LargeListViewArray if large else pa.ListViewArray
            return cls.from_arrays(
                pa.array(offsets, index), pa.array(sizes, index), items, type_, mask=_mask(mask)
            )
        offsets = sorted(chance.randrange(count + 1) for _ in range(rows + 1))
        return pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), items, type_, mask=_mask(mask)
        )

    def _leaf(self, type_: pa.DataType) -> Any:
        number = self._chance.randrange(3)
        if pa.types.is_fixed_size_binary(type_):
            return bytes([number]) * type_.byte_width
        if pa.types.is_decimal(type_):
            return pa.scalar(number).cast(pa.decimal128(19, 0)).as_py()
        if pa.types.is_boolean(type_):
            return bool(number % 2)
        if pa.types.is_integer(type_) or pa.types.is_floating(type_):
            return number
        if pa.types.is_temporal(type_):
            stored = pa.int32() if type_.bit_width == 32 else pa.int64()
            return (
                pa.array([1_000_000 * number // (1000 if stored == pa.int32() else 1)], stored)
                .cast(type_)[0]
                .as_py()
            )
        text = ["", "a", "a text of more than twelve bytes: é"][number]
        is_text = pa.types.is_string(type_) or pa.types.is_string_view(type_)
        return text if is_text else text.encode()


def _mask(mask: list[bool]) -> pa.Array | None:
    return pa.array(mask) if any(mask) else None


def _of_map(array: pa.Array) -> list[Any]:
    pairs = list(zip(decoded_values(array.keys), decoded_values(array.items), strict=True))
    bounds = zip(array.offsets.to_pylist(), array.offsets.to_pylist()[1:], strict=False)
    valid = array.is_valid().to_pylist()
    return [pairs[a:b] if ok else None for (a, b), ok in zip(bounds, valid, strict=False)]


def decoded_values(array: pa.Array) -> list[Any]:
    """The values of a column, of extension types those of the storage, computed independently of
    the code under test.
    """
    type_ = array.type
    if isinstance(type_, pa.BaseExtensionType) or pa.types.is_map(type_):
        return _of_map(array) if pa.types.is_map(type_) else decoded_values(array.storage)
    if pa.types.is_dictionary(type_):
        items = decoded_values(array.dictionary)
        return [None if index is None else items[index] for index in array.indices.to_pylist()]
    valid = array.is_valid().to_pylist()  # pyarrow ends the process for a dictionary of nulls
    if pa.types.is_run_end_encoded(type_):
        items, ends = decoded_values(array.values), array.run_ends.to_pylist()
        rows = range(array.offset, array.offset + len(array))
        return [items[sum(end <= row for end in ends)] for row in rows]
    if pa.types.is_struct(type_) and type_.num_fields:
        columns = [decoded_values(array.field(index)) for index in range(type_.num_fields)]
        return [
            tuple(row) if ok else None
            for row, ok in zip(zip(*columns, strict=True), valid, strict=True)
        ]
    if not type_.num_fields:
        return array.to_pylist()
    items, made = decoded_values(array.values), []
    for row, ok in enumerate(valid):
        if pa.types.is_fixed_size_list(type_):
            begin = (array.offset + row) * type_.list_size
            end = begin + type_.list_size
        else:
            begin = array.offsets[row].as_py()
            end = (
                begin + array.sizes[row].as_py()
                if hasattr(array, "sizes")
                else array.offsets[row + 1].as_py()
            )
        made.append(items[begin:end] if ok else None)
    return made
