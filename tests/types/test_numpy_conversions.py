"""Arrays of numpy and of Python objects, and encoded columns: each value is what it would be alone,
whatever stands beside it.
"""

from __future__ import annotations

import datetime
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import udfvm
from udfvm.codec.columns import columns_of
from udfvm.errors import TypeMappingError, UDFError
from udfvm.types.arrow_types import Parameter, declared

UTC = datetime.UTC
HOURS = {hours: datetime.timezone(datetime.timedelta(hours=hours)) for hours in (-5, 5)}


def column(name: object, value: Any, **options: bool) -> pa.Array:
    """An argument as a column of a declared type."""
    return columns_of("f", [Parameter("x", declared(name), True, position=1)], [value], **options)[
        0
    ][0]


def stored(array: pa.Array) -> list[str]:
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [
        repr(value) if kind.num_fields == 0 else str(value)
        for value in (array.to_pylist() if not kind.num_fields else array)
    ]


def objects(*values: Any) -> np.ndarray[Any, Any]:
    made = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        made[row] = value
    return made


# ---- Objects ----

LEAVES: list[Any] = [
    None,
    True,
    np.True_,
    5,
    2**24 + 1,
    2**53 + 1,
    2**63,
    np.int64(2**53 + 1),
    np.uint64(2**64 - 1),
    1.5,
    1e300,
    np.float16(0.5),
    np.float32(0.1),
    np.longdouble(1.5),
    "a",
    "a\0b",
    "\ud800",
    b"a",
    bytearray(b"a"),
    pd.NaT,
    pd.NA,
    datetime.date(2020, 1, 1),
    datetime.datetime(2020, 1, 1),
    datetime.datetime(2020, 1, 1, tzinfo=UTC),
    datetime.datetime.max.replace(tzinfo=HOURS[-5]),
    pd.Timestamp(1),
    pd.Timestamp("2020-01-01", tz="Europe/Paris"),
    np.datetime64(1, "s"),
    np.datetime64(1, "ns"),
    np.datetime64(2**40, "D"),
    np.datetime64("NaT"),
    np.timedelta64(1),
    np.array(5),
    pa.scalar(5),
    pa.scalar(None),
    1j,
    object(),
]
NESTED: list[Any] = [
    None,
    [],
    (),
    [None],
    [5],
    [5, None],
    [5, True],
    [1.5],
    [2**53 + 1],
    ["a"],
    [b"a"],
    [pd.NA],
    [[1]],
    {},
    {"a": 1},
    {"b": [1], "a": 2},
    {"a": 1, "c": 1},
    {"a": "x"},
    {1: 1},
    np.array([1, 2]),
    np.array([2**53 + 1]),
    np.array([[1, 2]]),
    np.array(["a"]),
    range(2),
    pa.scalar([1]),
    pa.scalar(None, pa.list_(pa.int8())),
    [np.datetime64(1, "s")],
    [datetime.datetime(2020, 1, 1)],
]
FLAT = [
    "bool",
    "int8",
    "int64",
    "uint64",
    "float",
    "double",
    "string",
    "binary",
    "date32",
    "timestamp[us]",
    "timestamp[us, tz=UTC]",
]
HOLDING = [
    "list<int64>",
    "list<float>",
    "list<string>",
    "large_list<double>",
    "list<timestamp[us]>",
    "fixed_size_list<int64>[2]",
    "struct<a: int64, b: list<int8>>",
    "list<list<double>>",
]


@pytest.mark.parametrize(
    ("name", "values"), [*((name, LEAVES) for name in FLAT), *((name, NESTED) for name in HOLDING)]
)
def test_objects_are_what_each_is_alone(name: str, values: list[Any]) -> None:
    alone: list[list[str] | None] = []
    for value in values:
        try:
            alone.append(stored(column(name, objects(value))))
        except TypeMappingError as error:
            assert (error.argument, error.row) == ("x", 0)
            alone.append(None)
    for (one, first), (other, second) in itertools.product(
        zip(values, alone, strict=True), repeat=2
    ):
        if first is not None and second is not None:
            made = column(name, objects(one, other))
            made.validate(full=True)
            assert stored(made) == [*first, *second], (one, other)
        elif first is not None or second is not None:
            with pytest.raises(TypeMappingError, match="argument 'x'") as caught:
                column(name, objects(one, other))
            assert caught.value.row == (1 if second is None else 0), (one, other)


def test_objects_beside_what_pyarrow_crashes_of() -> None:
    """pyarrow.array() of a time and numpy's bool ends the process."""
    for values in ((np.datetime64(1, "s"), np.True_), (np.True_, np.datetime64(1, "s"))):
        with pytest.raises(TypeMappingError, match="row"):
            column("bool", objects(*values))


# ---- numpy's types that Arrow has not ----


def test_days_that_no_date_has() -> None:
    for days in (2**31, -(2**31) - 1, 2**40, -(2**62)):
        for values in (
            np.array([0, days], "M8[D]"),
            np.ma.masked_array(np.array([0, days], "M8[D]"), [True, False]),
        ):
            for name in ("date32", "date64"):
                with pytest.raises(TypeMappingError, match=f"row 1: {days} days") as caught:
                    column(name, values)
                assert caught.value.row == 1
    kept = column("date32", np.array([2**31 - 1, -(2**31), "NaT"], "M8[D]"))
    assert stored(kept) == [str(2**31 - 1), str(-(2**31)), "None"]
    hidden = np.ma.masked_array(np.array([0, 2**40], "M8[D]"), [False, True])
    assert stored(column("date32", hidden)) == ["0", "None"]


@pytest.mark.parametrize(
    "dtype", ["M8[10ms]", "M8[2D]", "M8[3s]", "M8[h]", "M8[W]", "M8[as]", "M8"]
)
def test_times_that_count_otherwise(dtype: str) -> None:
    values = np.array([1, 2], "i8").view(dtype)
    for name in ("timestamp[us]", "timestamp[ns, tz=UTC]", "date32", "date64", "int64"):
        with pytest.raises(TypeMappingError, match="argument 'x'"):
            column(name, values)


def test_texts_are_not_cut_at_a_nul() -> None:
    assert column("string", np.array(["a", "b\0c", "\0d"])).to_pylist() == ["a", "b\0c", "\0d"]
    assert column("binary", np.array([b"a", b"b\0c"])).to_pylist() == [b"a", b"b\0c"]
    assert column(
        "string", np.ma.masked_array(np.array(["a", "b"]), [True, False])
    ).to_pylist() == [None, "b"]
    with pytest.raises(TypeMappingError, match="row 1: is not valid Unicode"):
        column("string", np.array(["a", "\ud800"]))


# ---- Times at the ends of the calendar, of scalar functions ----


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime.max.replace(tzinfo=HOURS[-5]),
        datetime.datetime.min.replace(tzinfo=HOURS[5]),
    ],
)
def test_times_that_a_zone_has_and_another_has_not(value: datetime.datetime) -> None:
    function = udfvm.udf(
        lambda x: x,
        name="same",
        input_types=["timestamp[us, tz=UTC]"],
        output_type="timestamp[us, tz=UTC]",
    )
    for argument in (value, objects(value), pd.Timestamp(value)):
        with pytest.raises(TypeMappingError, match="argument 'x'"):
            function(argument)
    naive = udfvm.udf(
        lambda x: x, name="naive", input_types=["timestamp[us]"], output_type="timestamp[us]"
    )
    with pytest.raises(TypeMappingError, match="argument 'x'"):
        naive(pd.Timestamp(np.datetime64("20000-01-01", "us")))


END = 253402300799999999  # the last microsecond of the year 9999


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.timestamp("us", "+05:00"), [0, END]),
        (pa.timestamp("us", "-05:00"), [0, -62135596800000000]),
        (pa.timestamp("us"), [END, END + 1]),
        (pa.timestamp("ns"), [1000, 1]),
        (pa.date32(), [0, 2**30]),
    ],
    ids=str,
)
def test_times_that_python_has_not_are_the_callers(type_: pa.DataType, values: list[int]) -> None:
    """In lists and structs too."""
    flat = pa.array(values, pa.int32() if type_ == pa.date32() else pa.int64()).view(type_)
    lists = pa.ListArray.from_arrays(pa.array([0, 0, 1, 2], pa.int32()), flat)
    structs = pa.StructArray.from_arrays([flat, pa.array([1, 2])], names=["a", "b"])
    deep = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), structs)
    for array, row in (
        (flat, 1),
        (lists, 2),
        (structs, 1),
        (deep, 1),
        (pa.chunked_array([lists.slice(0, 2), lists.slice(2)]), 2),
    ):
        column(array.type, array)  # vectorised functions take them
        with pytest.raises(
            TypeMappingError, match=f"row {row}: {values[1]} .*Python|whole microseconds"
        ) as caught:
            column(array.type, array, vectorized=False)
        assert caught.value.row == row
    column(flat.type, flat.slice(0, 1), vectorized=False)


def test_results_that_python_has_not_are_no_breach_of_protocol() -> None:
    late = udfvm.udf(
        _last, name="late", input_types=["int64"], output_type="timestamp[us, tz=+05:00]"
    )
    assert late(pa.array([1])).cast(pa.int64()).to_pylist() == [END]
    with pytest.raises(TypeMappingError, match=r"the result is a .*Python cannot hold"):
        late(1)


def _last(x):  # type: ignore[no-untyped-def]
    return datetime.datetime.max.replace(tzinfo=datetime.UTC)


# ---- Results of vectorised functions ----


def _texts(x):  # type: ignore[no-untyped-def]
    return np.array(["a", "b\0c"])


def _series(x):  # type: ignore[no-untyped-def]
    import pandas

    return pandas.Series(["a", np.nan], dtype=object)


def _arrays(x):  # type: ignore[no-untyped-def]
    return np.array([np.array([1.5]), None], dtype=object)


def _mixed(x):  # type: ignore[no-untyped-def]
    return np.array([b"a", "b"], dtype=object)


def _day(x):  # type: ignore[no-untyped-def]
    return np.array([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 5)], dtype=object)


def _zones(x):  # type: ignore[no-untyped-def]
    return np.array(
        [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],
        dtype=object,
    )


def _steps(x):  # type: ignore[no-untyped-def]
    return np.array([1, 2], "M8[10ms]")


def _far(x):  # type: ignore[no-untyped-def]
    return np.array([0, 2**40], "M8[D]")


def _crash(x):  # type: ignore[no-untyped-def]
    return np.array([np.datetime64(1, "s"), np.True_], dtype=object)


def _held(x):  # type: ignore[no-untyped-def]
    return np.array([{"a": 1.0}, {"a": 2**53 + 1}], dtype=object)


def vectorised(function: Callable[..., Any], name: str) -> udfvm.ScalarFunction:
    made: udfvm.ScalarFunction = udfvm.udf(
        function,
        vectorized=True,
        input_types=["int64"],
        output_type=name,
        packages=["numpy", "pandas"],
    )
    return made


@pytest.mark.parametrize(
    ("function", "name", "values"),
    [
        (_texts, "string", ["a", "b\0c"]),
        (_series, "string", ["a", None]),
        (_arrays, "list<double>", [[1.5], None]),
    ],
)
def test_results_are_what_each_is_alone(
    function: Callable[..., Any], name: str, values: list[Any]
) -> None:
    assert vectorised(function, name)(pa.array([1, 2])).to_pylist() == values


@pytest.mark.parametrize(
    ("function", "name", "message"),
    [
        (_mixed, "binary", "row 1: .*str"),
        (_day, "date32", "row 1: .*datetime"),
        (_zones, "timestamp[us]", "row 1: .*aware"),
        (_zones, "timestamp[us, tz=UTC]", "row 0: .*naive"),
        (_steps, "timestamp[ms]", "counts in steps"),
        (_far, "date32", "row 1: "),
        (_crash, "bool", "row 0: "),
        (_held, "struct<a: double>", "row 1: in 'a'"),
    ],
)
def test_results_that_are_refused(function: Callable[..., Any], name: str, message: str) -> None:
    with pytest.raises(UDFError, match=message):
        vectorised(function, name)(pa.array([1, 2]))


# ---- Encoded columns ----


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


def plain(array: pa.Array) -> list[Any]:
    """The values of a column, by arithmetic of its own."""
    kind, valid = array.type, array.is_valid().to_pylist()
    if pa.types.is_dictionary(kind):
        items = plain(array.dictionary)
        return [None if index is None else items[index] for index in array.indices.to_pylist()]
    if pa.types.is_run_end_encoded(kind):
        items, ends = plain(array.values), array.run_ends.to_pylist()
        return [
            items[next(run for run, end in enumerate(ends) if row < end)]
            for row in range(array.offset, array.offset + len(array))
        ]
    if pa.types.is_struct(kind):
        fields = [
            (kind.field(index).name, plain(array.field(index))) for index in range(kind.num_fields)
        ]
        return [
            {name: values[row] for name, values in fields} if valid[row] else None
            for row in range(len(array))
        ]
    if not kind.num_fields:
        return array.to_pylist()
    items = plain(array.values)
    if pa.types.is_fixed_size_list(kind):
        places = [(2 * row, 2 * row + 2) for row in range(array.offset, array.offset + len(array))]
    elif hasattr(array, "sizes"):
        places = [
            (at, at + size)
            for at, size in zip(array.offsets.to_pylist(), array.sizes.to_pylist(), strict=True)
        ]
    else:
        places = list(itertools.pairwise(array.offsets.to_pylist()))
    return [
        items[begin:end] if is_valid else None
        for (begin, end), is_valid in zip(places, valid, strict=True)
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
        expected = plain(array)
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
