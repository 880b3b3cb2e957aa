"""A hostile guest writes lists, structs and other types of arguments as it likes: a host function
gets values of its types, or is not called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hostile_mutations import TYPES, Mutations, chances, tampered

import udfvm
from udfvm.call.host_functions import HostFunctions
from udfvm.codec.host_values import is_stream
from udfvm.errors import ProtocolError, TypeMappingError
from udfvm.layouts import ROW, VALUE
from udfvm.protocol import TYPE_ARROW
from udfvm.types.arrow_types import declared

STREAMS = [type_ for type_ in (*TYPES, pa.uint64()) if is_stream(declared(type_))]
ROUNDS = 60  # of each type


def row(stream: bytes) -> bytes:
    """A row of one value that is a stream."""
    value = VALUE.pack(TYPE_ARROW, len(stream), ROW.size + VALUE.size)
    return ROW.pack(1, 0) + value + stream


def taking(type_: pa.DataType, seen: list[Any]) -> Callable[..., Any]:
    def taken(value: Any) -> None:
        seen.append(value)

    taken.__annotations__ = {"value": type_, "return": None}
    return taken


@pytest.mark.parametrize("type_", STREAMS, ids=str)
def test_streams_that_are_changed(type_: pa.DataType) -> None:
    seen: list[Any] = []
    functions = HostFunctions("f", [taking(type_, seen)])
    mutations = Mutations(type_)
    functions.call(b"taken", row(mutations.honest(1)))
    assert len(seen) == 1
    some = range(0, mutations.count, 1 + mutations.count // ROUNDS)
    payloads = [row(mutations.make(number)[1]) for number in some]
    payloads += [tampered(row(mutations.honest(1)), chance) for chance in chances(ROUNDS)]
    for payload in payloads:
        with contextlib.suppress(ProtocolError):
            functions.call(b"taken", payload)
    reader = declared(type_).arrow
    for value in seen:
        if "union" in str(reader):  # which pyarrow makes of no values of Python
            repr(value)
        else:
            pa.array([value], reader)


def test_a_guest_that_changes_streams() -> None:
    seen: list[Any] = []

    def taken(points: list[dict[str, int]], more: bytes) -> list[int]:
        assert all(type(each) is int for point in points for each in point.values())
        seen.append(points)
        return [len(points)]

    @udfvm.udf(host_functions=[taken])
    def ask(offset: int, byte: int) -> list[int]:
        import _udfvm_agent
        import _udfvm_host

        function = _udfvm_host.find("taken")
        payload = bytearray(function._encode([[{"a": 1}, {"bé": -5}], b"more"]))
        payload[offset % len(payload)] ^= byte
        _udfvm_agent.host_call(b"taken", bytes(payload))
        return taken([], b"")

    assert ask(0, 0) == [0]
    outcomes = set()
    for offset in range(0, 700, 9):
        try:
            outcomes.add(repr(ask(offset, 0x81)))
        except (ProtocolError, TypeMappingError) as error:
            outcomes.add(type(error).__name__)
    assert outcomes >= {"[0]", "ProtocolError"}
    assert ask(0, 0) == [0]


def test_a_list_that_claims_more_than_it_brings() -> None:
    """A list of nulls takes no bytes: what it may claim is bounded."""
    import struct

    seen: list[Any] = []
    type_ = pa.list_(pa.null())
    functions = HostFunctions("f", [taking(type_, seen)])
    mutations = Mutations(type_)
    honest = mutations.honest(1)
    for number in (2**31 - 1, 2**30):
        changed = bytearray(row(honest))
        for offset in range(8, len(changed) - 8, 4):
            struct.pack_into("<I", changed, offset, number)
            with contextlib.suppress(ProtocolError):
                functions.call(b"taken", bytes(changed))
            changed = bytearray(row(honest))
    assert all(value is None or len(value) <= 2**21 for value in seen)
