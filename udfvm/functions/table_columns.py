"""The declared columns of table functions."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from udfvm.checks import shown
from udfvm.errors import OptionError, SignatureError
from udfvm.load.declaration import Column
from udfvm.texts import counted_between
from udfvm.types.annotations import annotation_of, given_type
from udfvm.types.arrow_types import Type
from udfvm.types.records import fields_of, is_record

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_COLUMNS: Final = 100

_Columns: TypeAlias = "Mapping[str, object] | pa.Schema"


def declared_columns(
    name: str, given: _Columns | None, annotated: Callable[[], Mapping[str, object]]
) -> tuple[Column, ...]:
    """Returns the columns that ``columns=`` or the annotation of the result declares.
    ``annotated`` returns the evaluated annotations.

    Raises SignatureError where neither does, and for names that two columns have.
    """
    if given is not None:
        columns = _given_columns(name, given)
    else:
        columns = _annotated_columns(name, annotated().get("return"))
    if not columns or len(columns) > _MAX_COLUMNS:
        raise SignatureError(
            f"UDF {name!r}: a table function has {counted_between(1, _MAX_COLUMNS, 'column')}; got"
            f" {len(columns)}"
        )
    lowered = [column.name.lower() for column in columns]
    doubled = next((column for column in lowered if lowered.count(column) > 1), None)
    if doubled is not None:
        raise SignatureError(
            f"UDF {name!r}: two columns have the name {doubled!r} (SQL ignores case)"
        )
    return tuple(columns)


def _given_columns(name: str, given: object) -> list[Column]:
    if hasattr(type(given), "__arrow_c_schema__"):
        return _columns_of_schema(name, given)
    if not isinstance(given, Mapping):
        raise OptionError(
            f"UDF {name!r}: columns= must be a dictionary of names and types, such as"
            f" {{'a': int}}, or a pyarrow.Schema; got {shown(given)}"
        )
    return [_given_column(name, column, value) for column, value in given.items()]


def _columns_of_schema(name: str, given: object) -> list[Column]:
    """Reads a schema of pyarrow, or of another library."""
    import pyarrow as pa

    try:
        fields = given if isinstance(given, pa.Schema) else pa.schema(given)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise OptionError(f"UDF {name!r}: columns= is not a schema: {error}") from error
    return [
        _given_column(name, field.name, field)._replace(nullable=field.nullable) for field in fields
    ]


def _given_column(name: str, column: str, specification: object) -> Column:
    if not isinstance(column, str) or not column or "\0" in column:
        raise OptionError(
            f"UDF {name!r}: columns= has {column!r}, which cannot be the name of a column"
        )
    try:
        return Column(column, typing.cast(Type, given_type(specification).type), True)
    except ValueError as error:
        raise OptionError(f"UDF {name!r}: columns=, {column!r}: {error}") from error


def _annotated_columns(name: str, returned: object) -> list[Column]:
    arguments = typing.get_args(returned)
    origin = typing.get_origin(returned)
    row = (
        arguments[0]
        if arguments and isinstance(origin, type) and issubclass(origin, collections.abc.Iterable)
        else None
    )
    if not is_record(row):
        raise SignatureError(
            f"UDF {name!r}: the columns are not declared: pass columns={{'name': type, ...}}, or"
            " annotate the result Iterator[Row], where Row is a NamedTuple, a dataclass or a"
            " TypedDict"
        )
    return _columns_of_record(name, row)


def _columns_of_record(name: str, row: Any) -> list[Column]:
    """Returns the fields of a class of rows as columns."""
    try:
        fields = fields_of(row)
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: {error}") from error
    columns = []
    for field in fields:
        where = f"UDF {name!r}: field {field.name!r} of {row.__name__}"
        if not field.name or "\0" in field.name:
            raise SignatureError(f"{where} cannot be the name of a column")
        try:
            annotation = annotation_of(field.annotation)
        except ValueError as error:
            raise SignatureError(f"{where}: annotation {error}") from error
        if annotation.type is None:
            raise SignatureError(f"{where} has no type")
        left_out = field.optional and typing.is_typeddict(row)
        columns.append(Column(field.name, annotation.type, annotation.nullable or left_out))
    return columns
