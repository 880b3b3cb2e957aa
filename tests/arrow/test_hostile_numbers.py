"""Replies of hostile guests to columns of Arrow's kernels, which C code reads."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hostile_mutations import Mutations

import udfvm
import udfvm.arrow
from udfvm.codec.number_streams import NumberReplies
from udfvm.errors import ProtocolError
from udfvm.functions import arrow_registry
from udfvm.protocol import LOGGED_OUTPUT, OUTPUT_BASE, STATUS_OK, VECTOR_COMPLETE

pytestmark = pytest.mark.skipif(not arrow_registry.HAS_KERNELS, reason="kernels were not built")

MUTATIONS = Mutations(pa.float64())
COUNT = MUTATIONS.count + 200
SCHEMA_MESSAGE = MUTATIONS.codec.result_schema_message
TEMPLATE = NumberReplies(MUTATIONS.codec.result_schema, SCHEMA_MESSAGE)._template


def _complete(data: bytes, length: int) -> None:
    import ctypes

    ctypes.memmove(OUTPUT_BASE, data, len(data))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(STATUS_OK, length)


def _hostile(name: str, replies: list[tuple[bytes, int]]) -> str:
    """Registers a function that answers with the reply of the number in its argument."""

    def evil(numbers: np.ndarray) -> np.ndarray:
        _complete(*replies[numbers[0]])
        return numbers

    function = udfvm.udf(
        evil, name=name, vectorized=True, input_types=["int64"], output_type="double"
    )
    udfvm.arrow.register(None, function)
    return name


OWN_POOL = pa.proxy_memory_pool(pa.default_memory_pool())  # lives longer than what lies in it


def _results(name: str, number: int, rows: int) -> Iterator[pa.Array]:
    """Results of a call: in the default pool, and in another."""
    for pool in (None, OWN_POOL):
        yield pc.call_function(name, [pa.array([number] * rows)], memory_pool=pool)


def test_hostile_replies() -> None:
    """What is accepted is what Python code accepts, and is as valid."""
    made = [MUTATIONS.make(number) for number in range(COUNT)]
    name = _hostile("mutated", [(reply, len(reply)) for _, reply in made])
    accepted = 0
    for number, (rows, reply) in enumerate(made):
        try:
            wanted = MUTATIONS.codec.read(reply, rows)
        except ProtocolError:
            with pytest.raises(ProtocolError):
                next(_results(name, number, rows))
            continue
        accepted += 1
        for result in _results(name, number, rows):
            result.validate(full=True)
            assert str(result) == str(wanted)
    assert 0 < accepted < COUNT


def test_hostile_gaps() -> None:
    """Numbers may lie at the end of a reply, behind a gap. Where that is, a reply says twice."""
    rows, width = 200_000, 8
    start, size = len(TEMPLATE.head), rows * width
    cases = []
    for gap in (-8, 0, 8, 12, 1 << 20, LOGGED_OUTPUT):
        length = start + 25_000 + size + 64 + gap
        length += -length % 8 if gap != 12 else 4 - length % 8
        begin = length - size - start
        for body, data, count, is_right in (
            (length - start, begin, rows, gap != 12),
            (length - start, begin - 8, rows, False),
            (length - start, begin + 8, rows, False),
            (length - start, 1 << 62, rows, False),
            (length - start, -8, rows, False),
            (length - start + 8, begin, rows, False),
            (-1, begin, rows, False),
            (length - start, begin, rows + 1, False),
            (length - start, begin, -1, False),
        ):
            head = bytearray(TEMPLATE.filled(count, body & (1 << 63) - 1, [(0, size)]))
            struct.pack_into("<q", head, TEMPLATE.offset_of_data, data)
            cases.append((bytes(head), length, is_right))
    name = _hostile("with_gaps", [(head, length) for head, length, _ in cases])
    accepted = 0
    for number, (_, _, is_right) in enumerate(cases):
        try:
            for result in _results(name, number, rows):
                assert len(result) == rows and result.null_count == 0
                result.validate(full=True)
                assert not np.count_nonzero(result.to_numpy().view(np.int64))
                accepted += 1
        except ProtocolError:
            assert not is_right
    assert accepted >= 10


@pytest.mark.parametrize("extra", [-5, 1, 8, 1 << 20, 1 << 40])
def test_lengths_of_replies(extra: int) -> None:
    rows, reply = 9, MUTATIONS._stream(MUTATIONS.arrays[9])
    name = _hostile(f"of_length_{abs(extra)}", [(reply, len(reply) + extra)])
    wanted = MUTATIONS.arrays[9]
    for _ in range(2):
        try:
            results = list(_results(name, 0, rows))
        except udfvm.CallError:
            continue
        assert all(str(result) == str(wanted) for result in results)
