"""How calls end for clients: a status of gRPC, a text, and details for programs.

A client of pyarrow raises ``FlightServerError`` where the function raised, ``FlightTimedOutError``
past its timeout, ``ArrowInvalid`` for what the client did wrong, and so on. Its ``extra_info`` is a
JSON object: ``type`` is the class of udfvm's error, ``udf`` and ``row`` are where, and
``guest_type``, ``guest_message`` and ``guest_traceback`` what the function raised.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from udfvm.errors import (
    BusyError,
    CallError,
    CallTimeoutError,
    Error,
    HostFunctionError,
    InputTooLargeError,
    OutputLimitError,
    TypeMappingError,
)
from udfvm.guest_text import visible
from udfvm.tuples import NamedTuple

# Clients take headers of 8 KiB, all together. There, what is not ASCII takes three times as much,
# and details take a third more.
_MAX_TEXT: Final = 3500
_MAX_DETAILS: Final = 2500
_UNQUOTED: Final = "".join(map(chr, range(32, 127)))  # in grpc-message
_INTERNAL: Final = "the server failed: its log says why"
#: What Flight's C++ and Python read the kind of an error from: arrow::StatusCode::IOError, and the
#: name of a FlightStatusCode.
_KINDS: Final = {
    "UNKNOWN": b"Failed",
    "DEADLINE_EXCEEDED": b"TimedOut",
    "UNAVAILABLE": b"Unavailable",
    "UNAUTHENTICATED": b"Unauthenticated",
    "INTERNAL": b"Internal",
}
_STATUSES: Final[tuple[tuple[type[Error], str], ...]] = (
    (CallTimeoutError, "DEADLINE_EXCEEDED"),
    (InputTooLargeError, "INVALID_ARGUMENT"),
    (OutputLimitError, "OUT_OF_RANGE"),
    (TypeMappingError, "INVALID_ARGUMENT"),
    (BusyError, "UNAVAILABLE"),
    (CallError, "UNKNOWN"),
)

_Metadata = tuple[tuple[str, str | bytes], ...]


class RefusedError(Exception):
    """What a client asked for is refused.

    Attributes:
        status: the name of the status of gRPC.
    """

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class Status(NamedTuple):
    """Attributes:
    name: of the status of gRPC.
    text: what the client reads.
    metadata: trailing metadata, which clients of Arrow read.
    """

    name: str
    text: str
    metadata: _Metadata


def status_of(error: Exception) -> Status:
    """Returns how a call ends that raised an error."""
    if isinstance(error, RefusedError):
        return _status(error.status, str(error), {"type": "refused"})
    if isinstance(error, HostFunctionError):
        return _status("UNKNOWN", _of_host(error), {"type": "HostFunctionError", "udf": error.udf})
    for class_, name in _STATUSES:
        if isinstance(error, class_):
            return _status(name, str(error), _details_of(error))
    return _status("INTERNAL", _INTERNAL, {"type": "internal"})


def is_for_the_log(error: Exception) -> bool:
    """Whether clients do not learn what happened, so that the server's log has to say it."""
    if isinstance(error, (RefusedError, HostFunctionError)):
        return isinstance(error, HostFunctionError)
    return not isinstance(error, tuple(class_ for class_, _ in _STATUSES))


def _of_host(error: HostFunctionError) -> str:
    """Returns a text without what the host function raised."""
    return f"UDF {error.udf!r}: a host function failed: the server's log says why"


def _status(name: str, text: str, details: dict[str, Any]) -> Status:
    text = visible(text, _MAX_TEXT)
    while len(quote(text, _UNQUOTED)) > _MAX_TEXT:
        text = visible(text, len(text.encode()) // 2)
    metadata: _Metadata = ()
    if name in _KINDS:
        metadata = (
            ("x-arrow-status", "5"),
            ("x-arrow-status-detail-bin", _KINDS[name]),
            ("grpc-status-details-bin", _json(details)),
        )
    return Status(name, text, metadata)


def _details_of(error: Error) -> dict[str, Any]:
    details: dict[str, Any] = {"type": type(error).__name__}
    for name in ("udf", "row", "argument", "guest_type", "guest_message", "guest_traceback"):
        value = getattr(error, name, None)
        if value is not None:
            details[name] = value
    return details


def _json(details: dict[str, Any]) -> bytes:
    """Returns details as JSON; long texts in them are cut."""
    most = _MAX_DETAILS
    while True:
        cut = {
            name: visible(value, most) if isinstance(value, str) else value
            for name, value in details.items()
        }
        encoded = json.dumps(cut).encode()
        if len(encoded) <= _MAX_DETAILS:
            return encoded
        most //= 2
