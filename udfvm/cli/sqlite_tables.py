"""Tables of SQLite databases as sources and outputs of commands.

A database may be a stranger's: its schema may call no functions (``trusted_schema``).
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
import pyarrow as pa

from udfvm.errors import OutputFileError, SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from udfvm.cli.places import Reading

_ROWS: Final = 1 << 14  # that are read at once
_STEPS: Final = 100_000  # of SQLite, between two looks whether Ctrl-C was pressed
_MAX_INT64: Final = 2**63 - 1
#: The type of a column by the types of its values.
_TYPES: Final = {
    frozenset(): pa.string(),
    frozenset({"integer"}): pa.int64(),
    frozenset({"real"}): pa.float64(),
    frozenset({"integer", "real"}): pa.float64(),
    frozenset({"text"}): pa.string(),
    frozenset({"blob"}): pa.binary(),
}
#: Affinity and type of columns in SQL, by what Arrow says of theirs; others are text.
_STORED: Final[tuple[tuple[str, pa.DataType, tuple[Callable[[pa.DataType], bool], ...]], ...]] = (
    ("INTEGER", pa.int8(), (pa.types.is_boolean,)),
    ("INTEGER", pa.int64(), (pa.types.is_integer, pa.types.is_duration)),
    ("REAL", pa.float64(), (pa.types.is_floating,)),
    (
        "BLOB",
        pa.large_binary(),
        (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
    ),
)


def connect(path: Path, *, write: bool = False) -> apsw.Connection:
    """Opens a database, for reading alone unless it is to be written. Raises SourceError."""
    if not write and not path.exists():
        raise SourceNotFoundError(f"{path}: there is no such database")
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    try:
        connection = apsw.Connection(str(path), flags=flags if write else apsw.SQLITE_OPEN_READONLY)
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.set_busy_timeout(5000)
        connection.set_progress_handler(lambda: False, _STEPS)  # in which Ctrl-C is noticed
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    except apsw.Error as error:
        raise SourceError(f"{path} is no database that can be opened: {error}") from error
    return connection


def quoted(name: str) -> str:
    """Returns a name as SQL has it.

    >>> quoted("net price")
    '"net price"'
    """
    return '"' + name.replace('"', '""') + '"'


# ---- Reading ----


def read_table(path: Path, table: str, reading: Reading) -> pa.RecordBatchReader:
    """Returns a reader of a table or view. Its columns have the types of their values, which it
    looks at first. Raises SourceError for a column with values of several types.
    """
    connection = connect(path)
    label = f"{path}::{table}"
    with _failing(label):
        connection.execute("BEGIN")  # both looks see the same rows
        names = [row[1] for row in connection.execute(f"PRAGMA table_xinfo({quoted(table)})")]
        if not names:
            tables = connection.execute(
                "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY 1"
            ).fetchall()
            has = ", ".join(repr(row[0]) for row in tables) or "none"
            raise SourceNotFoundError(f"{path} has no table {table!r}; it has {has}")
        schema = _schema(connection, label, table, names)
    makers = [_maker(field, reading.types.get(field.name)) for field in schema]
    made = pa.schema(
        [field.with_type(type_) for field, (type_, _) in zip(schema, makers, strict=True)]
    )
    return pa.RecordBatchReader.from_batches(
        made, _batches(connection, label, table, made, [make for _, make in makers])
    )


def _schema(connection: apsw.Connection, label: str, table: str, names: Sequence[str]) -> pa.Schema:
    kinds = ("integer", "real", "text", "blob")
    looks = ", ".join(f"max(typeof({quoted(name)}) = '{kind}')" for name in names for kind in kinds)
    row = connection.execute(f"SELECT {looks} FROM {quoted(table)}").fetchall()[0]
    fields = []
    for index, name in enumerate(names):
        flags = row[index * len(kinds) : (index + 1) * len(kinds)]
        found = frozenset(kind for kind, flag in zip(kinds, flags, strict=True) if flag)
        if found not in _TYPES:
            raise SourceError(
                f"{label}: column {name!r} has values of several types, {', '.join(sorted(found))}:"
                " make a view that casts it, as CREATE VIEW v AS SELECT CAST(x AS TEXT) AS x"
            )
        fields.append(pa.field(name, _TYPES[found]))
    return pa.schema(fields)


def _maker(
    field: pa.Field, wanted: pa.DataType | None
) -> tuple[pa.DataType, Callable[[Sequence[Any]], pa.Array]]:
    """Returns the type of a column, and what makes arrays of its values. Text becomes the date or
    time that an argument needs, and integers become booleans.
    """
    type_ = field.type
    is_date = wanted is not None and pa.types.is_temporal(wanted) and pa.types.is_string(type_)
    is_switch = wanted is not None and pa.types.is_boolean(wanted) and pa.types.is_integer(type_)
    if wanted is not None and (is_date or is_switch):
        return wanted, lambda values: pa.array(values, type_).cast(wanted)
    return type_, lambda values: pa.array(values, type_)


def _batches(
    connection: apsw.Connection,
    label: str,
    table: str,
    schema: pa.Schema,
    makers: Sequence[Callable[[Sequence[Any]], pa.Array]],
) -> Iterator[pa.RecordBatch]:
    names = ", ".join(map(quoted, schema.names))
    with contextlib.closing(connection), _failing(label):
        cursor = connection.execute(f"SELECT {names} FROM {quoted(table)}")
        while rows := [row for _, row in zip(range(_ROWS), cursor, strict=False)]:
            columns = zip(*rows, strict=True)
            arrays = [make(values) for make, values in zip(makers, columns, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


@contextlib.contextmanager
def _failing(label: str) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise SourceError(f"{label}: {error}") from error


# ---- Writing ----


def write_table(path: Path, table: str, reader: pa.RecordBatchReader, *, replace: bool) -> None:
    """Writes rows as a table, all or none. They go to a database of their own first: the one that
    is there is locked for no longer than a copy takes. Raises OutputFileError.
    """
    label = f"{path}::{table}"
    with _writing(label):
        if path.exists():
            with contextlib.closing(connect(path, write=True)) as connection:
                _check_absent(connection, label, table, replace)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with _writing(label):
            _write(part, table, reader)
            if path.exists():
                _copy(part, path, table, label, replace)
            else:
                part.replace(path)
    finally:
        for each in (part, part.with_name(f"{part.name}-journal")):
            with contextlib.suppress(OSError):
                each.unlink(missing_ok=True)


def _check_absent(connection: apsw.Connection, label: str, table: str, replace: bool) -> None:
    found = connection.execute(
        "SELECT type FROM sqlite_schema WHERE name = ? COLLATE NOCASE", (table,)
    ).fetchall()
    if found and (found[0][0] != "table" or not replace):
        way = "pass --replace, or another name" if found[0][0] == "table" else "pass another name"
        raise OutputFileError(f"{label} exists already, a {found[0][0]}: {way}")


def _write(part: Path, table: str, reader: pa.RecordBatchReader) -> None:
    converters = [_converter(field) for field in reader.schema]
    columns = ", ".join(
        f"{quoted(field.name)} {affinity}"
        for field, (affinity, _) in zip(reader.schema, converters, strict=True)
    )
    insert = f"INSERT INTO {quoted(table)} VALUES ({', '.join('?' * len(converters))})"
    with contextlib.closing(connect(part, write=True)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # nobody needs half of it after a crash
        with connection:  # a transaction
            connection.execute(f"CREATE TABLE {quoted(table)} ({columns})")
            for batch in reader:
                values = [
                    convert(column)
                    for column, (_, convert) in zip(batch.columns, converters, strict=True)
                ]
                connection.executemany(insert, zip(*values, strict=True))


def _copy(part: Path, path: Path, table: str, label: str, replace: bool) -> None:
    with contextlib.closing(connect(path, write=True)) as connection:
        connection.execute("ATTACH ? AS part", (str(part),))
        create = "SELECT sql FROM part.sqlite_schema WHERE name = ?"
        statement = str(connection.execute(create, (table,)).fetchall()[0][0])
        connection.execute("BEGIN IMMEDIATE")
        _check_absent(connection, label, table, replace)
        connection.execute(f"DROP TABLE IF EXISTS main.{quoted(table)}")
        connection.execute(statement)
        name = quoted(table)
        connection.execute(f"INSERT INTO main.{name} SELECT * FROM part.{name}")
        connection.execute("COMMIT")


@contextlib.contextmanager
def _writing(label: str) -> Iterator[None]:
    try:
        yield
    except OutputFileError:
        raise
    except (apsw.Error, OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputFileError(f"{label} cannot be written: {reason}") from error


def _converter(field: pa.Field) -> tuple[str, Callable[[pa.Array], list[Any]]]:
    """Returns the affinity of a column in SQL, and what makes SQL's values of an array."""
    type_: Any = field.type
    if pa.types.is_dictionary(type_):
        affinity, convert = _converter(field.with_type(type_.value_type))
        return affinity, lambda array: convert(array.cast(type_.value_type))
    if pa.types.is_nested(type_):
        return "TEXT", lambda array: [
            None if each is None else json.dumps(each, default=str) for each in array.to_pylist()
        ]
    for affinity, stored, tests in _STORED:
        if any(test(type_) for test in tests):
            return affinity, _values_as(stored)
    return "TEXT", _values_as(pa.string())


def _values_as(type_: pa.DataType) -> Callable[[pa.Array], list[Any]]:
    return lambda array: array.cast(type_).to_pylist()
