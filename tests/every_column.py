"""Random columns of every type that functions take, in each other, and their values."""

from __future__ import annotations

import datetime
import random
from typing import Any, Final

import numpy as np
import pyarrow as pa
from encoded_values import EXTENSIONS, LEAVES, Columns

EVERY_LEAF: Final = (
    *LEAVES,
    *(pa.null(), pa.float16(), pa.float32()),
    *(pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
    *(pa.decimal32(5, 2), pa.decimal64(12, 3), pa.decimal128(20, 0), pa.decimal256(50, 4)),
    *(pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("ns")),
    *(pa.timestamp("s"), pa.timestamp("ms", "Europe/Berlin"), pa.timestamp("ns")),
    *(pa.duration("s"), pa.duration("ns"), pa.month_day_nano_interval()),
    *(pa.large_string(), pa.binary(), pa.binary_view(), pa.struct([])),
)


class EveryColumn(Columns):
    """Random columns of every type, from one source of chance."""

    def any_type(self, depth: int) -> pa.DataType:
        """A type that holds others down to a depth."""
        chance = self._chance
        if not depth or chance.random() < 0.15:
            return chance.choice([*EVERY_LEAF, *EXTENSIONS])
        if chance.random() < 0.6:
            return super().any_type(depth)
        inner, other = self.any_type(depth - 1), self.any_type(depth - 1)
        fields = [pa.field("a b", inner), pa.field("", other, metadata={"k": "v"})]
        # A value in Python is that of the first child which takes it.
        unlike = [fields[0], pa.field("", pa.month_day_nano_interval())]
        if "interval" in str(inner):
            unlike[0] = pa.field("a b", pa.list_(pa.int8()))
        return chance.choice(
            [
                lambda: pa.map_(chance.choice([pa.string(), pa.int16(), pa.date32()]), inner),
                lambda: pa.dense_union(unlike, [3, 5]),
                lambda: pa.sparse_union(unlike),
                lambda: pa.large_list(fields[1]),
                lambda: pa.struct([pa.field("x", inner, nullable=True), *fields]),
            ]
        )()

    def of(self, type_: pa.DataType, rows: int, *, nulls: bool = True) -> pa.Array:
        """A column of a type."""
        if pa.types.is_union(type_):
            return self._union(type_, rows, nulls)
        if pa.types.is_map(type_):
            return self._map(type_, rows, nulls)
        if pa.types.is_large_list(type_):
            return self._large_list(type_, rows, nulls)
        return super().of(type_, rows, nulls=nulls)

    def _union(self, type_: pa.DataType, rows: int, nulls: bool) -> pa.Array:
        fields = [type_.field(index) for index in range(type_.num_fields)]
        children = [self.of(field.type, rows, nulls=nulls) for field in fields]
        names = [field.name for field in fields]
        codes = pa.array([self._chance.choice(type_.type_codes) for _ in range(rows)], pa.int8())
        if type_.mode == "sparse":
            made = pa.UnionArray.from_sparse(codes, children, names, type_.type_codes)
        else:
            offsets = pa.array(range(rows), pa.int32())
            made = pa.UnionArray.from_dense(codes, offsets, children, names, type_.type_codes)
        return pa.Array.from_buffers(type_, rows, made.buffers()[: _own(type_)], children=children)

    def _map(self, type_: pa.DataType, rows: int, nulls: bool) -> pa.Array:
        chance, offsets = self._chance, [0]
        for _ in range(rows):
            offsets.append(offsets[-1] + chance.choice([0, 1, 2]))
        count = offsets[-1]
        keys = pa.array(range(count), pa.int32())
        if type_.key_type == pa.int16():  # which dates are not cast to
            keys = keys.cast(pa.int16())
        elif type_.key_type == pa.string():
            keys = pa.array([f"k{key}" for key in range(count)], pa.string())
        else:
            keys = keys.view(type_.key_type)
        items = self.of(type_.item_type, count, nulls=nulls)
        starts = [None if nulls and chance.random() < 0.25 else offset for offset in offsets[:-1]]
        made = pa.array([*starts, count], pa.int32())
        return pa.MapArray.from_arrays(made, keys, items, type_)

    def _large_list(self, type_: pa.DataType, rows: int, nulls: bool) -> pa.Array:
        chance, count = self._chance, 6
        items = self.of(type_.value_type, count, nulls=nulls)
        offsets = sorted(chance.randrange(count + 1) for _ in range(rows + 1))
        mask = pa.array([nulls and chance.random() < 0.25 for _ in range(rows)], pa.bool_())
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), items, type_, mask=mask)

    def _leaf(self, type_: pa.DataType) -> Any:
        number = self._chance.randrange(3)
        if pa.types.is_null(type_) or pa.types.is_struct(type_):
            return {} if pa.types.is_struct(type_) else None
        if pa.types.is_interval(type_):
            return pa.MonthDayNano([number, -number, number * 10**9])
        if pa.types.is_binary_view(type_):
            return [b"", b"a", b"more than twelve bytes"][number]
        if type_ in (pa.float16(), pa.date64()):
            day = datetime.date(1970, 1, 1 + number)
            return day if type_ == pa.date64() else np.float16(number)
        return super()._leaf(type_)


def _own(type_: pa.DataType) -> int:
    """The number of buffers of a union without its children."""
    return 2 if type_.mode == "sparse" else 3


def every_column(seed: int) -> tuple[EveryColumn, pa.DataType]:
    """What makes columns, and a type, of a seed."""
    columns = EveryColumn(random.Random(seed))
    return columns, columns.any_type(3)
