"""``struct udfvm_guest_error``: an exception of the guest, in the guest's words."""

from __future__ import annotations

import struct
from typing import Final

from udfvm import errors

_HEADER: Final = struct.Struct("<IIIIq")
_PLACES: Final = struct.Struct("<QQ")


def parse(reply: bytes, udf: str | None, first_row: int = 0, rows: int | None = None) -> errors.CallError:
    """The exception that a reply with status ERROR describes. A reply that makes no sense gives a ProtocolError.

    The call's batch had so many ``rows`` (None: not known), from ``first_row`` on of what the caller passed; a row index that is not of the
    batch is not believed.

    >>> reply = _HEADER.pack(10, 3, 0, 0, 7) + b"ValueErrorodd"
    >>> print(parse(reply, "score"))
    UDF 'score', row 7: ValueError: odd
    """
    if len(reply) < _HEADER.size:
        return errors.ProtocolError("the guest reported an error without saying which", udf)
    type_length, message_length, traceback_length, signal, row = _HEADER.unpack_from(reply)
    if _HEADER.size + type_length + message_length + traceback_length > len(reply):
        return errors.ProtocolError("the guest's error report is longer than its reply", udf)
    texts = []
    position = _HEADER.size
    for length in (type_length, message_length, traceback_length):
        texts.append(reply[position : position + length].decode("utf-8", "replace"))
        position += length
    if signal:
        return _crash(reply[position:], texts, udf, signal)
    known = row >= 0 and (rows is None or row < rows)
    return errors.UDFError(texts[0], texts[1], texts[2], udf, first_row + row if known else None)


def _crash(places: bytes, texts: list[str], udf: str | None, signal: int) -> errors.CallError:
    if len(places) < _PLACES.size:
        return errors.ProtocolError("the guest's error report is cut short", udf)
    address, instruction = _PLACES.unpack_from(places)
    kind, message, report = texts
    return errors.GuestCrashError(f"{kind}: {message}\n{report}".rstrip(), udf, None, signal, address, instruction)
