"""Host functions in the body of a UDF: they look like ordinary functions, and calls of them leave
the micro-VM.
"""

from __future__ import annotations

import numbers
import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import _udfvm_agent
from _udfvm_agent import TYPE_BLOB, TYPE_BOOL, TYPE_FLOAT64, TYPE_INT64, TYPE_NULL, TYPE_TEXT
from _udfvm_conversions import exact_float, short
from _udfvm_layouts import INTEGER, REAL, ROW, VALUE
from _udfvm_value_type import python_bool
from _udfvm_value_types import value_type


class HostFunction:
    """A function of the host. Arguments must have the declared types. None for a parameter that
    does not allow it gives None without a call.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self.__name__ = description["name"]
        self._description = description
        self._name: bytes = description["name"].encode()
        self._names = [parameter["name"] for parameter in description["parameters"]]
        self._types = [value_type(parameter["type"]).row for parameter in description["parameters"]]
        self._nullable = [parameter["nullable"] for parameter in description["parameters"]]
        self._pack, self._heads, self._classes = _number_row(self._types)
        self._defaults = {
            parameter["name"]: _decode(bytes.fromhex(parameter["default"]))
            for parameter in description["parameters"]
            if parameter["default"] is not None
        }

    def __reduce__(self) -> tuple[object, ...]:
        return HostFunction, (self._description,)  # what packs numbers cannot be pickled

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        values: Sequence[Any] = arguments
        if keywords or len(arguments) != len(self._names):
            values = self._bind(arguments, keywords)
        row = self._numbers(values)
        if row is None:
            if any(
                value is None and not nullable
                for value, nullable in zip(values, self._nullable, strict=True)
            ):
                return None
            row = self._encode(values)
        return _decode(_udfvm_agent.host_call(self._name, row))

    def _numbers(self, values: Sequence[Any]) -> bytes | None:
        """Returns the row of usual numbers, by one call; None for others."""
        if self._classes is None or tuple(map(type, values)) != self._classes:
            return None
        parts = self._heads.copy()
        parts[1::2] = values
        try:
            return self._pack(*parts)
        except struct.error:
            return None  # an integer out of range

    def _bind(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> list[Any]:
        rest = self._names[len(arguments) :]
        given = {**self._defaults, **keywords}
        if (
            len(arguments) > len(self._names)
            or not set(keywords) <= set(rest)
            or not set(rest) <= set(given)
        ):
            raise self._wrong_arguments(arguments, keywords)
        return [*arguments, *(given[name] for name in rest)]

    def _wrong_arguments(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> TypeError:
        shown = ", ".join(
            f"{name}={self._defaults[name]!r}" if name in self._defaults else name
            for name in self._names
        )
        rest = self._names[len(arguments) :]
        unknown = [name for name in keywords if name not in self._names]
        twice = [name for name in keywords if name not in rest and name not in unknown]
        if len(arguments) > len(self._names):
            reason = f"{len(arguments)} were given"
        elif unknown or twice:
            reason = f"{unknown[0]!r} is unknown" if unknown else f"{twice[0]!r} was given twice"
        else:
            known = {**self._defaults, **keywords}
            reason = f"{next(name for name in rest if name not in known)!r} is missing"
        return TypeError(f"{self.__name__}() takes the arguments ({shown}): {reason}")

    def _encode(self, values: Sequence[Any]) -> bytes:
        packed, texts = [ROW.pack(len(values), 0)], []
        offset = ROW.size + len(values) * VALUE.size
        for name, type_, value in zip(self._names, self._types, values, strict=True):
            try:
                if value is None:
                    packed.append(INTEGER.pack(TYPE_NULL, 0, 0))
                elif type_ == TYPE_FLOAT64:
                    packed.append(
                        REAL.pack(type_, 0, value if type(value) is float else _real(value))
                    )
                elif type_ in (TYPE_INT64, TYPE_BOOL):
                    packed.append(INTEGER.pack(type_, 0, _integer(type_, value)))
                else:
                    text = str.encode(value) if type_ == TYPE_TEXT else _bytes(value)
                    packed.append(VALUE.pack(type_, len(text), offset))
                    texts.append(text)
                    offset += len(text)
            except (struct.error, TypeError, ValueError) as error:
                reason = _reason(type_, value, error)
                raise TypeError(
                    f"{self.__name__}(): argument {name!r} is {short(value)}{reason}"
                ) from None
        return b"".join((*packed, *texts))


def _number_row(
    types: list[int],
) -> tuple[Callable[..., bytes], list[Any], tuple[type, ...] | None]:
    """Returns what packs a row of numbers, what it takes, with places for the numbers, and their
    classes; None in their place where a parameter has another type.
    """
    heads = [ROW.pack(type_, 0) for type_ in types]
    if not heads or not _CLASSES.keys() >= set(types):
        return ROW.pack, [], None
    heads[0] = ROW.pack(len(heads), 0) + heads[0]
    codes = "".join(
        f"{len(head)}s{_CODES[type_]}" for head, type_ in zip(heads, types, strict=True)
    )
    parts: list[Any] = [None] * (2 * len(heads))
    parts[::2] = heads
    return struct.Struct(f"<{codes}").pack, parts, tuple(_CLASSES[type_] for type_ in types)


_CODES: Final = {TYPE_FLOAT64: "d", TYPE_INT64: "q"}
_CLASSES: Final = {TYPE_FLOAT64: float, TYPE_INT64: int}
_EXPECTED: Final = {
    TYPE_FLOAT64: "float",
    TYPE_INT64: "int",
    TYPE_BOOL: "bool",
    TYPE_TEXT: "str",
    TYPE_BLOB: "bytes",
}


def _reason(type_: int, value: Any, error: Exception) -> str:
    """Returns why a value cannot be an argument of a type. It follows the value in a sentence."""
    if isinstance(error, struct.error):
        return ", which does not fit into 64 bits"
    if isinstance(error, UnicodeEncodeError):
        return ", which has a lone surrogate"
    if isinstance(error, ValueError):
        return f": {error}"
    return f", of type {type(value).__name__}; expected {_EXPECTED[type_]}"


def _real(value: Any) -> float:
    value = python_bool(value)
    if not isinstance(value, numbers.Real):
        raise TypeError
    return exact_float(value, "double")


def _integer(type_: int, value: Any) -> int:
    return _bool(value) if type_ == TYPE_BOOL else operator.index(python_bool(value))


def _bool(value: Any) -> bool:
    value = python_bool(value)
    if not isinstance(value, bool):
        raise TypeError
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError
    return bytes(memoryview(value))


def _decode(reply: bytes) -> Any:
    type_, _, real = REAL.unpack_from(reply)
    if type_ == TYPE_FLOAT64:
        return real
    type_, length, offset = VALUE.unpack_from(reply)
    if type_ == TYPE_NULL:
        return None
    if type_ in (TYPE_INT64, TYPE_BOOL):
        integer = INTEGER.unpack_from(reply)[2]
        return bool(integer) if type_ == TYPE_BOOL else integer
    text = reply[offset : offset + length]
    return text.decode() if type_ == TYPE_TEXT else text


_functions: Final[dict[str, HostFunction]] = {}


def install(descriptions: list[dict[str, Any]]) -> None:
    """Registers the host functions of the UDF that is being loaded."""
    _functions.update(
        {description["name"]: HostFunction(description) for description in descriptions}
    )


def find(name: str) -> HostFunction:
    """Returns a host function by its name. The pickled function refers to it by this call."""
    return _functions[name]
