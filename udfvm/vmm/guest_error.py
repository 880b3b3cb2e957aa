"""``struct udfvm_guest_error``: an exception of the guest, in the guest's own words."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from udfvm import errors
from udfvm.guest_text import LINES, shown, visible
from udfvm.layouts import GUEST_ERROR
from udfvm.protocol import MAX_ERROR_MESSAGE, MAX_ERROR_TRACEBACK, MAX_ERROR_TYPE, ROW_OF_SAMPLE
from udfvm.static_typing import Final, TypeVar
from udfvm.vmm.callbacks import take_output

_PLACES: Final = struct.Struct("<QQ")
# Of type, message and traceback: together at most guest_text.MAX_LENGTH.
_MAX_LENGTHS: Final = (MAX_ERROR_TYPE, MAX_ERROR_MESSAGE, MAX_ERROR_TRACEBACK)
_KEEP: Final = ("", LINES, LINES)
_SHORT: Final = 256 << 10
_NO_SUCH_ARGUMENT: Final = (
    "the guest's reply is not valid: its error is about an argument that the function does not have"
)


_Failure = TypeVar("_Failure", bound=BaseException)


def add_output(failure: _Failure) -> _Failure:
    """Adds the guest's output to the failure of a call of this thread."""
    text = take_output()  # also clears the output of an SQL statement's failure
    if (
        text
        and isinstance(failure, errors.CallError)
        and not isinstance(failure, errors.InputTooLargeError)
    ):
        failure.output = shown(text)
    return failure


def parse(
    reply: bytes | bytearray | memoryview,
    udf: str | None,
    first_row: int = 0,
    rows: int | None = None,
    *,
    loading: bool = False,
    parameters: Sequence[str] = (),
) -> errors.CallError | errors.TypeMappingError:
    """Returns the exception that a reply with status ERROR describes: a TypeMappingError if the
    guest says that an argument is wrong.

    A reply that is not valid gives a ProtocolError.

    ``rows`` is the number of rows in the call's batch (None: not known), and ``first_row`` the
    index of its first row in all that the caller passed. A row index outside of the batch is
    ignored. ``loading`` says that the call loads the function, which calls it with its sample.
    ``parameters`` are the names of the function's parameters.

    >>> reply = GUEST_ERROR.pack(10, 3, 0, 0, 0, 7) + b"ValueErrorodd"
    >>> print(parse(reply, "score"))
    UDF 'score', row 7: ValueError: odd
    >>> reply = GUEST_ERROR.pack(10, 11, 0, 0, 1, 7) + b"ValueErroris not JSON"
    >>> print(parse(reply, "score", parameters=["x"]))
    UDF 'score', row 7: argument 'x' (position 1) is not JSON
    """
    return add_output(_parsed(reply, udf, first_row, rows, loading, parameters))


def _parsed(
    reply: bytes | bytearray | memoryview,
    udf: str | None,
    first_row: int,
    rows: int | None,
    loading: bool,
    parameters: Sequence[str],
) -> errors.CallError | errors.TypeMappingError:
    if len(reply) < GUEST_ERROR.size:
        return errors.ProtocolError("the guest reported an error without saying which", udf)
    *lengths, signal, argument, row = GUEST_ERROR.unpack_from(reply)
    if GUEST_ERROR.size + sum(lengths) > len(reply):
        return errors.ProtocolError("the guest's error report is longer than its reply", udf)
    texts = []
    position, whole = GUEST_ERROR.size, memoryview(reply)
    for length, maximum, keep in zip(lengths, _MAX_LENGTHS, _KEEP, strict=True):
        texts.append(visible(whole[position : position + length], maximum, keep))
        position += length
    if signal:
        return _crash(whole[position:], texts, udf, signal)
    known = row >= 0 and (rows is None or row < rows)
    at = first_row + row if known else None
    if argument:
        if argument > len(parameters):
            return errors.ProtocolError(_NO_SUCH_ARGUMENT, udf)
        name = parameters[argument - 1]
        return errors.TypeMappingError.of_argument(udf or "", name, argument, texts[1], at)
    failure = errors.UDFError(texts[0], texts[1], texts[2], udf, at)
    if row == ROW_OF_SAMPLE and loading:
        failure.locate(None, of_sample=True)
    return failure


def excerpt(reply: memoryview) -> bytes:
    """Returns a copy of a reply with status ERROR, of only the bytes that ``parse`` reads."""
    if len(reply) <= _SHORT:
        return bytes(reply)
    *lengths, signal, argument, row = GUEST_ERROR.unpack_from(reply)
    if GUEST_ERROR.size + sum(lengths) > len(reply):
        return bytes(reply[: GUEST_ERROR.size])
    texts = []
    position = GUEST_ERROR.size
    for length, maximum, keep in zip(lengths, _MAX_LENGTHS, _KEEP, strict=True):
        texts.append(visible(reply[position : position + length], maximum, keep).encode())
        position += length
    head = GUEST_ERROR.pack(*(len(text) for text in texts), signal, argument, row)
    return b"".join([head, *texts, bytes(reply[position : position + _PLACES.size])])


def _crash(places: memoryview, texts: list[str], udf: str | None, signal: int) -> errors.CallError:
    if len(places) < _PLACES.size:
        return errors.ProtocolError("the guest's error report is cut short", udf)
    address, instruction = _PLACES.unpack_from(places)
    kind, message, report = texts
    return errors.GuestCrashError(
        f"{kind}: {message}\n{report}".rstrip(), udf, None, signal, address, instruction
    )
