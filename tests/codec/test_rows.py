"""Rows are packed as declared, and every reply is decoded or refused."""

from __future__ import annotations

import datetime
import itertools
import struct
from typing import Any

import numpy as np
import pytest
from conversion_cases import parameter
from hypothesis import given
from hypothesis import strategies as st

from udfvm.codec.host_values import decode_row
from udfvm.codec.rows import RowCodec
from udfvm.errors import ProtocolError, TypeMappingError
from udfvm.types.arrow_types import Parameter, ResultType, named


@pytest.mark.parametrize("count", range(1, 6))
def test_rows_of_numbers_are_the_same_by_every_way(count: int) -> None:
    """Rows of one to three numbers have their own code; the bytes and errors are the same."""
    for names in itertools.product(("int64", "double"), repeat=count):
        codec = RowCodec("f", [parameter(name) for name in names], ResultType(named("int64"), True))
        for values in itertools.product(
            (5, 2**53, -(2**63), 1.5, True, np.int64(7), 2**53 + 1, 2**63, "x"),
            repeat=min(count, 2),
        ):
            arguments = [*values, *(7 if name == "int64" else 7.5 for name in names[len(values) :])]
            try:
                expected = codec._encode(list(map(_of_a_subclass, arguments)))
            except TypeMappingError:
                with pytest.raises(TypeMappingError, match="argument 'x'"):
                    codec.encode(arguments)
            else:
                assert codec.encode(arguments) == expected
                assert [repr(value) for value in decode_row(expected, codec._parameters)] == [
                    repr(int(value) if name == "int64" else float(value))
                    for name, value in zip(names, arguments, strict=True)
                ]


def _of_a_subclass(value: Any) -> Any:
    """The same value, of a subclass, which the code for numbers does not take."""
    return type("Number", (type(value),), {})(value) if type(value) in (int, float) else value


def _codec(*types: str, result: str = "int64", nullable: bool = False) -> RowCodec:
    parameters = [
        Parameter(f"p{index}", named(type_), nullable) for index, type_ in enumerate(types)
    ]
    return RowCodec("f", parameters, ResultType(named(result), True))


def test_layout_of_a_row() -> None:
    row = _codec("int64", "string", "double", "binary", "bool", nullable=True).encode(
        [-5, "é", 2.5, None, True]
    )
    end = 8 + 5 * 16
    assert row[:8] == struct.pack("<II", 5, 0)
    assert row[8:end] == b"".join(
        [
            struct.pack("<IIq", 1, 0, -5),
            struct.pack("<IIQ", 3, 2, end),
            struct.pack("<IId", 2, 0, 2.5),
            struct.pack("<IIQ", 0, 0, 0),
            struct.pack("<IIq", 5, 0, 1),
        ]
    )
    assert row[end:] == "é".encode()


@pytest.mark.parametrize("count", range(6))
def test_rows_of_numbers(count: int) -> None:
    row = _codec(*["double"] * count).encode([float(index) for index in range(count)])
    assert row == struct.pack("<II", count, 0) + b"".join(
        struct.pack("<IId", 2, 0, index) for index in range(count)
    )


def test_null_arguments() -> None:
    parameters = [Parameter("a", named("int64"), False), Parameter("b", named("int64"), True)]
    codec = RowCodec("f", parameters, ResultType(named("int64"), False))
    assert codec.is_null([None, 1])
    assert not codec.is_null([1, None])
    assert not codec.is_null([1, 1])


@pytest.mark.parametrize(
    ("type_", "value", "found"),
    [
        ("int64", 1.5, "got float"),
        ("int64", "1", "got str"),
        ("int64", 2**63, "out of the range"),
        ("int8", 128, "out of the range"),
        ("double", "1", "got str"),
        ("double", 10**400, "too large"),
        ("string", b"x", "got bytes"),
        ("string", "\ud800", "lone surrogate"),
        ("binary", "x", "got str"),
        ("bool", 1, "got int"),
        ("date32[day]", datetime.datetime(2020, 1, 1), "got datetime"),
        ("timestamp[us]", datetime.date(2020, 1, 1), "got date"),
        ("timestamp[us]", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "an aware datetime"),
        ("timestamp[us, tz=UTC]", datetime.datetime(2020, 1, 1), "a naive datetime"),
        ("timestamp[s]", datetime.datetime(2020, 1, 1, 0, 0, 0, 1), "not a whole number of s"),
        ("timestamp[ns]", datetime.datetime(2500, 1, 1), "out of the range"),
    ],
)
def test_wrong_arguments_are_named(type_: str, value: object, found: str) -> None:
    with pytest.raises(TypeMappingError, match=f"argument 'p0'.*{found}"):
        _codec(type_).encode([value])


def test_numpy_scalars_are_values() -> None:
    assert _codec("int64", "double", "bool").encode(
        [np.int8(3), np.float32(0.5), np.bool_(True)]
    ) == _codec("int64", "double", "bool").encode([3, 0.5, True])


def _reply(type_: int, length: int, value: int | float, rest: bytes = b"") -> bytes:
    return (
        struct.pack("<II", type_, length)
        + struct.pack("<d" if isinstance(value, float) else "<q", value)
        + rest
    )


@pytest.mark.parametrize(
    ("result", "reply", "expected"),
    [
        ("int64", _reply(1, 0, -(2**63)), -(2**63)),
        ("double", _reply(2, 0, 1.5), 1.5),
        ("string", _reply(3, 3, 16, b"a\0b"), "a\0b"),
        ("binary", _reply(4, 2, 17, b"abc"), b"bc"),
        ("bool", _reply(5, 0, 1), True),
        ("date32[day]", _reply(1, 0, 1), datetime.date(1970, 1, 2)),
        ("date64[ms]", _reply(1, 0, 86_400_000), datetime.date(1970, 1, 2)),
        ("timestamp[ms]", _reply(1, 0, -1), datetime.datetime(1969, 12, 31, 23, 59, 59, 999000)),
        (
            "timestamp[ns, tz=UTC]",
            _reply(1, 0, 1000),
            datetime.datetime(1970, 1, 1, microsecond=1, tzinfo=datetime.UTC),
        ),
        ("int64", _reply(0, 0, 0), None),
    ],
)
def test_replies_are_decoded(result: str, reply: bytes, expected: object) -> None:
    assert _codec(result=result).decode(reply) == expected


@pytest.mark.parametrize(
    ("result", "reply"),
    [
        ("int64", b""),
        ("int64", b"\1" * 15),
        ("int64", _reply(2, 0, 1.5)),
        ("int64", _reply(99, 0, 1)),
        ("int8", _reply(1, 0, 128)),
        ("bool", _reply(5, 0, 2)),
        ("string", _reply(3, 2, 16, b"\xff\xfe")),
        ("string", _reply(3, 5, 16, b"abcd")),
        ("string", _reply(3, 1, -1, b"abcd")),
        ("binary", _reply(4, 0xFFFFFFFF, 16, b"abcd")),
        ("binary", _reply(4, 1, 2**62, b"abcd")),
        ("date32[day]", _reply(1, 0, 2**31)),
        ("date64[ms]", _reply(1, 0, 5)),
    ],
)
def test_invalid_replies_are_refused(result: str, reply: bytes) -> None:
    with pytest.raises(ProtocolError, match="reply is not valid"):
        _codec(result=result).decode(reply)


@pytest.mark.parametrize(
    ("result", "count"),
    [
        ("date32[day]", 2**31 - 1),
        ("date64[ms]", 2**36 * 86_400_000),
        ("timestamp[us]", 2**63 - 1),
        ("timestamp[ns]", 1),
        ("timestamp[us, tz=+05:00]", 253402300799999999),
    ],
)
def test_replies_that_python_has_no_value_for(result: str, count: int) -> None:
    with pytest.raises(TypeMappingError, match=r"the result is a .* that Python cannot hold"):
        _codec(result=result).decode(_reply(1, 0, count))


@given(
    st.binary(max_size=64),
    st.sampled_from(
        ["int64", "int8", "double", "string", "binary", "bool", "date32[day]", "timestamp[us]"]
    ),
)
def test_any_reply_is_decoded_or_refused(reply: bytes, result: str) -> None:
    try:
        _codec(result=result).decode(reply)
    except (ProtocolError, TypeMappingError):
        pass
