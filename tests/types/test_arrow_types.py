"""Every supported Arrow type has one name, and names with mistakes are refused."""

from __future__ import annotations

from fractions import Fraction

import pyarrow as pa
import pytest

from udfvm.errors import SignatureError
from udfvm.types.arrow_types import RowType, declared, named


def test_sizes_of_lists() -> None:
    assert named("fixed_size_list<int8>[0]").name == "fixed_size_list<item: int8>[0]"
    for size in ("-1", "", "two", "2147483648"):
        with pytest.raises((SignatureError, ValueError)):
            declared(f"fixed_size_list<int8>[{size}]")


ALL_TYPES = [
    pa.null(),
    pa.bool_(),
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.date32(),
    pa.date64(),
    pa.timestamp("s"),
    pa.timestamp("ms"),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("us", tz="UTC"),
    pa.timestamp("ms", tz="Europe/Paris"),
    pa.timestamp("ns", tz="+05:30"),
]

NESTED_TYPES = [
    pa.list_(pa.float64()),
    pa.large_list(pa.string()),
    pa.list_(pa.float32(), 3),
    pa.list_(pa.list_(pa.bool_())),
    pa.struct(
        [
            ("x", pa.float64()),
            ("the y", pa.date32()),
            ("é", pa.list_(pa.timestamp("us", tz="+05:30"))),
        ]
    ),
    pa.list_(pa.struct([("a", pa.struct([("b", pa.binary()), ("c", pa.list_(pa.int8(), 2))]))])),
]


@pytest.mark.parametrize("type_", ALL_TYPES, ids=str)
def test_every_arrow_type_is_known_by_its_name(type_: pa.DataType) -> None:
    assert declared(type_).arrow == type_
    assert named(str(type_)) == declared(type_)


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("float64", "double"),
        ("float32", "float"),
        ("str", "string"),
        ("utf8", "string"),
        ("date", "date32[day]"),
        (" int64 ", "int64"),
    ],
)
def test_aliases(alias: str, expected: str) -> None:
    assert named(alias).name == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "decimal",
        "list<decimal>",
        "timestamp[h]",
        "",
        "timestamp[us",
        Fraction,
        3,
        "day_time_interval",
    ],
)
def test_unsupported_types_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a supported type"):
        declared(wrong)


@pytest.mark.parametrize("type_", NESTED_TYPES, ids=str)
def test_every_nested_type_is_known_by_its_name(type_: pa.DataType) -> None:
    assert declared(type_).arrow == type_
    assert named(str(type_)) == declared(type_)
    assert declared(type_).is_nested and declared(type_).row is RowType.TEXT


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("list<float64>", "list<item: double>"),
        ("list<element: int8 not null>", "list<item: int8>"),
        ("struct<a: str, b: struct<c: bytes>>", "struct<a: string, b: struct<c: binary>>"),
        ("list<timestamp[us, tz=+05:30]>", "list<item: timestamp[us, tz=+05:30]>"),
        (" fixed_size_list<float32>[3]", "fixed_size_list<item: float>[3]"),
    ],
)
def test_names_of_nested_types_are_made_one(name: str, expected: str) -> None:
    assert named(name).name == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("list<>", "the values of a list have one type"),
        ("list<a: int8, b: int8>", "the values of a list have one type"),
        ("struct<int8>", "has no name"),
        ("struct<a.b>: int8>", "closes a bracket"),
        ('struct<a "b": int8>', "written in quotes"),
        ("struct<: int8>", "written in quotes"),
        ('struct<"a: int8>', "has no name|in quotes"),
        ("list<int8>>", "closes a bracket"),
        ("list<int8>[3]", "write a list of a fixed size as"),
        ("fixed_size_list<int8>", "write a list of a fixed size as"),
        ("list<" * 40 + "int8" + ">" * 40, "more than 32 levels deep"),
    ],
)
def test_nested_types_that_are_none(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declared(wrong)


def test_encoded_types_travel_as_their_values() -> None:
    type_ = declared(pa.dictionary(pa.int32(), pa.string()))
    assert type_._replace(exact=None) == named("string")
    assert type_.as_declared == pa.dictionary(pa.int32(), pa.string())
    assert type_.as_declared_decoded == pa.string()


def test_integer_ranges() -> None:
    assert named("int8").integer_range == (-128, 127)
    assert named("uint64").integer_range == (0, 2**64 - 1)
