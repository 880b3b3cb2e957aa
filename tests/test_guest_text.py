"""What a guest says of its errors is bounded and harmless to look at, in Python and in SQL, be it
that the guest forged the report.
"""

from __future__ import annotations

import resource
import unicodedata

import apsw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import udfvm
import udfvm.sqlite
from udfvm.guest_text import MAX_LENGTH, visible
from udfvm.protocol import OUTPUT_BASE, VECTOR_COMPLETE

_OBEYED = {"Cc", "Cs", "Zl", "Zp"}


def is_shown(text: str, keep: str = "\n\t") -> bool:
    """Whether a terminal, or an eye, takes each character for what it is."""
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return all(
        character in keep
        or (
            unicodedata.category(character) not in _OBEYED
            and unicodedata.bidirectional(character) not in directions
        )
        for character in text
    )


TEXTS = st.one_of(st.binary(max_size=2000), st.text(st.characters(), max_size=1000))


@given(TEXTS, st.integers(0, 900), st.sampled_from(["", "\n\t", "\r\n"]))
def test_any_bytes_become_bounded_text(data: bytes | str, limit: int, keep: str) -> None:
    text = visible(data, limit, keep)
    assert len(text.encode()) <= limit
    assert is_shown(text, keep + "\n")
    assert visible(text, limit, keep) == text or "\n" not in keep


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_the_head_and_the_tail_are_kept() -> None:
    text = visible(b"head" + b"\x00" * (50 << 20) + "…tail".encode())
    assert text.startswith("head\\x00") and text.endswith("\\x00…tail")
    assert "the whole has 50 MiB ..." in text
    assert MAX_LENGTH - 8 < len(text.encode()) <= MAX_LENGTH


@udfvm.udf(timeout=60.0)
def fails(kind: int) -> int:
    if kind == 0:
        raise ValueError("begin" + "x" * (50 << 20) + "end")
    if kind == 1:
        raise type("Evil\x1b]52;c;ZXZpbA==\x07\n", (Exception,), {})("a\x00\x9b31m\u202eb\r")
    if kind == 2:
        raise ExceptionGroup("many", [ValueError("\x1b[2J" * 1000) for _ in range(1000)])
    # A report that no honest runtime writes: a message as long as the window, in no encoding.
    import ctypes
    import struct

    length = 2 << 20
    ctypes.memset(OUTPUT_BASE, 0x9B if kind == 3 else 0, length)
    ctypes.memmove(
        OUTPUT_BASE, struct.pack("<IIIIq", 64, length - 88 - 16, 8, 11 if kind == 4 else 0, -1), 24
    )
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(1, length)
    return kind


@udfvm.udf(vectorized=True, input_types=["int64"], output_type="int64", timeout=60.0)
def fails_as_batch(kinds):  # type: ignore[no-untyped-def]
    raise ValueError("begin\x1b" + "x" * (50 << 20) + "end")


KINDS = range(5)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_bounded_in_python(kind: int) -> None:
    with pytest.raises(udfvm.CallError) as caught:
        fails(kind)
    assert len(str(caught.value).encode()) <= MAX_LENGTH
    assert is_shown(str(caught.value))
    for attribute in ("guest_type", "guest_message", "guest_traceback"):
        text = getattr(caught.value, attribute, "")
        assert len(text.encode()) <= MAX_LENGTH and is_shown(text)
    if kind == 0:
        assert caught.value.guest_message.startswith(
            "beginx"
        ) and caught.value.guest_message.endswith("xend")
    if kind == 1:
        begin = (
            f"UDF 'fails': {__name__}.Evil\\x1b]52;c;ZXZpbA==\\x07\\x0a:"
            " a\\x00\\x9b31m\\u202eb\\x0d"
        )
        assert str(caught.value).startswith(begin)


@pytest.mark.parametrize("column", [np.arange(3), np.arange(3 << 20)], ids=["small", "large"])
def test_errors_of_batches_are_bounded(column: np.ndarray) -> None:
    with pytest.raises(
        udfvm.UDFError, match=r"^UDF 'fails_as_batch': ValueError: begin\\x1bxxx"
    ) as caught:
        fails_as_batch(column)
    assert len(str(caught.value).encode()) <= MAX_LENGTH and is_shown(str(caught.value))


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_bounded_in_sql_and_read_as_in_python(kind: int) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, fails)
    with pytest.raises(udfvm.CallError) as in_python:
        fails(kind)
    for statement in ("SELECT fails(?)", "SELECT value FROM vm_map('fails', 'SELECT 1, ' || ?)"):
        with pytest.raises(apsw.SQLError) as caught:
            connection.execute(statement, (kind,)).fetchall()
        text = str(caught.value)
        assert is_shown(text) and len(text.encode()) < MAX_LENGTH + 200
        if kind < 3 and "vm_map" not in statement:
            assert str(in_python.value)[:300].removeprefix("UDF 'fails'") in text


def test_a_long_report_takes_no_memory_to_speak_of() -> None:
    with pytest.raises(udfvm.UDFError):
        fails(0)  # the guest's own memory is in use from here on
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        with pytest.raises(udfvm.UDFError):
            fails(0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


@udfvm.udf
def fails_oddly(kind: int) -> int:
    class Text(str):
        def encode(self, *_: object) -> int:  # type: ignore[override]
            return 5

    class Odd(Exception):
        def __str__(self) -> str:
            return Text("odd\x1b")

    class Closed(Exception):
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError(name)

    raise (Odd, Closed)[kind]


@pytest.mark.parametrize(("kind", "message"), [(0, r"Odd: odd\\x1b"), (1, "Closed")])
def test_exceptions_of_odd_classes_are_told(kind: int, message: str) -> None:
    with pytest.raises(udfvm.UDFError, match=message) as caught:
        fails_oddly(kind)
    assert is_shown(str(caught.value)) and "test_guest_text.py" in caught.value.guest_traceback
