"""Arguments become columns of the declared types without loss, or are refused by name."""

from __future__ import annotations

import datetime
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conversion_cases import (
    DAY,
    DECLARED,
    IN_ROWS,
    INTEGERS,
    array_of,
    by_type,
    cases,
    parameter,
    python_of,
    stored_values,
)

from udfvm.codec.arguments import columns_of
from udfvm.codec.rows import RowCodec
from udfvm.codec.scalars import python_value, scalar_of
from udfvm.errors import TypeMappingError
from udfvm.types.arrow_types import ResultType, named
from udfvm.types.conversions import (
    Rule,
    rule,
)


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
                TypeMappingError, match=r"^UDF 'f'(, row \d+)?: argument 'x' \(position 2\) "
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
def test_values_that_mean_null(value: Any, name: str) -> None:
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
def test_dates_that_python_cannot_hold(name: str) -> None:
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


def test_text_that_is_not_utf8() -> None:
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    text = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff")])
    for name, array in (
        ("string", text),
        ("large_string", text),
        ("list<string>", pa.ListArray.from_arrays([0, 1, 2], text)),
    ):
        with pytest.raises(
            TypeMappingError, match=r"', row 1: argument 'x' \(position 2\) .*UTF-?8"
        ):
            columns_of("f", [parameter(name)], [array])
