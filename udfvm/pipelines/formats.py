"""Formats of files that pipelines write: which types each has, and results as it has them.

A column of a type that a format does not have is written as its values: text in place of views of
text, values in place of runs, the storage of extension types. Where that is no type of the format
either, the file is refused before any row is called.
"""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

from udfvm.codec.any_columns import nulls
from udfvm.pipelines.required_fields import has_required_fields, without_hidden_nulls
from udfvm.tuples import NamedTuple
from udfvm.types.array_conversions import convert
from udfvm.types.conversions import Loss, Refused
from udfvm.types.encodings import decoded, restored
from udfvm.types.unions import has_unions

#: Values that types may have.
_STAND_INS: Final[tuple[Any, ...]] = (0, "", b"", False, [], {})

_NARROW: Final = 16  # bits of indices of which there may be too few

#: What makes an array of one type from that of another.
Conversion = Callable[[pa.Array], pa.Array]


class UnwritableError(Exception):
    """Results that a format does not have. The text continues a sentence: "cannot write FILE: "."""


class Format(NamedTuple):
    """A format of files.

    Attributes:
        name: as users know it.
        writer: makes a writer of a file, for a schema.
        reader: reads a file; None if what was written is not like what was given.
    """

    name: str
    writer: Callable[[Any, pa.Schema], Any]
    reader: Callable[[Any], pa.Table] | None


def _parquet_writer(file: Any, schema: pa.Schema) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(file, schema)


def _parquet_reader(file: Any) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(file)


def _arrow_writer(file: Any, schema: pa.Schema) -> Any:
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    return pa.ipc.new_file(file, schema, options=options)


def _csv_writer(file: Any, schema: pa.Schema) -> Any:
    import pyarrow.csv

    return pyarrow.csv.CSVWriter(file, schema)


PARQUET: Final = Format("Parquet", _parquet_writer, _parquet_reader)
ARROW: Final = Format("Arrow", _arrow_writer, lambda file: pa.ipc.open_file(file).read_all())
CSV: Final = Format("CSV", _csv_writer, None)

#: The formats by the suffix of files.
FORMATS: Final[dict[str, Format]] = {
    "": PARQUET,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
    ".ipc": ARROW,
    ".csv": CSV,
}


class Results:
    """Results as a format has them.

    Attributes:
        schema: what is written.
    """

    def __init__(self, format_: Format, schema: pa.Schema) -> None:
        """Raises UnwritableError for a type that has no counterpart in the format."""
        self._format = format_
        self._conversions: dict[int, tuple[pa.DataType, Conversion]] = {}
        self._dictionaries: dict[int, pa.Array] = {}
        self._ordered: dict[int, pa.Array] = {}
        fields = []
        for index, field in enumerate(schema):
            found = _written_as(format_, field)
            if found is not None:
                self._conversions[index] = found
                field = field.with_type(found[0])  # noqa: PLW2901
            fields.append(field)
        self.schema = pa.schema(fields, metadata=schema.metadata)

    def of(self, table: pa.Table) -> pa.Table:
        """Returns rows of results as they are written. Raises UnwritableError for values that the
        format does not have.
        """
        columns = list(table.columns)
        for index, (type_, conversion) in self._conversions.items():
            try:
                made = [conversion(chunk) for chunk in columns[index].chunks]
            except (Loss, Refused) as error:
                raise UnwritableError(f"column {self.schema.names[index]!r} {error}") from error
            columns[index] = pa.chunked_array(made, type_)
        for index, field in enumerate(self.schema):
            if self._format is PARQUET and has_required_fields(field.type):
                made = [without_hidden_nulls(chunk) for chunk in columns[index].chunks]
                columns[index] = pa.chunked_array(made, field.type)
            if not pa.types.is_dictionary(field.type):
                continue
            if field.type.ordered and self._format is not CSV:
                self._check_order(index, field.name, columns[index])
            if self._format is PARQUET:
                made = [_without_null_values(chunk) for chunk in columns[index].chunks]
                columns[index] = pa.chunked_array(made, field.type)
            # pyarrow does not read a file of Parquet with more values than the type has indices.
            is_narrow = field.type.index_type.bit_width <= _NARROW
            if self._format is ARROW or (self._format is PARQUET and is_narrow):
                columns[index] = self._with_one_dictionary(index, field, columns[index])
        return pa.Table.from_arrays(columns, schema=self.schema)

    def why_not(self, table: pa.Table, error: pa.ArrowException) -> UnwritableError:
        """Returns the error for rows, as they are written, that a writer failed at."""
        reason = str(error).rstrip(".")
        for name, column in zip(table.column_names, table.columns, strict=True):
            part = pa.Table.from_arrays([column], schema=pa.schema([table.schema.field(name)]))
            try:
                with self._format.writer(pa.BufferOutputStream(), part.schema) as writer:
                    writer.write_table(part)
            except pa.ArrowException:
                way = "" if self._format is ARROW else "write .arrow, "
                reason = (
                    f"column {name!r} has values that {self._format.name} does not have"
                    f" ({reason}): {way}cast it before, or leave it out by keep="
                )
                break
        return UnwritableError(reason)

    def _check_order(self, index: int, name: str, column: pa.ChunkedArray) -> None:
        """Raises UnwritableError for ordered dictionaries with different values: a file has one."""
        for chunk in column.chunks:
            if not len(chunk.dictionary):
                continue
            first = self._ordered.setdefault(index, chunk.dictionary)
            if not chunk.dictionary.equals(first):
                raise UnwritableError(
                    f"column {name!r} is an ordered dictionary, and its batches have different"
                    f" ones, so the order of all values is not known: cast it to {first.type}, or"
                    " to a dictionary without order"
                )

    def _with_one_dictionary(
        self, index: int, field: pa.Field, column: pa.ChunkedArray
    ) -> pa.ChunkedArray:
        """Returns a column whose dictionary begins with what was written of it before."""
        before = self._dictionaries.get(index)
        if before is None:
            before = _without_rows(field.type)
        try:
            made = _unified([before, *column.chunks], field.type)
        except Loss as loss:
            raise UnwritableError(
                f"column {field.name!r} {loss} in all: cast it to {field.type.value_type}, or to a"
                " dictionary with wider indices"
            ) from loss
        if not len(made[0].dictionary) and self._format is ARROW:
            # Arrow does not extend an empty one. No row has the value that is put into it.
            made = _unified([_without_rows(field.type, stand_in=True), *made[1:]], field.type)
        self._dictionaries[index] = made[0]
        return pa.chunked_array(made[1:], field.type)


def _without_rows(type_: Any, *, stand_in: bool = False) -> pa.Array:
    """Returns no rows of a dictionary, which has a value if ``stand_in`` says so."""
    values = nulls(0, type_.value_type)
    if stand_in:
        for value in _STAND_INS:
            with contextlib.suppress(pa.ArrowException, TypeError, ValueError):
                values = pa.array([value], type_.value_type)
                break
    return pa.DictionaryArray.from_arrays(
        pa.array([], type_.index_type), values, ordered=type_.ordered
    )


def _without_null_values(array: Any) -> pa.Array:
    """Returns a dictionary whose nulls are rows, not values."""
    if not array.dictionary.null_count:
        return array
    return restored(convert(array, decoded(array.type)), array.type)


def _unified(chunks: list[pa.Array], type_: Any) -> list[pa.Array]:
    """Returns chunks with one dictionary, which begins with that of the first. Raises Loss where
    there are more values than indices.
    """
    with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return list(pa.chunked_array(chunks, type_).unify_dictionaries().chunks)
    # There are nulls among the values, or these are lists, for example. The values of the first
    # dictionary come first, so theirs are the first indices.
    first = chunks[0].dictionary
    values = pa.array(range(len(first)), type_.index_type)
    parts = [pa.DictionaryArray.from_arrays(values, first, ordered=type_.ordered), *chunks]
    plain = decoded(type_)
    whole = restored(pa.concat_arrays([convert(part, plain) for part in parts]), type_)
    made, start = [], len(first)
    for chunk in chunks:
        made.append(whole.slice(start, len(chunk)))
        start += len(chunk)
    return made


# ---- Types ----


def _written_as(format_: Format, field: pa.Field) -> tuple[pa.DataType, Conversion] | None:
    """Returns the type that stands for that of a column in a format, and what makes arrays of it;
    None if the format has the type itself. Raises UnwritableError.
    """
    error = _why_not(format_, field.type)
    if error is None:
        return None
    found = _counterpart(format_, field.type)
    if found is not None:
        return found
    others = [
        f".{each.name.lower()}"
        for each in (PARQUET, ARROW)
        if _why_not(each, field.type) is None or _counterpart(each, field.type) is not None
    ]
    way = f"write {' or '.join(others)}, " if others else ""
    raise UnwritableError(
        f"column {field.name!r} is {field.type}, which {format_.name} does not have: {way}cast it"
        " before, or leave it out by keep="
    ) from error


def _counterpart(format_: Format, type_: pa.DataType) -> tuple[pa.DataType, Conversion] | None:
    for other, conversion in _alternatives(format_, type_):
        if other != type_ and _why_not(format_, other) is None:
            return other, conversion
    return None


def _alternatives(format_: Format, type_: Any) -> list[tuple[pa.DataType, Conversion]]:
    """Returns types that may stand for one in a format, the best first."""
    plain = decoded(type_)
    found: list[tuple[pa.DataType, Conversion]] = [(plain, lambda array: convert(array, plain))]
    if format_ is CSV:
        held = _values_of(type_)
        if held == pa.uuid():
            found.insert(0, (pa.string(), _uuid_texts))
        elif held == pa.bool8():
            found.insert(0, (pa.bool_(), lambda array: convert(array, plain).cast(pa.bool_())))
    elif pa.types.is_dictionary(type_) and not _has_dictionaries(type_.value_type):
        encoded = pa.dictionary(type_.index_type, decoded(type_.value_type), type_.ordered)
        found.insert(0, (encoded, lambda array: _with_plain_values(array, encoded)))
    return found


def _values_of(type_: Any) -> pa.DataType:
    """Returns the type of the values of dictionaries and runs."""
    while pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        type_ = type_.value_type
    return type_


def _uuid_texts(array: pa.Array) -> pa.Array:
    values = convert(array, pa.binary(16)).to_pylist()
    texts = [None if each is None else str(uuid.UUID(bytes=each)) for each in values]
    return pa.array(texts, pa.string())


def _with_plain_values(array: Any, type_: Any) -> pa.Array:
    values = convert(array.dictionary, type_.value_type)
    return pa.DictionaryArray.from_arrays(array.indices, values, ordered=type_.ordered)


def _why_not(format_: Format, type_: pa.DataType) -> Exception | None:
    """Returns why a format does not have a type; None if it has. A file with a null is written, and
    read.
    """
    if _is_plain(type_):
        return None
    if (format_ is ARROW and _has_inner_dictionaries(type_)) or (
        format_ is PARQUET and _has_inner_encodings(type_)
    ):
        return pa.ArrowNotImplementedError(str(type_))
    if has_unions(type_) or (format_ is PARQUET and _has_empty_lists(type_)):
        return None if format_ is ARROW else pa.ArrowNotImplementedError(str(type_))
    schema = pa.schema([("x", type_)])
    file = io.BytesIO()
    try:
        writer = format_.writer(file, schema)
        null = without_hidden_nulls(nulls(1, type_))
        writer.write_table(pa.Table.from_arrays([null], schema=schema))
        writer.close()
        if format_.reader is not None:
            file.seek(0)
            format_.reader(file)
    except (pa.ArrowException, OSError, Loss) as error:
        return error
    return None


def _is_plain(type_: pa.DataType) -> bool:
    """Whether all formats have a type."""
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_timestamp(type_)
        or pa.types.is_date(type_)
    )


def _has_empty_lists(type_: Any) -> bool:
    """Whether a type has lists of size 0, which Parquet writes and does not read."""
    is_empty = pa.types.is_fixed_size_list(type_) and not type_.list_size
    return is_empty or any(map(_has_empty_lists, _held(type_)))


def _has_inner_dictionaries(type_: Any) -> bool:
    """Whether other types hold dictionaries. Arrow files have one for all batches, and these may
    differ.
    """
    return _has_dictionaries(type_.value_type if pa.types.is_dictionary(type_) else type_)


def _has_dictionaries(type_: Any) -> bool:
    return pa.types.is_dictionary(type_) or any(map(_has_dictionaries, _held(type_)))


def _has_inner_encodings(type_: Any) -> bool:
    """Whether other types hold dictionaries and views, of which Parquet does not write all."""
    return any(_is_encoded(each) or _has_inner_encodings(each) for each in _held(type_))


def _is_encoded(type_: Any) -> bool:
    is_view = pa.types.is_string_view(type_) or pa.types.is_binary_view(type_)
    return is_view or pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_)


def _held(type_: Any) -> list[Any]:
    """Returns the types that a type holds: of a dictionary its values."""
    if isinstance(type_, pa.BaseExtensionType):
        return [type_.storage_type]
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return [type_.value_type]
    return [type_.field(index).type for index in range(type_.num_fields)]
