"""Replies with batches that no honest guest makes."""

from __future__ import annotations

import ctypes
import itertools
import struct

import apsw
import numpy as np
import pytest
from batch_functions import (
    COLUMN,
    HEAD,
    INT64,
    NUMBERS,
    TEXT,
    Query,
    forged_table,
    reply,
    total,
)

import udfvm
import udfvm.sqlite
from udfvm.protocol import OUTPUT_BASE, STATUS_OK, TYPE_ARROW, VECTOR_COMPLETE

BODY = HEAD.size + COLUMN.size


OFFSETS = struct.pack("<2q", 0, 2)


@pytest.mark.parametrize(
    ("forgery", "expected"),
    [
        (b"", "too short"),
        (reply(1), "not of the declared columns"),
        (reply(1, (TEXT, 0, 0, 0, 0), flags=2), "not of the declared columns"),
        (reply(2, (TEXT, 0, BODY, BODY, 0), tail=bytes(64)), "more rows than there can be"),
        (reply(2**63, (TEXT, 0, BODY, BODY, 0), tail=bytes(64)), "more rows than there can be"),
        (reply(0, (TEXT, 0, BODY, BODY, 0), tail=bytes(64)), "not a value for each row"),
        (reply(1, (INT64, 0, BODY, BODY, 0), tail=bytes(64)), "not of the declared type"),
        (reply(1, (TYPE_ARROW, 0, 0, BODY, 64), tail=bytes(64)), "not of the declared type"),
        (reply(1, (TEXT, 0, 2**64 - 8, BODY, 0), tail=bytes(64)), "outside of the reply"),
        (reply(1, (TEXT, 0, BODY, 2**63, 2**63), tail=bytes(64)), "outside of the reply"),
        (reply(1, (TEXT, 2**62, BODY, BODY, 0), tail=bytes(64)), "outside of the reply"),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=struct.pack("<2q", 0, 3) + b"ab"),
            "lie outside the data",
        ),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=struct.pack("<2q", 2, 1) + b"ab"),
            "offsets that decrease",
        ),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=struct.pack("<2q", -9, 1) + b"ab"),
            "offsets that decrease",
        ),
        (
            reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=OFFSETS + b"\xff\xfe"),
            "TEXT that is not valid UTF-8",
        ),
    ],
    ids=itertools.count(),
)
def test_forged_replies_of_a_map(query: Query, forgery: bytes, expected: str) -> None:
    message = query.error("SELECT value FROM vm_map('forged', 'SELECT 1, ?', ?)", forgery)
    assert (
        message.startswith("UDF 'forged': the guest's reply is not valid: ") and expected in message
    )
    honest = reply(1, (TEXT, 0, BODY, BODY + 16, 2), tail=OFFSETS + b"ab")
    assert query("SELECT value FROM vm_map('forged', 'SELECT 1, ?', ?)", honest) == [("ab",)]


def test_forged_rows_of_a_table(query: Query) -> None:
    two = HEAD.size + 2 * COLUMN.size
    for source in (1, -1):
        forgery = reply(1, (INT64, 0, 0, two, 8), (0, 0, 0, 0, 0), tail=struct.pack("<q", source))
        assert "a row that belongs to no row of arguments" in query.error(
            "SELECT * FROM forged_table(?)", forgery
        )
        with pytest.raises(udfvm.ProtocolError):
            list(forged_table(forgery[:30]))
    assert "a row that belongs to no row" in query.error(
        "SELECT * FROM forged_table(?)", reply(1, (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
    )
    assert "more rows than there can be" in query.error(
        "SELECT * FROM forged_table(?)", reply(65, (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
    )
    assert query(
        "SELECT * FROM forged_table(?)",
        reply(1, (INT64, 0, 0, two, 8), (0, 0, 0, 0, 0), tail=bytes(8)),
    ) == [(None,)]


FORGED_VALUES = {
    "nothing": (b"", "too short"),
    "no row": (reply(0, (INT64, 0, 0, BODY, 8), tail=bytes(8)), "no value"),
    "two rows": (reply(2, (INT64, 0, 0, BODY, 16), tail=bytes(16)), "more rows than there can be"),
    "text": (reply(1, (TEXT, 0, BODY, BODY, 0), tail=bytes(16)), "not of the declared type"),
}


@pytest.mark.parametrize("forgery", FORGED_VALUES)
def test_forged_values_of_an_aggregate(forgery: str) -> None:
    forged_reply, expected = FORGED_VALUES[forgery]

    @udfvm.aggregate
    class liar:
        def step(self, value: int) -> None: ...

        def finish(self) -> int:
            ctypes.memmove(OUTPUT_BASE, forged_reply, len(forged_reply))
            ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(
                STATUS_OK, len(forged_reply)
            )
            return 1

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, liar, total)
    for sql in (
        "SELECT liar(1)",
        "SELECT liar(1) WHERE 0",
        NUMBERS.format(3) + "SELECT liar(i) OVER (ORDER BY i) FROM n",
        NUMBERS.format(3) + "SELECT liar(i) OVER () FROM n",
    ):
        message = Query(connection).error(sql)
        assert (
            message.startswith("UDF 'liar': the guest's reply is not valid: ")
            and expected in message
        )
    assert connection.execute("SELECT total(1)").fetchall() == [(1.0,)]
    connection.close()
    with pytest.raises(udfvm.ProtocolError):
        liar(np.arange(3))
