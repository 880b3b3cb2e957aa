"""What a guest says of compiled code is hostile input: forged descriptions."""

from __future__ import annotations

import random
import struct

import pytest

from udfvm.errors import ProtocolError
from udfvm.functions.compiled_requests import read_description

STRUCT, LIST, DOUBLE, INT32 = 16, 17, 10, 3
POINT = b"struct<x: double, y: double>"


def slot(storage: int, length: int = 0, name: bytes = b"a", nullable: int = 0) -> bytes:
    return struct.pack("<III116s", storage, nullable, length, name)


def description(*parts: bytes, count: int, flags: int = 0) -> bytes:
    return struct.pack("<II", count, flags) + b"".join(parts)


def test_a_description() -> None:
    items = b"list<item: string>"
    slots = (
        slot(LIST, len(items), b"result"),
        slot(STRUCT, len(POINT), nullable=1),
        slot(DOUBLE, name=b"b"),
    )
    reply = description(*slots, items, POINT, count=2)
    found = read_description("f", reply)
    assert [str(each.type) for each in found.signature.parameters] == [POINT.decode(), "double"]
    assert [each.nullable for each in found.signature.parameters] == [True, False]
    assert str(found.signature.result.type) == items.decode()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (0, ()),
        (1, ("table",)),
        (2, ("whole",)),
        (4, ("aggregate",)),
        (12, ("aggregate", "inverse")),
        (20, ("aggregate", "merge")),
        (28, ("aggregate", "inverse", "merge")),
    ],
)
def test_what_flags_say(flags: int, said: tuple[str, ...]) -> None:
    found = read_description("f", description(slot(DOUBLE), count=0, flags=flags))
    known = ("table", "whole", "aggregate", "inverse", "merge")
    assert tuple(name for name in known if getattr(found, name)) == said


def test_types_that_are_stored_as_others_are() -> None:
    assert (
        str(read_description("f", one(INT32, b"date32[day]")).signature.result.type)
        == "date32[day]"
    )


def one(storage: int, text: bytes, length: int | None = None) -> bytes:
    return description(
        slot(storage, len(text) if length is None else length, b"result"), text, count=0
    )


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        description(count=0),
        description(slot(DOUBLE), count=1),
        description(*[slot(DOUBLE)] * 40, count=39),
        description(slot(DOUBLE), count=2**32 - 1),
        description(slot(DOUBLE), b"more", count=0),
        description(slot(DOUBLE), count=0, flags=3),
        description(slot(DOUBLE), count=0, flags=5),
        description(slot(DOUBLE), count=0, flags=6),
        description(slot(DOUBLE), count=0, flags=8),
        description(slot(DOUBLE), count=0, flags=16),
        description(slot(DOUBLE), count=0, flags=32),
        description(slot(DOUBLE), count=0, flags=2**31),
        one(DOUBLE, b"float"),
        one(INT32, b"int32", 6),
        one(INT32, b"timestamp[us]"),
        one(INT32, b"list<item: int32>"),
        one(15, b""),
        one(18, b""),
        one(2**32 - 1, b""),
        one(STRUCT, b""),
        one(STRUCT, POINT, len(POINT) + 1),
        one(STRUCT, POINT, 2**32 - 1),
        one(STRUCT, POINT, len(POINT) - 1),
        one(LIST, POINT),
        one(STRUCT, b"double"),
        one(STRUCT, b"struct<>"),
        one(STRUCT, b"struct<x: double, x: double>"),
        one(STRUCT, b"struct<x: object>"),
        one(STRUCT, b"struct<x: uint128>"),
        one(STRUCT, b"struct<x: large_list<item: double>>"),
        one(STRUCT, b"struct<x: timestamp[us, tz=Nowhere/At_All]>"),
        one(STRUCT, b"struct<\xff: double>"),
        one(STRUCT, b"struct<x: double" + b">" * 200),
        one(LIST, b"list<item: " * 40 + b"double" + b">" * 40),
        one(LIST, b"list<item: " * 1000 + b"double" + b">" * 1000),
        one(
            STRUCT,
            b"struct<" + b", ".join(b"f%d: double" % number for number in range(2000)) + b">",
        ),
    ],
)
def test_descriptions_that_are_none(reply: bytes) -> None:
    with pytest.raises(ProtocolError, match="the guest's description of the function is not valid"):
        read_description("f", reply)


def test_encodings_are_read_as_the_types_they_stand_for() -> None:
    """Guests have the plain types alone."""
    encoded = one(STRUCT, b"struct<x: dictionary<values=string, indices=int32, ordered=0>>")
    result = read_description("f", encoded).signature.result
    assert (result.type.name, result.type.exact) == ("struct<x: string>", None)


def test_damaged_descriptions() -> None:
    good = description(
        slot(STRUCT, len(POINT), b"result"),
        slot(LIST, 22),
        POINT,
        b"list<item: list<item: " + b"int8>>",
        count=1,
    )
    good = good.replace(struct.pack("<III", LIST, 0, 22), struct.pack("<III", LIST, 0, 28))
    assert (
        str(read_description("f", good).signature.parameters[0].type)
        == "list<item: list<item: int8>>"
    )
    chance = random.Random(3)
    for _ in range(5000):
        damaged = bytearray(good)
        for _ in range(chance.choice((1, 2, 8))):
            damaged[chance.randrange(len(damaged))] = chance.choice(
                (*b"<>,: l", 0, 0xFF, chance.randrange(256))
            )
        try:
            read_description(
                "f", bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
            )
        except ProtocolError:
            continue
