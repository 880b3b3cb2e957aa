"""The table of conversions holds for every way in and out: each pair of types, with values on both
sides of what the declared type has.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import math
import pickle
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import udfvm
import udfvm.sqlite
from udfvm.codec.column_batches import narrowed, widened
from udfvm.codec.columns import columns_of, python_value, scalar_of
from udfvm.codec.rows import RowCodec, decode_row
from udfvm.errors import SignatureError, TypeMappingError, UDFError
from udfvm.types.array_conversions import _NUMBERS, convert
from udfvm.types.arrow_types import Kind, Parameter, ResultType, RowType, declared, named
from udfvm.types.conversions import (
    CONVERSIONS,
    Loss,
    Refused,
    Rule,
    family,
    integer_range,
    markdown,
    rule,
)

# ---- Types, and values of them as they are stored ----

DAY = 86_400_000
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
STAMPS = [
    (unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Europe/Paris")
]
COUNTS = [0, 1, -1, 1000, 10**6, 10**9, 2**62, -(2**62)]
MARKS = [0, 1, 2**24 + 1, 2**31, 2**53, 2**53 + 1, 2**54, 2**60 + 1]


def _in_range(name: str) -> list[int]:
    smallest, largest = integer_range(name)
    return sorted(
        {
            smallest,
            largest,
            *(mark for mark in MARKS if mark <= largest),
            *(-mark for mark in MARKS if -mark >= smallest),
        }
    )


SOURCES: dict[pa.DataType, list[Any]] = {
    pa.null(): [None],
    pa.bool_(): [False, True],
    **{pa.type_for_alias(name): _in_range(name) for name in INTEGERS},
    pa.float16(): [0.5, math.inf, math.nan],
    pa.float32(): [0.5, -(2.0**127), math.inf, math.nan],
    pa.float64(): [0.5, 0.1, 3e38, 1e300, -1e300, -math.inf, math.nan, 2.0**53, 1.0],
    **{each: ["", "é", "a\0b"] for each in (pa.string(), pa.large_string(), pa.string_view())},
    **{
        each: [b"ab", b"\xff\0"]
        for each in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2))
    },
    pa.date32(): [0, -1, 2**31 - 1],
    pa.date64(): [0, -DAY, 5, DAY - 1, 2**40 * DAY // 2**20, 2**36 * DAY],
    **{pa.timestamp(unit, zone): COUNTS for unit, zone in STAMPS},
    pa.time32("s"): [0],
    pa.time64("us"): [0],
    pa.duration("us"): [0],
    pa.month_day_nano_interval(): [None],
    pa.decimal128(5, 2): [None],
    pa.list_(pa.int8()): [[1]],
    pa.struct([("a", pa.int8())]): [{"a": 1}],
    pa.map_(pa.string(), pa.int8()): [[("a", 1)]],
}
DECLARED = [
    "null",
    "bool",
    *INTEGERS,
    "float",
    "double",
    "string",
    "large_string",
    "binary",
    "large_binary",
    "date32[day]",
    "date64[ms]",
    *(str(pa.timestamp(unit, zone)) for unit, zone in STAMPS),
]
IN_ROWS = [name for name in DECLARED if named(name).row not in (None, RowType.NULL)]


class Case(NamedTuple):
    """A value of a type, and as what it is to be stored where another is declared; None where it is
    to be refused.
    """

    found: pa.DataType
    value: Any
    name: str
    stored: Any


def array_of(type_: pa.DataType, values: list[Any]) -> pa.Array:
    """An array of values as they are stored; those of dates may be none."""
    if pa.types.is_temporal(type_) and not pa.types.is_interval(type_):
        return pa.array(values, pa.int32() if type_.bit_width == 32 else pa.int64()).view(type_)
    return pa.array(
        [np.float16(value) for value in values] if pa.types.is_float16(type_) else values, type_
    )


def stored_values(array: pa.Array) -> list[Any]:
    """What array_of() was given; floats as text, for NaN's sake."""
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [repr(value) if isinstance(value, float) else value for value in array.to_pylist()]


def wanted(found: pa.DataType, value: Any, name: str) -> Any:
    """The value as stored in a declared type, by arithmetic of its own; ValueError where it is to
    be refused.
    """
    one, other = family(str(found)), family(name)
    if one == "null":
        return None
    if (one, other) in (("bool", "integer"), ("integer", "integer")) and integer_range(name)[
        0
    ] <= int(value) <= integer_range(name)[1]:
        return int(value)
    if (one, other) in (("bool", "float"), ("integer", "float")):
        real = np.float32(int(value)) if name == "float" else np.float64(int(value))
        if Fraction(float(real)) == int(value):
            return repr(float(real))
    if (one, other) == ("float", "float"):
        with np.errstate(over="ignore"):
            real = np.float32(value) if name == "float" else np.float64(value)
        if not np.isinf(real) or math.isinf(value):
            return repr(float(real))
    if (one, other) in (("bool", "bool"), ("text", "text"), ("bytes", "bytes")):
        return value
    if (one, other) == ("date", "date"):
        milliseconds = value * DAY if str(found).startswith("date32") else value
        days, rest = divmod(milliseconds, DAY)
        if not rest and (name == "date64[ms]" or -(2**31) <= days < 2**31):
            return milliseconds if name == "date64[ms]" else days
    if one == other and one.startswith("time"):
        steps = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
        count, rest = divmod(value * steps[found.unit], steps[named(name).unit or ""])
        if not rest and -(2**63) <= count < 2**63:
            return count
    raise ValueError(f"{value} of {found} for {name}")


def cases(name: str) -> list[Case]:
    """All values of all types, for a declared type."""
    made = []
    for found, values in SOURCES.items():
        for value in values:
            try:
                made.append(Case(found, value, name, ("fits", wanted(found, value, name))))
            except ValueError:
                made.append(Case(found, value, name, None))
    return made


def by_type(name: str) -> Iterator[tuple[pa.DataType, list[Case], list[Case]]]:
    """Of each type, the values that a declared type has, and those that it has not."""
    for found in SOURCES:
        mine = [case for case in cases(name) if case.found == found]
        yield (
            found,
            [case for case in mine if case.stored],
            [case for case in mine if not case.stored],
        )


def parameter(name: str, nullable: bool = True) -> Parameter:
    return Parameter("x", named(name), nullable, position=2)


# ---- The table ----


@pytest.mark.parametrize("name", DECLARED)
def test_the_rule_is_what_becomes_of_the_values(name: str) -> None:
    for found, good, bad in by_type(name):
        said = rule(str(found), name)
        if said is Rule.REFUSED:
            assert not good, found
        elif said is Rule.EXACT:
            assert not bad, found
        else:
            assert good, found


def test_every_family_is_tried() -> None:
    families = {family(str(found)) for found in SOURCES}
    assert {each.found for each in CONVERSIONS} <= families
    assert {each.declared for each in CONVERSIONS} - {"list", "struct"} == {
        family(name) for name in DECLARED
    }


def test_the_documentation_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
    assert markdown() in page


# ---- In: arrays and values ----


@pytest.mark.parametrize("name", DECLARED)
def test_arrays(name: str) -> None:
    mine = parameter(name)
    for found, good, bad in by_type(name):
        values = [case.value for case in good]
        expected = [case.stored[1] for case in good]
        array = array_of(found, values)
        for given_ in (array, pa.chunked_array([array, array.slice(0, 0)]) if good else array):
            if good:
                column, _ = columns_of("f", [mine], [given_])
                column[0].validate(full=True)
                assert column[0].type == mine.type.arrow
                whole = (
                    pa.concat_arrays(column[0].chunks)
                    if isinstance(column[0], pa.ChunkedArray)
                    else column[0]
                )
                assert stored_values(whole) == expected, found
        for case in bad:
            with pytest.raises(
                TypeMappingError, match=r"UDF 'f': argument 'x' \(position 2\)"
            ) as caught:
                columns_of("f", [mine], [pa.chunked_array([array, array_of(found, [case.value])])])
            assert (caught.value.argument, caught.value.position) == ("x", 2)
            assert caught.value.row == (
                None if rule(str(found), name) is Rule.REFUSED else len(good)
            ), case


@pytest.mark.parametrize("name", DECLARED)
def test_pyarrow_scalars(name: str) -> None:
    mine = parameter(name)
    for case in cases(name):
        scalar = array_of(case.found, [case.value])[0]
        if case.stored:
            assert stored_values(pa.repeat(scalar_of("f", mine, scalar), 1)) == [case.stored[1]], (
                case
            )
        else:
            with pytest.raises(TypeMappingError, match="argument 'x'"):
                scalar_of("f", mine, scalar)


NUMPY = {
    "bool": "bool",
    **{name: name for name in INTEGERS},
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
}


@pytest.mark.parametrize("name", DECLARED)
def test_numpy(name: str) -> None:
    """Arrays and scalars of numbers and times; times are UTC where a zone is declared."""
    mine = parameter(name)
    zone = mine.type.timezone
    for case in cases(name):
        if pa.types.is_timestamp(case.found) and case.found.tz == zone:
            array = np.array([case.value], f"datetime64[{case.found.unit}]")
        elif str(case.found) in NUMPY:
            array = np.array([case.value], NUMPY[str(case.found)])
        else:
            continue
        if case.found == pa.timestamp("ms") and name == "date64[ms]":
            continue  # numpy has no other dates of milliseconds
        for value in (array, array.astype(array.dtype.newbyteorder(">")), array[0]):
            if case.stored:
                assert stored_values(columns_of("f", [mine], [value])[0][0]) == [case.stored[1]], (
                    case
                )
            else:
                with pytest.raises(TypeMappingError, match="argument 'x'"):
                    columns_of("f", [mine], [value])


def python_of(case: Case) -> Any:
    """The value as Python has it; None where it has not."""
    one = family(str(case.found))
    if one in ("bool", "integer", "text", "bytes") or str(case.found) == "double":
        return case.value
    if one == "date" and abs(case.value) < 10**6:
        return (
            datetime.date(1970, 1, 1) + datetime.timedelta(days=case.value)
            if str(case.found).startswith("date32")
            else None
        )
    if one.startswith("time") and case.found.unit == "us" and abs(case.value) < 2**60:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=case.value)
        return moment if case.found.tz is None else moment.replace(tzinfo=datetime.UTC)
    return None


@pytest.mark.parametrize("name", DECLARED)
def test_python_values(name: str) -> None:
    """Alone, in arrays of objects, in lists, and in rows."""
    mine = parameter(name)
    rows = RowCodec("f", [mine], ResultType(named("int64"), True)) if name in IN_ROWS else None
    held = parameter(f"list<{name}>") if name != "null" else None
    for case in cases(name):
        value = python_of(case)
        if value is None:
            continue
        objects = np.empty(1, dtype=object)
        objects[0] = value
        if case.stored:
            for given_ in (value, objects):
                assert stored_values(columns_of("f", [mine], [given_])[0][0]) == [case.stored[1]], (
                    case
                )
            if held is not None:
                assert stored_values(columns_of("f", [held], [[value]])[0][0].flatten()) == [
                    case.stored[1]
                ]
            if rows is not None and python_value("f", mine, value) is not None:
                rows.encode([value])
        else:
            for given_ in (value, objects):
                with pytest.raises(TypeMappingError, match="argument 'x'"):
                    columns_of("f", [mine], [given_])
            if held is not None:
                with pytest.raises(TypeMappingError, match="argument 'x'"):
                    columns_of("f", [held], [[value]])
            if rows is not None:
                with pytest.raises(TypeMappingError, match="argument 'x'"):
                    rows.encode([value])


NOT_A_VALUE = [
    (np.timedelta64(5, "ns"), "int64"),
    (np.datetime64("2020-01-01", "ns"), "int64"),
    (pd.Timestamp("2020-01-01"), "date32[day]"),
    (pd.NaT, "int64"),
    (pd.Series([1]), "int64"),
    (1 + 2j, "double"),
    (Fraction(1, 3), "double"),
    (np.longdouble("0.1"), "double"),
    ("1", "int64"),
    (1.0, "int64"),
    (math.nan, "int64"),
    (1, "bool"),
    (1, "string"),
    (pd.Timestamp(1), "timestamp[us]"),
    (datetime.timedelta(1), "int64"),
    (datetime.time(1), "timestamp[us]"),
    (10**400, "double"),
    (pa.scalar(1.0), "int64"),
    (np.array(2.5), "int64"),
    (datetime.datetime(2020, 1, 1), "timestamp[us, tz=UTC]"),
]


@pytest.mark.parametrize(("value", "name"), NOT_A_VALUE, ids=str)
def test_what_is_no_value(value: Any, name: str) -> None:
    for convert_ in (python_value, scalar_of):
        with pytest.raises(TypeMappingError, match=r"argument 'x' \(position 2\)"):
            made = convert_("f", parameter(name), value)
            RowCodec("f", [parameter(name)], ResultType(named("int64"), True)).encode([made])


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "int64"),
        (pd.NaT, "timestamp[us]"),
        (pd.NaT, "date32[day]"),
        (pd.NA, "string"),
        (np.datetime64("NaT"), "timestamp[ns]"),
        (pa.scalar(None, pa.list_(pa.int8())), "list<int64>"),
        (pa.scalar(None, pa.list_(pa.int8(), 2)), "fixed_size_list<int64>[2]"),
        (pa.scalar(None, pa.list_view(pa.int8())), "list<int8>"),
        (pa.scalar(None, pa.struct([("a", pa.int8())])), "struct<a: int8>"),
        (pa.scalar(None), "double"),
        (pa.array([None], pa.dictionary(pa.int8(), pa.string()))[0], "string"),
    ],
    ids=str,
)
def test_words_for_null(value: Any, name: str) -> None:
    assert not scalar_of("f", parameter(name), value).is_valid
    if not named(name).is_nested:
        assert python_value("f", parameter(name), value) is None


def test_nanoseconds_of_values() -> None:
    value = pd.Timestamp("2020-01-01 00:00:00.000000123")
    rows = RowCodec("f", [parameter("timestamp[ns]")], ResultType(named("int64"), True))
    assert scalar_of("f", parameter("timestamp[ns]"), value).value == value.value
    for each in (value, value.to_datetime64(), pa.scalar(value.value, pa.timestamp("ns"))):
        with pytest.raises(TypeMappingError, match="whole microseconds: use a vectorised function"):
            rows.encode([python_value("f", parameter("timestamp[ns]"), each)])
    with pytest.raises(TypeMappingError, match="row 1"):
        columns_of(
            "f",
            [parameter("timestamp[ns]")],
            [pa.array([1000, 1], pa.timestamp("ns"))],
            vectorized=False,
        )


@pytest.mark.parametrize(
    "name", ["date32[day]", "date64[ms]", "timestamp[s]", "timestamp[ms, tz=UTC]", "timestamp[us]"]
)
def test_dates_that_python_has_not(name: str) -> None:
    mine = parameter(name)
    last = {"date32[day]": 1, "date64[ms]": DAY, "s": 86_400, "ms": DAY, "us": 1000 * DAY}[
        mine.type.unit or name
    ]
    edges = [
        (datetime.date.min - datetime.date(1970, 1, 1)).days * last,
        (datetime.date.max - datetime.date(1970, 1, 1)).days * last,
    ]
    columns_of("f", [mine], [array_of(mine.type.arrow, edges)], vectorized=False)
    for wrong in (edges[0] - last, edges[1] + last):
        columns_of("f", [mine], [array_of(mine.type.arrow, [wrong])], vectorized=True)
        with pytest.raises(TypeMappingError, match=r"row 2.*the years 1 to 9999"):
            columns_of("f", [mine], [array_of(mine.type.arrow, [*edges, wrong])], vectorized=False)


def test_text_of_the_caller_that_is_none() -> None:
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    text = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff")])
    for name, array in (
        ("string", text),
        ("large_string", text),
        ("list<string>", pa.ListArray.from_arrays([0, 1, 2], text)),
    ):
        with pytest.raises(TypeMappingError, match=r"argument 'x' \(position 2\), row 1: .*UTF-?8"):
            columns_of("f", [parameter(name)], [array])


# ---- Nested and encoded ----

LISTS = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]
ITEMS = st.none() | st.lists(st.none() | st.integers(-100, 100), max_size=4)
PAIRS = st.none() | st.lists(st.none() | st.integers(-100, 100), min_size=2, max_size=2)


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
    plain = pa.array(values)
    ends, items = pa.array(range(1, len(values) + 1), pa.int32()), plain
    for encoded in (
        pa.RunEndEncodedArray.from_arrays(ends, items),
        *([plain.dictionary_encode()] if not plain.type.num_fields else []),
    ):
        for array in (encoded, encoded.slice(1), encoded.slice(2, 1)):
            assert convert(array, plain.type).to_pylist() == array.to_pylist()
    if not plain.type.num_fields:
        both = pa.RunEndEncodedArray.from_arrays(ends, plain.dictionary_encode())
        assert convert(both.slice(1), plain.type).to_pylist() == values[1:]
        inside = pa.ListArray.from_arrays([0, 2, len(values)], plain.dictionary_encode())
        assert convert(inside, pa.list_(plain.type)).to_pylist() == [values[:2], values[2:]]
    if 300 in values:
        with pytest.raises(Loss, match=r"300.*int8") as caught:
            convert(pc.run_end_encode(plain), pa.int8())
        assert caught.value.row == 5


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


# ---- Types that say where there are no nulls ----

STRICT = [
    pa.list_(pa.field("element", pa.float32(), nullable=False)),
    pa.large_list(pa.field("item", pa.string(), nullable=False)),
    pa.list_(pa.field("item", pa.int8(), nullable=False), 2),
    pa.struct([pa.field("a", pa.int8(), nullable=False), pa.field("b", pa.string())]),
    pa.list_(
        pa.struct(
            [pa.field("a", pa.list_(pa.field("item", pa.int64(), nullable=False)), nullable=False)]
        )
    ),
]
HELD = [
    ([[1.0], None, []], [[1.0], [2.0, None]]),
    ([["a"], None], [["a", None]]),
    ([[1, 2], None], [[1, 2], [None, 1]]),
    ([{"a": 1, "b": None}, None], [None, {"a": None, "b": "x"}]),
    ([[{"a": [1]}, None], None], [[{"a": [1]}], [{"a": [None]}]]),
]


@pytest.mark.parametrize(
    ("type_", "values"), list(zip(STRICT, HELD, strict=True)), ids=[str(type_) for type_ in STRICT]
)
def test_types_are_as_they_were_declared(
    type_: pa.DataType, values: tuple[list[Any], list[Any]]
) -> None:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    canonical = named(str(type_)).arrow
    good, bad = values
    function = udfvm.udf(
        same,
        name=f"strict_{STRICT.index(type_)}",
        vectorized=True,
        input_types=[type_],
        output_type=type_,
    )
    for array in (pa.array(good, type_), pa.array(good, canonical)):
        result = function(array)
        result.validate(full=True)
        assert result.type == type_ and result.to_pylist() == good
    assert function(pa.chunked_array([pa.array(good, type_)])).type == type_
    udfvm.arrow.register(None, function)
    assert pc.call_function(function.name, [pa.array(good, type_)]).type == type_
    with pytest.raises(
        TypeMappingError,
        match=r"argument 'x' \(position 1\), row 1: .*holds a null where there is none",
    ):
        function(pa.array(bad if len(bad) > 1 else [None, *bad], canonical))
    loose = udfvm.udf(
        same, name="loose", vectorized=True, input_types=[canonical], output_type=type_
    )
    with pytest.raises(
        TypeMappingError, match=r"its result, row .*holds a null where there is none"
    ):
        loose(pa.array(bad, canonical))


# ---- Out: vectorised functions ----


def _load(data):  # type: ignore[no-untyped-def]
    return pa.ipc.open_stream(data[0].as_py()).read_all().column(0).combine_chunks()


def stream(array: pa.Array) -> pa.Array:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("c", array.type)])) as writer:
        writer.write_batch(pa.record_batch([array], names=["c"]))
    return pa.array([sink.getvalue().to_pybytes()] * len(array), pa.binary())


@pytest.mark.parametrize(
    "name",
    [
        "bool",
        "int8",
        "uint64",
        "float",
        "double",
        "large_string",
        "binary",
        "date32[day]",
        "date64[ms]",
        "timestamp[s]",
        "timestamp[ns, tz=UTC]",
    ],
)
def test_results_of_vectorised_functions(name: str) -> None:
    function = udfvm.udf(
        _load, name="results", vectorized=True, input_types=["binary"], output_type=name
    )
    for found, good, bad in by_type(name):
        if good:
            array = array_of(found, [case.value for case in good])
            assert stored_values(function(stream(array))) == [case.stored[1] for case in good], (
                found
            )
        for case in bad[:3]:
            with pytest.raises(
                UDFError, match=f"the function returned an array of .*declared .*{name[:3]}"
            ):
                function(stream(array_of(found, [case.value])))


# ---- Out: values ----


def _value(data):  # type: ignore[no-untyped-def]
    return pickle.loads(data)


@functools.cache
def returning(name: str) -> udfvm.ScalarFunction:
    return udfvm.udf(_value, name="returning", input_types=["binary"], output_type=name)


RESULTS = [
    "bool",
    "int8",
    "uint32",
    "int64",
    "float",
    "double",
    "string",
    "binary",
    "date32[day]",
    "date64[ms]",
    "timestamp[s]",
    "timestamp[us]",
    "timestamp[ns, tz=UTC]",
]


@pytest.mark.parametrize("name", RESULTS)
def test_results_that_are_values(name: str) -> None:
    """Of a row, and of a batch; in a list too."""
    function = returning(name)
    held = returning(f"list<{name}>")
    for case in cases(name):
        value = python_of(case)
        if value is None:
            continue
        data = pickle.dumps(value)
        batch, lists = pa.array([data], pa.binary()), pa.array([pickle.dumps([value])], pa.binary())
        if case.stored:
            assert stored_values(function(batch)) == [case.stored[1]], case
            assert stored_values(held(lists).flatten()) == [case.stored[1]], case
            function(data)
        else:
            for call, argument in (
                (function, data),
                (function, batch),
                (held, lists),
                (held, pickle.dumps([value])),
            ):
                with pytest.raises(UDFError):
                    call(argument)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (pd.Timestamp(1), "timestamp[us]"),
        (np.int64(2**53 + 1), "double"),
        (np.float64(1e300), "float"),
        (2**24 + 1, "float"),
        (np.int64(200), "int8"),
        (Fraction(1, 3), "double"),
        (pd.Timestamp("2020-01-01"), "date32[day]"),
        (np.datetime64(1, "s"), "int64"),
    ],
    ids=str,
)
def test_other_results_that_are_refused(value: Any, name: str) -> None:
    for argument in (pickle.dumps(value), pa.array([pickle.dumps(value)], pa.binary())):
        with pytest.raises(UDFError):
            udfvm.udf(
                _value, name="other", input_types=["binary"], output_type=name, packages=["pandas"]
            )(argument)


@pytest.mark.parametrize("dtype", ["M8[ns]", "m8[ns]", "m8[s]", "M8[as]"])
def test_times_of_numpy_in_lists_are_no_integers(dtype: str) -> None:
    values = np.array([1], dtype)
    held = returning("list<int64>")
    for argument in (pickle.dumps(values), pa.array([pickle.dumps(values)], pa.binary())):
        with pytest.raises(UDFError, match="64"):
            held(argument)


def test_other_results_that_are_taken() -> None:
    def nothing(x: int) -> datetime.datetime | None:
        return pd.NaT  # type: ignore[return-value]

    def moment(x):  # type: ignore[no-untyped-def]
        return pd.Timestamp(1)

    assert udfvm.udf(nothing)(1) is None
    assert (
        udfvm.udf(moment, input_types=["int64"], output_type="timestamp[ns]")(pa.array([1]))[
            0
        ].value
        == 1
    )
    assert (
        returning("int64")(pickle.dumps(np.bool_(True))) == 1
        and returning("double")(pickle.dumps(np.float32(0.5))) == 0.5
    )


# ---- SQL ----

SQL_VALUES = [
    0,
    1,
    -1,
    127,
    128,
    2**24 + 1,
    -(2**24) - 1,
    2**31,
    2**53 + 1,
    2**54,
    2**63 - 1,
    0.1,
    1e300,
    3e38,
    "text",
    b"\xff",
    None,
]
SQL_TYPES = [
    "bool",
    "int8",
    "uint32",
    "int64",
    "float",
    "double",
    "string",
    "large_binary",
    "date32[day]",
    "timestamp[ms]",
]


def sql_wanted(value: Any, name: str) -> Any:
    """What a function gets of an SQL value; ValueError where that is refused. Dates and times are
    integers in SQL.
    """
    kind = named(name).kind
    if value is None:
        return None
    if kind is Kind.BOOL and value in (0, 1) and isinstance(value, int):
        return value
    if kind in (Kind.DATE, Kind.DATETIME) and isinstance(value, int):
        return value
    found = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}[
        type(value)
    ]
    if family(str(found)) == "integer" and kind is Kind.BOOL:
        raise ValueError
    made = wanted(found, value, name)
    return float(made) if isinstance(value, (int, float)) and kind is Kind.FLOAT else made


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    """Functions of every kind that give back what they are given, one of each type."""
    made = apsw.Connection(":memory:")
    for index, name in enumerate(SQL_TYPES):

        def same(x):  # type: ignore[no-untyped-def]
            return x

        def rows(x):  # type: ignore[no-untyped-def]
            yield (x,)

        class Last:
            def __init__(self) -> None:
                self.value: Any = None

            def step(self, x):  # type: ignore[no-untyped-def]
                self.value = x

            def finish(self):  # type: ignore[no-untyped-def]
                return self.value

        udfvm.sqlite.register(
            made,
            udfvm.udf(same, name=f"same_{index}", input_types=[name], output_type=name),
            udfvm.udf(
                same, name=f"array_{index}", vectorized=True, input_types=[name], output_type=name
            ),
            udfvm.table_function(
                rows, name=f"rows_{index}", input_types=[name], columns={"x": name}
            ),
            udfvm.aggregate(Last, name=f"last_{index}", input_types=[name], output_type=name),
        )
    return made


QUERIES = {
    "row": "SELECT vm_udf('same_{0}', ?)",
    "rows": "WITH v(x) AS (VALUES (NULL), (?)) SELECT vm_udf('same_{0}', x) FROM v",
    "batch": "SELECT value FROM vm_map('same_{0}', 'SELECT 1, ?', ?)",
    "vectorised": "SELECT value FROM vm_map('array_{0}', 'SELECT 1, ?', ?)",
    "table": "SELECT * FROM rows_{0}(?)",
    "aggregate": "SELECT vm_agg('last_{0}', ?)",
}


@pytest.mark.parametrize("way", QUERIES)
@pytest.mark.parametrize("index", range(len(SQL_TYPES)), ids=SQL_TYPES)
def test_sql(connection: apsw.Connection, way: str, index: int) -> None:
    query = QUERIES[way].format(index)
    name = SQL_TYPES[index]
    for value in SQL_VALUES:
        if (
            named(name).kind in (Kind.DATE, Kind.DATETIME)
            and isinstance(value, int)
            and (abs(value) > 10**6 or way == "vectorised")
        ):
            continue
        try:
            expected = sql_wanted(value, name)
        except ValueError:
            with pytest.raises(apsw.SQLError, match=r"argument (1|'x')"):
                connection.execute(query, (value,)).fetchall()
        else:
            got = connection.execute(query, (value,)).fetchall()
            assert got[-1:] == ([] if value is None and way == "table" else [(expected,)]), value


# ---- Table functions and aggregates from Python ----


@pytest.mark.parametrize("name", ["int8", "float", "double", "date64[ms]", "timestamp[s]"])
def test_table_functions_and_aggregates(name: str) -> None:
    def rows(data: bytes):  # type: ignore[no-untyped-def]
        yield (pickle.loads(data),)

    def batches(data: bytes):  # type: ignore[no-untyped-def]
        table = pa.ipc.open_stream(data).read_all()
        yield table.rename_columns(["x"])

    class Last:
        def step(self, data: bytes) -> None:
            self.value = pickle.loads(data)

        def finish(self):  # type: ignore[no-untyped-def]
            return self.value

    table = udfvm.table_function(rows, name="table_rows", columns={"x": name})
    arrow = udfvm.table_function(
        batches, name="table_batches", columns={"x": name}, packages=["pyarrow"]
    )
    last = udfvm.aggregate(Last, name="last", output_type=name)
    for case in cases(name):
        if family(str(case.found)) in ("list", "struct", "other") or pa.types.is_float16(
            case.found
        ):
            continue
        array = array_of(case.found, [case.value])
        data = stream(array)[0].as_py()
        if case.stored:
            assert stored_values(
                pa.concat_arrays([batch.column(0) for batch in arrow.batches(data)])
            ) == [case.stored[1]], case
        else:
            with pytest.raises(UDFError):
                list(arrow.batches(data))
        value = python_of(case)
        if value is None:
            continue
        if case.stored:
            columns = [batch.column(0) for batch in table.batches(pickle.dumps(value))]
            assert stored_values(pa.concat_arrays(columns)) == [case.stored[1]], case
            last(pa.array([pickle.dumps(value)], pa.binary()))
        else:
            with pytest.raises(UDFError):
                list(table(pickle.dumps(value)))
            with pytest.raises(UDFError):
                last(pa.array([pickle.dumps(value)], pa.binary()))


@pytest.mark.parametrize("name", IN_ROWS)
def test_columns_that_travel_wide_come_back(name: str) -> None:
    mine = named(name)
    values = [case.value for case in cases(name) if case.found == mine.arrow and case.stored]
    array = array_of(mine.arrow, [*values, None])
    assert stored_values(narrowed(widened(array), mine)) == stored_values(array)


@pytest.mark.parametrize(
    ("wide", "name"),
    [(1e300, "float"), (128, "int8"), (5, "date64[ms]"), (2**40, "date32[day]"), (-1, "uint32")],
)
def test_columns_of_a_hostile_guest_that_cannot_be_narrowed(wide: Any, name: str) -> None:
    with pytest.raises(ValueError, match=r"range|infinite|days|value"):
        narrowed(pa.array([wide]), named(name))


# ---- JSON ----


def test_json_arguments() -> None:
    @udfvm.udf
    def size(v: list[int]) -> int:
        return len(v)

    @udfvm.udf
    def maybe(v: list[int] | None) -> str:
        return repr(v)

    two = udfvm.udf(
        lambda a, b: str((a, b)),
        name="two",
        input_types=["list<int64>", "list<float>"],
        output_type="string",
    )
    moment = udfvm.udf(
        lambda a: f"{a}", name="moment", input_types=["list<timestamp[s]>"], output_type="string"
    )
    made = apsw.Connection(":memory:")
    udfvm.sqlite.register(made, size, maybe, two, moment)
    for way in ("SELECT vm_udf('{}', ?)", "SELECT value FROM vm_map('{}', 'SELECT 1, ?', ?)"):
        assert made.execute(way.format("size"), ("null",)).fetchall() == [(None,)]
        assert made.execute(way.format("maybe"), ("null",)).fetchall() == [("None",)]
        assert made.execute(way.format("size"), (None,)).fetchall() == [(None,)]
    for arguments, message in (
        (("[1]", "[1"), r"argument 'b' \(position 2\): not valid JSON"),
        (("[1", "[1]"), r"argument 'a' \(position 1\): not valid JSON"),
        (("[1]", "[1e300]"), r"argument 'b' .*too large"),
        (("[1]", "[1e400]"), r"argument 'b' .*too large"),
        (("[1]", "[16777217]"), r"argument 'b' .*no float exactly"),
        (("[9223372036854775808]", "[1]"), "argument 'a' "),
        (("[9007199254740993.0]", "[1]"), r"argument 'a' .*without a fraction"),
        (("[1e17]", "[1]"), r"argument 'a' .*without a fraction"),
        (("[1]", "[NaN]"), r"argument 'b' .*NaN is no JSON"),
        (("[1]", "[-Infinity]"), r"argument 'b' .*Infinity is no JSON"),
    ):
        with pytest.raises(apsw.SQLError, match=message):
            made.execute("SELECT two(?, ?)", arguments).fetchall()
    texts = udfvm.udf(
        lambda a: f"{a}", name="texts", input_types=["list<string>"], output_type="string"
    )
    udfvm.sqlite.register(made, texts)
    assert made.execute("SELECT texts(?)", ('["\\u0000\\ud83d\\ude00"]',)).fetchall() == [
        ("['\\x00😀']",)
    ]
    for way in ("SELECT texts(?)", "SELECT value FROM vm_map('texts', 'SELECT 1, ?', ?)"):
        with pytest.raises(apsw.SQLError, match=r"argument 'a' .*surrogates"):
            made.execute(way, ('["\\ud83d"]',)).fetchall()
    for text in ('["2020-01-01T00:00:00.5"]', '["2020-01-01T00:00:00.000000001"]'):
        with pytest.raises(apsw.SQLError, match=r"argument 'a' .*whole number of s"):
            made.execute("SELECT moment(?)", (text,)).fetchall()


# ---- Samples ----


@pytest.mark.parametrize(
    ("name", "sample"),
    [("float", [1e300]), ("double", [2**53 + 1]), ("list<int8>", [[300]]), ("int64", [1.5])],
)
def test_samples(name: str, sample: list[Any]) -> None:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    function = udfvm.udf(
        same,
        name="sampled",
        vectorized=True,
        input_types=[name],
        output_type=name,
        sample=(sample,),
    )
    with pytest.raises(SignatureError, match=r"sample= for 'x': .*row 0"):
        function.prepare()


# ---- Host functions ----


def test_host_functions() -> None:
    def host(x: float) -> float:
        return {0.0: 2**53 + 1, 1.0: 2**53, 2.0: 1e300}[x]

    @udfvm.udf(host_functions=[host])
    def calls(x: int) -> float:
        return host(x)

    assert calls(1) == 2.0**53 and calls(2) == 1e300
    with pytest.raises(udfvm.Error, match="without loss"):
        calls(0)


def test_fixed_size_zero_is_refused() -> None:
    with pytest.raises((SignatureError, ValueError)):
        declared("fixed_size_list<int8>[0]")


def test_numbers_are_told_by_arrows_numbers_for_their_types() -> None:
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


# ---- Rows of numbers, which are packed in few steps ----


@pytest.mark.parametrize("count", range(1, 6))
def test_rows_of_numbers_are_the_same_by_every_way(count: int) -> None:
    """One to three numbers, and more, have code of their own; other values come to the same bytes,
    or errors.
    """
    for names in itertools.product(("int64", "double"), repeat=count):
        codec = RowCodec("f", [parameter(name) for name in names], ResultType(named("int64"), True))
        for values in itertools.product(
            (5, 2**53, -(2**63), 1.5, True, np.int64(7), 2**53 + 1, 2**63, "x"),
            repeat=min(count, 2),
        ):
            arguments = [*values, *(7 if name == "int64" else 7.5 for name in names[len(values) :])]
            try:
                expected = codec._encode(list(map(_not_plain, arguments)))
            except TypeMappingError:
                with pytest.raises(TypeMappingError, match="argument 'x'"):
                    codec.encode(arguments)
            else:
                assert codec.encode(arguments) == expected
                assert [repr(value) for value in decode_row(expected, codec._parameters)] == [
                    repr(int(value) if name == "int64" else float(value))
                    for name, value in zip(names, arguments, strict=True)
                ]


def _not_plain(value: Any) -> Any:
    """The same value, of a class that is not packed in few steps."""
    return type("Number", (type(value),), {})(value) if type(value) in (int, float) else value


def test_sealed_functions_know_their_floats() -> None:
    from udfvm.sqlite import _extension, sealed

    function = udfvm.udf(
        lambda a, b, c: a,
        name="floats",
        input_types=["float", "double", "float"],
        output_type="double",
    )
    assert sealed.sealed_note(function, "floats")["singles"] == 0b101
    name, _ = sealed.seal(function, replace=True)
    made = apsw.Connection(":memory:")
    made.enable_load_extension(True)
    made.load_extension(str(_extension.PATH))
    made.execute("SELECT vm_attach(?)", (name,))
    assert made.execute(f"SELECT {name}(16777216, 16777217, 5)").fetchall() == [(16777216.0,)]
    for arguments in ("16777217, 1, 1", "1, 1, 16777217"):
        with pytest.raises(apsw.SQLError, match="16777217 is no float of 32 bits exactly"):
            made.execute(f"SELECT {name}({arguments})").fetchall()
