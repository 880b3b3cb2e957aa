"""Host functions in the body of a UDF: they look like ordinary functions, and calls of them leave
the micro-VM.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import _udfvm_agent
from _udfvm_agent import TYPE_FLOAT64, TYPE_INT64, TYPE_NULL
from _udfvm_conversions import short
from _udfvm_host_values import HostValue, host_value
from _udfvm_layouts import INTEGER, ROW, VALUE

if TYPE_CHECKING:
    import inspect

    from _udfvm_agent import HostCaller
else:

    class _PlainCaller:
        """HostCaller of the agent where there is no micro-VM: Python code makes all calls."""

        def take_numbers(self, name, types):
            pass

        def __call__(self, *arguments, **keywords):
            return self.otherwise(*arguments, **keywords)

    HostCaller = getattr(_udfvm_agent, "HostCaller", _PlainCaller)


class HostFunction(HostCaller):
    """A function of the host. Arguments must have the declared types. None for a parameter that
    does not allow it gives None without a call.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self.__name__ = description["name"]
        self._description = description
        self._name: bytes = description["name"].encode()
        self._names = [parameter["name"] for parameter in description["parameters"]]
        self._types = [host_value(parameter) for parameter in description["parameters"]]
        self._result = host_value(description["result"])
        self._nullable = [parameter["nullable"] for parameter in description["parameters"]]
        self._pack, self._heads, self._classes = _number_row(description["parameters"])
        self._defaults = {
            parameter["name"]: type_.unpacked(bytes.fromhex(parameter["default"]))
            for parameter, type_ in zip(description["parameters"], self._types, strict=True)
            if parameter["default"] is not None
        }
        if self._classes is not None and description["result"]["type"] in _NUMBERS:
            self.take_numbers(self._name, tuple(each.row for each in self._types))

    @property
    def __signature__(self) -> inspect.Signature:
        """What ``inspect.signature`` says: C code that is called has none."""
        from inspect import Parameter, Signature

        kind = Parameter.POSITIONAL_OR_KEYWORD
        return Signature(
            [
                Parameter(name, kind, default=self._defaults.get(name, Parameter.empty))
                for name in self._names
            ]
        )

    def __reduce__(self) -> tuple[object, ...]:
        return HostFunction, (self._description,)  # what packs numbers cannot be pickled

    def otherwise(self, *arguments: Any, **keywords: Any) -> Any:
        """A call that is not one of usual numbers, with one for each parameter."""
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
        return self._result.unpacked(_udfvm_agent.host_call(self._name, row))

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
            if value is None:
                packed.append(INTEGER.pack(TYPE_NULL, 0, 0))
                continue
            try:
                stored = type_.encode(value)
                packed.append(type_.packed(stored, offset))
            except (struct.error, TypeError, ValueError, OverflowError) as error:
                reason = _reason(type_, value, error)
                raise TypeError(
                    f"{self.__name__}(): argument {name!r} is {short(value)}{reason}"
                ) from None
            if isinstance(stored, bytes):
                texts.append(stored)
                offset += len(stored)
        return b"".join((*packed, *texts))


def _number_row(
    parameters: list[dict[str, Any]],
) -> tuple[Callable[..., bytes], list[Any], tuple[type, ...] | None]:
    """Returns what packs a row of numbers, what it takes, with places for the numbers, and their
    classes; None in their place where a parameter has another type.
    """
    numbers = [_NUMBERS.get(parameter["type"]) for parameter in parameters]
    known = [each for each in numbers if each is not None]
    if not known or len(known) < len(numbers):
        return ROW.pack, [], None
    heads = [ROW.pack(type_, 0) for type_, _, _ in known]
    heads[0] = ROW.pack(len(heads), 0) + heads[0]
    codes = "".join(f"{len(head)}s{code}" for head, (_, code, _) in zip(heads, known, strict=True))
    parts: list[Any] = [None] * (2 * len(heads))
    parts[::2] = heads
    return struct.Struct(f"<{codes}").pack, parts, tuple(class_ for _, _, class_ in known)


_NUMBERS: Final = {
    "double": (TYPE_FLOAT64, "d", float),
    "int64": (TYPE_INT64, "q", int),
}


def _reason(type_: HostValue, value: Any, error: Exception) -> str:
    """Returns why a value cannot be an argument of a type. It follows the value in a sentence."""
    if isinstance(error, struct.error):
        return ", which does not fit into 64 bits"
    if isinstance(error, UnicodeEncodeError):
        return ", which has a lone surrogate"
    if reason := vars(error).get("reason"):
        return f": {reason}"
    if isinstance(error, TypeError):
        return f", of type {type(value).__name__}; expected {type_.expected}"
    return f": {error}"


_functions: Final[dict[str, HostFunction]] = {}


def install(descriptions: list[dict[str, Any]]) -> None:
    """Registers the host functions of the UDF that is being loaded."""
    _functions.update(
        {description["name"]: HostFunction(description) for description in descriptions}
    )


def find(name: str) -> HostFunction:
    """Returns a host function by its name. The pickled function refers to it by this call."""
    return _functions[name]
