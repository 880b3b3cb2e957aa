"""Errors about arguments: which argument, where it is, and what is the matter with it."""

from __future__ import annotations

from udfvm.errors import TypeMappingError
from udfvm.static_typing import Final
from udfvm.types.arrow_types import Kind, Parameter, Type

#: The masked dtypes of pandas, by types of Arrow.
MASKED: Final = {
    "bool": "boolean",
    **{f"int{bits}": f"Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UInt{bits}" for bits in (8, 16, 32, 64)},
    "float": "Float32",
    "double": "Float64",
    "string": "string",
    "large_string": "string",
}


def argument_error(
    function: str, parameter: Parameter, reason: str, row: int | None = None
) -> TypeMappingError:
    """Returns the error for an argument, or for one row of it. ``reason`` continues a sentence
    whose subject is the argument.
    """
    return TypeMappingError.of_argument(
        function, parameter.name, parameter.position or None, reason, row
    )


def wrong_type(function: str, parameter: Parameter, found: str) -> TypeMappingError:
    """Returns the error for an argument that is not of its declared type. ``found`` says what it
    is.
    """
    return argument_error(
        function,
        parameter,
        f"is declared {_declared(parameter.type)}, which takes {parameter.type.kind.value};"
        f" got {found}",
    )


def _declared(type_: Type) -> str:
    """Returns the name of a type: of an extension type also that of its storage."""
    is_extension = hasattr(type_.exact, "storage_type")
    return f"{type_.exact}, stored as {type_}" if is_extension else str(type_)


def wrong_value(function: str, parameter: Parameter, value: object) -> TypeMappingError:
    """Returns the error for a value that is not of its declared type."""
    advice = _advice(function, parameter, value)
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN is known by that
        found = "nan, which is a float"
    else:
        found = type(value).__name__
    return wrong_type(function, parameter, f"{found}: {advice}" if advice else found)


def _advice(function: str, parameter: Parameter, value: object) -> str:
    """Returns what to pass in the place of a value; empty if nobody knows."""
    import datetime  # only where a value is wrong

    kind = parameter.type.kind
    if isinstance(value, float) and value != value:  # noqa: PLR0124
        return "pass None where a value is missing"
    if kind is Kind.DATETIME and type(value) is datetime.date:
        return "pass datetime.datetime.combine(date, datetime.time())"
    if kind is Kind.DATE and isinstance(value, datetime.datetime):
        return "pass its .date()"
    if isinstance(value, str) and kind in (Kind.DATE, Kind.DATETIME, Kind.TIME):
        return f"pass {kind.value}.fromisoformat(text)"
    if isinstance(value, float) and kind is Kind.DECIMAL:
        return "pass decimal.Decimal(str(value))"
    return _LIBRARIES.get((_library(value), type(value).__name__), "").format(function)


def _library(value: object) -> str:
    return type(value).__module__.partition(".")[0]


#: What to do with objects of other libraries, such as those that stand for columns, by class.
_LIBRARIES = {
    ("uuid", "UUID"): "pass its .bytes, or str(value) for text",
    ("polars", "Expr"): "call expression.map_batches({0}, return_dtype=...)",
    ("polars", "LazyFrame"): "pass a column of its .collect(), or call {0}.map(frame.collect())",
    ("pyarrow", "Expression"): "call {0}.expr(expression)",
    ("pyarrow", "FileSystemDataset"): "call {0}.map(dataset)",
    ("pyarrow", "InMemoryDataset"): "call {0}.map(dataset)",
    ("pyarrow", "UnionDataset"): "call {0}.map(dataset)",
    ("pyarrow", "Scanner"): "call {0}.map(scanner)",
}
