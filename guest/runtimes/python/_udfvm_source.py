"""Functions that come as source text: those stored in databases, and those that the host was given
as text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Final

import _udfvm_agent
import _udfvm_scalar
from _udfvm_agent import TYPE_BLOB, TYPE_TEXT
from _udfvm_column_batch import scalar_columns
from _udfvm_expression import compiled, expression
from _udfvm_layouts import ROW, VALUE
from _udfvm_signature import Signature
from _udfvm_slots import any_slot
from _udfvm_texts import counted, counted_between, listed
from _udfvm_value_types import value_type
from _udfvm_warmup import repeat

_VARARGS: Final = 0x04  # co_flags of functions with *args


def load(
    metadata: dict[str, Any],
) -> tuple[_udfvm_agent.ScalarFunction, Callable[[], tuple[int, int]] | None]:
    """Makes a function that is stored in a database, or an expression in SQL, ready to be called.
    Returns it for rows, and what answers COLUMNS; expressions do not.
    """
    signature = Signature.of(metadata)
    types = signature.parameters.types
    if metadata["expression"]:
        made = expression(f"<{metadata['name']}>", metadata["source"], signature.parameters.names)
        of_any = any_slot(nullable=False), any_slot(nullable=True)
        parameters = (of_any[0],) * len(types)
        return _udfvm_agent.ScalarFunction(made, parameters, of_any[1]), None
    function = function_of(metadata, metadata["source"], {})
    _check_count(function, len(types))
    row = _zero_row(types)
    internal = _udfvm_scalar.of_rows(lambda *_: None, signature.with_nulls())
    if "json" not in types:  # an empty text is not JSON
        repeat(lambda: _udfvm_agent.run_row(internal, row))
    return _udfvm_scalar.of_rows(function, signature), scalar_columns(function, signature)


def loaded(
    metadata: Mapping[str, Any], source: str, names: Mapping[str, Any]
) -> Callable[..., object]:
    """Returns a function that the host was given as text: a module, or an expression. ``names``
    are further globals of a module.
    """
    parameters = Signature.of(metadata).parameters
    code = metadata["code"]
    if code["form"] == "expression":
        return expression(f"<{metadata['name']}>", source, parameters.names)
    function = function_of({**metadata, "entry": code["entry"]}, source, names)
    _check_count(function, len(parameters.types))
    return function


def function_of(
    metadata: Mapping[str, Any], source: str, names: Mapping[str, Any]
) -> Callable[..., object]:
    """Runs source text as a module. Returns its function.

    The function is the one named `entry`. Without that it is the one with the UDF's own name, or
    else the last one that the source defines.
    """
    namespace = sys.modules["__main__"].__dict__
    namespace.update(names)
    filename = f"<{metadata['name']}>"
    # Python allows a byte order mark in files, but not in text.
    exec(compiled(source.removeprefix("\ufeff"), filename, "exec"), namespace)
    return _entry(namespace, metadata["name"], metadata["entry"], filename)


def _entry(
    namespace: dict[str, Any], name: str, entry: str, filename: str
) -> Callable[..., object]:
    for candidate in filter(None, (entry, name)):
        if candidate in namespace:
            found: Callable[..., object] = namespace[candidate]
            if not callable(found):
                raise TypeError(
                    f"{candidate!r} in the source is a {type(found).__name__}, not a function"
                )
            return found
        if entry:
            names = listed(
                [each.__name__ for each in _defined(namespace, filename)] or ["none"], "and"
            )
            raise NameError(
                f"the source does not define {entry!r}; the functions that it defines: {names}"
            )
    defined = _defined(namespace, filename)
    if not defined:
        raise NameError(
            f"the source defines no function: it must define {name!r}, or the one that entry= names"
        )
    return defined[-1]


def _defined(namespace: Mapping[str, Any], filename: str) -> list[Any]:
    """Returns the functions that a source defined, the last one last."""
    return [
        value
        for value in namespace.values()
        if getattr(getattr(value, "__code__", None), "co_filename", None) == filename
    ]


def _check_count(function: Callable[..., object], count: int) -> None:
    """Raises TypeError if a function does not take as many arguments as the signature has
    parameters. What is not an ordinary function shows that in its first call.
    """
    if not isinstance(function, FunctionType) or function.__code__.co_flags & _VARARGS:
        return
    maximum = function.__code__.co_argcount
    minimum = maximum - len(function.__defaults__ or ())
    if not minimum <= count <= maximum:
        raise TypeError(
            f"{function.__name__}() takes {counted_between(minimum, maximum, 'argument')}, and its"
            f" signature has {counted(count, 'parameter')}: make the two agree"
        )


def _zero_row(types: Sequence[str]) -> bytes:
    """A row of zeros and empty strings."""
    end = ROW.size + len(types) * VALUE.size
    row_types = [value_type(name).row for name in types]
    return ROW.pack(len(types), 0) + b"".join(
        VALUE.pack(type_, 0, end if type_ in (TYPE_TEXT, TYPE_BLOB) else 0) for type_ in row_types
    )
