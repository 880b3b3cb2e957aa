"""JSON of functions: results that are dictionaries or lists, and arguments that are JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from _udfvm_json_text import from_json, to_json


def from_json_text(text: str) -> Any:
    """Parses JSON text. Raises ValueError, with the position of the error and without frames of
    ``json``.
    """
    try:
        return from_json(text)
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from None


def to_json_text(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Returns the JSON text of a result. Raises TypeError or ValueError, without frames of
    ``json``.
    """
    if default is None:
        value, default = _record_as_dict(value), _dataclass_as_dict
    try:
        return to_json(value, default)
    except (TypeError, ValueError, RecursionError) as error:
        class_ = TypeError if isinstance(error, TypeError) else ValueError
        raise class_(f"the function returned a value that JSON cannot represent: {error}") from None


def _record_as_dict(value: Any) -> Any:
    """Returns a named tuple as a dictionary; ``json`` would write a list."""
    return value._asdict() if isinstance(value, tuple) and hasattr(value, "_asdict") else value


def _dataclass_as_dict(value: Any) -> dict[str, Any]:
    if hasattr(type(value), "__dataclass_fields__"):
        fields: dict[str, Any] = sys.modules["dataclasses"].asdict(value)
        return fields
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
