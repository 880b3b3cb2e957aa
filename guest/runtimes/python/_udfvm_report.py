"""Exceptions of the function, as the host gets them: struct udfvm_guest_error and its texts, in the
output window.
"""

from __future__ import annotations

import os
import struct
import traceback
from typing import Final

import _udfvm_advice
import _udfvm_agent
from _udfvm_agent import STATUS_ERROR

ERROR_HEADER: Final = struct.Struct("<IIIIq")
MAX_TYPE: Final = 256  # as much as the host keeps
MAX_MESSAGE: Final = 20 * 1024
MAX_TRACEBACK: Final = 43 * 1024
RUNTIME_DIRECTORY: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120 - compared with file names of code


def report(exception: BaseException, row: int = -1) -> tuple[int, int]:
    """Writes the report; returns status and length of the reply."""
    output = _udfvm_agent.output()
    capacity = max(0, len(output) - ERROR_HEADER.size)
    texts = []
    for text, limit in (
        (_type_name(type(exception)), MAX_TYPE),
        (_message(exception), MAX_MESSAGE),
        (_traceback(exception), MAX_TRACEBACK),
    ):
        cut = _cut(text.encode("utf-8", "backslashreplace"), min(limit, capacity))
        capacity -= len(cut)
        texts.append(cut)
    reply = ERROR_HEADER.pack(*map(len, texts), 0, row) + b"".join(texts)
    output[: len(reply)] = reply
    return STATUS_ERROR, len(reply)


def _cut(encoded: bytes, limit: int) -> bytes:
    """Head and tail of UTF-8, without halves of characters, and a mark between."""
    if len(encoded) <= limit:
        return encoded
    mark = b"\n[... cut: the whole has %d bytes ...]\n" % len(encoded)
    half = max(0, limit - len(mark)) // 2
    head, tail = (
        part.decode("utf-8", "ignore").encode()
        for part in (encoded[:half], encoded[len(encoded) - half :])
    )
    return (head + mark + tail)[:limit]


def _type_name(cls: type[BaseException]) -> str:
    try:
        return (
            cls.__qualname__
            if cls.__module__ in ("builtins", "__main__")
            else f"{cls.__module__}.{cls.__qualname__}"
        )
    except BaseException:  # noqa: BLE001 - the user's class may have no module, or a property of that name
        return type.__dict__["__qualname__"].__get__(cls)


def _message(exception: BaseException) -> str:
    try:
        text = str.__str__(str(exception))  # of a subclass, whose methods do not count
    except BaseException:  # noqa: BLE001 - the user's __str__
        return "<str() of the exception failed>"
    if not text and issubclass(type(exception), MemoryError):
        return "the micro-VM has no more memory: raise memory="
    return text


def _traceback(exception: BaseException) -> str:
    """As Python prints it, from the user's first frame on."""
    # The true one, whatever the user's class makes of its attributes.
    frames = BaseException.__dict__["__traceback__"].__get__(exception)
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(RUNTIME_DIRECTORY):
        frames = frames.tb_next
    advice = _udfvm_advice.of(exception)
    try:
        return (
            "".join(traceback.TracebackException(type(exception), exception, frames).format())
            + advice
        )
    except BaseException:  # noqa: BLE001 - the user's classes take part in formatting
        return "".join(
            (
                "Traceback (most recent call last):\n",
                *traceback.format_tb(frames),
                _type_name(type(exception)),
                "\n",
                advice,
            )
        )
