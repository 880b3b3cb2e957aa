"""Errors about arguments: which argument, where it is, and what is the matter with it."""

from __future__ import annotations

from udfvm.errors import TypeMappingError
from udfvm.types.arrow_types import Parameter


def argument_error(
    function: str, parameter: Parameter, reason: str, row: int | None = None
) -> TypeMappingError:
    """Returns the error for an argument, or for one row of it. ``reason`` continues a sentence
    whose subject is the argument.
    """
    position = f" (position {parameter.position})" if parameter.position else ""
    at = "" if row is None else f", row {row}:"
    error = TypeMappingError(
        f"UDF {function!r}: argument {parameter.name!r}{position}{at} {reason}"
    )
    error.argument, error.position = parameter.name, parameter.position or None
    error.row, error.reason = row, reason
    return error


def wrong_type(function: str, parameter: Parameter, found: str) -> TypeMappingError:
    """Returns the error for an argument that is not of its declared type. ``found`` says what it
    is.
    """
    return argument_error(
        function,
        parameter,
        f"is declared {parameter.type}, which takes {parameter.type.kind.value}; got {found}",
    )


def wrong_value(function: str, parameter: Parameter, value: object) -> TypeMappingError:
    """Returns the error for a value that is not of its declared type."""
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN is known by that
        found = (
            "nan, which is a float: put None where a value is missing, as pyarrow.array(series)"
            " does for pandas"
        )
    else:
        found = type(value).__name__
    return wrong_type(function, parameter, found)
