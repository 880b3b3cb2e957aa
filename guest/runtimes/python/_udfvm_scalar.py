"""Scalar functions: how each declared type is stored, and the conversions that C leaves to Python.

Types are strict: a result must have the declared type. Integers are accepted for floats, and numpy
scalars for the Python types that they represent.
"""

from __future__ import annotations

import datetime
import numbers
import operator
import sys
import zoneinfo
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import _udfvm_agent
from _udfvm_conversions import Loss, exact_float, integer_range, is_missing
from _udfvm_nested import from_json_text, json_reader, json_writer, shown, to_json_text, tree_of
from _udfvm_signature import Signature
from _udfvm_types import MICROSECONDS, is_nested, python_bool, storage_of, timestamp_parts
from _udfvm_warmup import repeat

Converter = Callable[..., object]

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_EPOCH_DAYS: Final = _EPOCH.toordinal()
_DAY_MS: Final = 86_400_000
_MICROSECOND: Final = datetime.timedelta(microseconds=1)


class Codec(NamedTuple):
    storage: int
    direct: bool
    decode: Converter | None
    encode: Converter


def load(
    function: Callable[..., object],
    metadata: dict[str, Any],
    stream: _udfvm_agent.Stream,
    warm: bytes,
    sample: bytes,
) -> _udfvm_agent.ScalarFunction:
    """Returns a function of one row, for rows and for whole batches, ready to be called: everything
    that it sets up on first use is set up.

    It runs on the sample, if there is one. `warm` is a batch for a function of our own, which runs
    through the code that calls use.
    """
    signature = Signature.of(metadata)
    internal = of_rows(lambda *_: None, signature.with_nulls())
    if metadata["default_row"]:
        row = bytes.fromhex(metadata["default_row"])
        repeat(lambda: _udfvm_agent.run_row(internal, row))
    if signature.parameters.types:
        repeat(lambda: _udfvm_agent.run_batch(internal, stream, warm))
    loaded = of_rows(function, signature)
    if sample:
        repeat(lambda: _udfvm_agent.run_batch(loaded, stream, sample))
    if metadata["sample_row"]:
        sample_row = bytes.fromhex(metadata["sample_row"])
        repeat(lambda: _udfvm_agent.run_row(loaded, sample_row))
    return loaded


def of_rows(function: Callable[..., object], signature: Signature) -> _udfvm_agent.ScalarFunction:
    """Returns a function as the loop that answers calls takes it."""
    parameters = signature.parameters
    codecs = map(codec_of, parameters.types)
    codec = codec_of(signature.result)
    return _udfvm_agent.ScalarFunction(
        function,
        tuple(
            (each.storage, nullable, each.direct, each.decode, label)
            for each, nullable, label in zip(
                codecs, parameters.nullable, parameters.labels, strict=True
            )
        ),
        (
            codec.storage,
            signature.result_nullable,
            codec.direct,
            codec.encode if signature.result_nullable else refuse_none(codec.encode),
            None,
        ),
    )


def codec_of(name: str) -> Codec:
    storage = storage_of(name)
    if is_nested(name):
        tree = tree_of(name)
        return Codec(storage, False, json_reader(tree), json_writer(tree, value_check))
    if parts := timestamp_parts(name):
        decode, encode = _timestamp(*parts)
        return Codec(storage, False, decode, encode)
    if name == "json":
        return Codec(storage, False, from_json_text, to_json_text)
    if name == "date32[day]":
        return Codec(storage, False, _date_from_days, _days_from_date)
    if name == "date64[ms]":
        return Codec(storage, False, lambda ms: _date_from_days(ms // _DAY_MS), _ms_from_date)
    return Codec(
        storage,
        True,
        None,
        next(coerce for prefix, coerce in _COERCE.items() if name.startswith(prefix)),
    )


_PYTHON_TYPES: Final = {
    "bool": bool,
    "float": float,
    "double": float,
    "string": str,
    "large_string": str,
    "binary": bytes,
    "large_binary": bytes,
}


def value_check(name: str) -> Converter:
    """Returns the check of a value of a type that holds no other type. It returns a plain Python
    value; a date stays a date.
    """
    codec = codec_of(name)
    if timestamp_parts(name) or name.startswith("date"):

        def check_date(value: object) -> object:
            return value if codec.encode(value) is not None else None

        return check_date
    if "int" in name:
        smallest, largest = integer_range(name)

        def check_integer(value: object) -> object:
            integer = _coerce_int(value)
            if not smallest <= integer <= largest:
                raise OverflowError(
                    f"{shown(integer)} is out of the range of its declared type, {name}"
                )
            return integer

        return check_integer
    python_type = None if name == "float" else _PYTHON_TYPES.get(name)
    return lambda value: value if type(value) is python_type else codec.encode(value)


def _wrong(value: object, declared: str) -> TypeError:
    return TypeError(
        f"the function returned {type(value).__name__}, but its result is declared {declared}"
    )


def refuse_none(encode: Converter) -> Converter:
    def refusing(value: object) -> object:
        if value is None or is_missing(value):
            raise TypeError(
                "the function returned None, but its result is not declared to allow it: annotate"
                " the result `... | None`"
            )
        return encode(value)

    return refusing


def _coerce_null(value: object) -> object:
    raise _wrong(value, "null")


def _coerce_bool(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.bool_):
        return bool(value)
    raise _wrong(value, "bool")


def _coerce_int(value: object) -> int:
    try:
        return int(operator.index(python_bool(value)))
    except TypeError:
        raise _wrong(value, "int") from None


def _coercing_float(name: str) -> Converter:
    def coerce(value: object) -> float:
        value = python_bool(value)
        if not isinstance(value, numbers.Real):
            raise _wrong(value, "float")
        try:
            return exact_float(value, name)
        except Loss as loss:
            raise OverflowError(
                f"the function returned a value that its declared result type cannot hold: {loss}"
            ) from None

    return coerce


def _coerce_text(value: object) -> str:
    if isinstance(value, str):  # ignores methods of a subclass
        return str.__str__(value)
    raise _wrong(value, "str")


def _coerce_bytes(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(memoryview(value))
    raise _wrong(value, "bytes")


_COERCE: Final[dict[str, Converter]] = {
    "null": _coerce_null,
    "bool": _coerce_bool,
    "int": _coerce_int,
    "uint": _coerce_int,
    "float": _coercing_float("float"),
    "double": _coercing_float("double"),
    "string": _coerce_text,
    "large_string": _coerce_text,
    "binary": _coerce_bytes,
    "large_binary": _coerce_bytes,
}


def _date_from_days(days: int) -> datetime.date:
    return datetime.date.fromordinal(days + _EPOCH_DAYS)


def _days_from_date(value: object) -> int | None:
    if is_missing(value):
        return None
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise _wrong(value, "datetime.date")
    return value.toordinal() - _EPOCH_DAYS


def _ms_from_date(value: object) -> int | None:
    days = _days_from_date(value)
    return None if days is None else days * _DAY_MS


def _timestamp(unit: str, timezone: str | None) -> tuple[Converter, Converter]:
    zone = None if timezone is None else _zone(timezone)

    def decode(count: int) -> datetime.datetime:
        microseconds = _to_microseconds(count, unit)
        moment = _EPOCH + datetime.timedelta(microseconds=microseconds)
        return moment if zone is None else moment.replace(tzinfo=datetime.UTC).astimezone(zone)

    def encode(value: object) -> int | None:
        if is_missing(value):
            return None
        if not isinstance(value, datetime.datetime):
            raise _wrong(value, "datetime.datetime")
        if (value.utcoffset() is None) != (zone is None):
            found, wanted = ("a naive", "aware") if zone is not None else ("an aware", "naive")
            raise TypeError(
                f"the function returned {found} datetime, but its result is declared {wanted}"
                f" ({unit}, time zone {timezone})"
            )
        if zone is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        nanoseconds = getattr(value, "nanosecond", 0)  # pandas' Timestamp has it
        return _from_microseconds((value - _EPOCH) // _MICROSECOND, nanoseconds, unit)

    return decode, encode


def _to_microseconds(count: int, unit: str) -> int:
    if unit != "ns":
        return count * MICROSECONDS[unit]
    if count % 1000:
        raise ValueError(
            f"the timestamp {count} ns cannot be a datetime.datetime, which has microseconds: use a"
            " vectorised function"
        )
    return count // 1000


def _from_microseconds(microseconds: int, nanoseconds: int, unit: str) -> int:
    if unit == "ns":
        return microseconds * 1000 + nanoseconds
    if microseconds % MICROSECONDS[unit] or nanoseconds:
        raise ValueError(
            f"the function returned a datetime that is no whole number of {unit}, its declared unit"
        )
    return microseconds // MICROSECONDS[unit]


def _zone(name: str) -> datetime.tzinfo:
    if name == "UTC":
        return datetime.UTC
    if name[0] in "+-":
        hours, _, minutes = name[1:].partition(":")
        offset = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
        return datetime.timezone(-offset if name[0] == "-" else offset)
    return zoneinfo.ZoneInfo(name)
