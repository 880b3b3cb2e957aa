"""``udfvm sql``: SQL on a database, with functions of files."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from udfvm.cli.file_functions import FileFunctions, FunctionPath, Given, function_options
from udfvm.cli.program import json_option
from udfvm.cli.terminal import console, data_alone, naming_options
from udfvm.errors import Error
from udfvm.guest_text import visible
from udfvm.keywords import nearest
from udfvm.texts import listed

_AT_ONCE: Final = 1000  # rows that are written at once
_MEMORY: Final = ":memory:"
_FUNCTION: Final = re.compile(
    r"no such function: (?P<absent>\w+)|wrong number of arguments to function (?P<other>\w+)\(\)"
)
_HUGE: Final = "1e999"  # infinity, as JSON can say it


class StatementError(Error):
    """SQL that cannot be run: its syntax, a table that is not there, a constraint."""


class Rows(NamedTuple):
    """The rows of a statement, and the names of their columns."""

    columns: Sequence[str]
    rows: Iterator[tuple[Any, ...]]


@click.command()
@click.argument("database", type=click.Path(path_type=Path))
@click.argument("query", default="-")
@click.option(
    "--functions",
    "sources",
    type=FunctionPath(),
    multiple=True,
    help="A file of functions, or file.py:NAME for one; repeatable.",
)
@click.option("--write", is_flag=True, help="Let SQL change the database, or make a new one.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "json"]),
    help="How rows are written. Default: a table on a terminal, else CSV.",
)
@function_options
@json_option("Print the rows as one JSON list of objects.")
def sql(
    database: Path,
    query: str,
    sources: tuple[tuple[Path, str | None], ...],
    write: bool,
    format_: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Runs SQL on an SQLite database, with functions of files.

    DATABASE is a file, or :memory:. QUERY is SQL, which may have several statements, or - for
    standard input. SQL names functions as the files do.

    Nothing of the files runs on this host: micro-VMs read and run their text.
    """
    given = Given.of(values)
    text = _standard_input() if query == "-" else query
    chosen = "json" if as_json else format_
    out = sys.stdout
    with data_alone(), naming_options():
        functions, left_out = [], dict[str, Path]()
        for path, name in sources:
            found = FileFunctions(path, given)
            functions += [found.one(name)] if name else found.all()
            left_out.update(dict.fromkeys(found.left_out(), path))
        try:
            _run(database, text, functions, write, _writer(chosen, out))
        except StatementError as error:
            raise StatementError(
                str(error) + _about_functions(error, functions, left_out)
            ) from error


def _about_functions(
    error: StatementError, functions: Sequence[Any], left_out: Mapping[str, Path]
) -> str:
    """Returns what to do about a function that SQL does not find, or that is another than meant."""
    found = _FUNCTION.search(str(error))
    if found is None:
        return ""
    name = found["absent"] or found["other"]
    if name in left_out:
        return f": the text of {left_out[name]} does not tell its types: annotate them"
    if not functions:
        return ": pass --functions FILE.py if a file defines it"
    names = [each.name for each in functions]
    close = nearest(name, names)
    meant = f": did you mean {close}?" if close else f": the files define {listed(names, 'and')}"
    return meant if found["absent"] else ""


def _standard_input() -> str:
    if sys.stdin is None:
        raise StatementError("standard input is closed: pass SQL as the second argument")
    return sys.stdin.read()


def _run(
    database: Path,
    text: str,
    functions: Sequence[Any],
    write: bool,
    take: Callable[[Iterator[Rows]], None],
) -> None:
    import apsw

    import udfvm.sqlite
    from udfvm.cli.sqlite_tables import connect

    write = write or str(database) == _MEMORY
    with closing(connect(database, write=write)) as connection:
        udfvm.sqlite.register(connection, *functions)
        try:
            take(_statements(connection, text))
        except apsw.Error as error:
            if isinstance(error.__cause__, Error):
                raise error.__cause__ from error
            reason = str(error)
            if isinstance(error, apsw.ReadOnlyError) and not write:
                reason += ": pass --write to let SQL change the database"
            raise StatementError(reason) from error


def _statements(connection: Any, text: str) -> Iterator[Rows]:
    """Yields the rows of each statement that has columns. The others run, too. Each must be read to
    its end before the next is asked for.
    """
    cursor = connection.cursor()
    begun: list[tuple[str, ...]] = []

    def begin(_: object, __: str, ___: object) -> bool:
        begun.append(tuple(column[0] for column in cursor.get_description()))
        return True

    cursor.exec_trace = begin
    rows = iter(cursor.execute(text))
    waiting = next(rows, None)

    def of_statement(count: int) -> Iterator[tuple[Any, ...]]:
        nonlocal waiting
        while waiting is not None and len(begun) == count:
            yield waiting
            waiting = next(rows, None)

    told = 0
    while told < len(begun):
        *empty, columns = begun[told:]
        told = len(begun)
        for each in filter(None, empty):
            yield Rows(each, iter(()))
        if columns:
            yield Rows(columns, of_statement(told))


def _writer(format_: str | None, out: Any) -> Callable[[Iterator[Rows]], None]:
    """Returns what writes the rows of statements. Raises nothing that ``out`` does not."""
    if format_ is None:
        format_ = "table" if out is not None and out.isatty() else "csv"
    kinds = {"table": _write_tables, "csv": _write_csv, "json": _write_json}
    write = kinds[format_]
    return lambda statements: write(statements, out if out is not None else io.StringIO())


def _write_tables(statements: Iterator[Rows], out: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = console(out)
    for found in statements:
        table = Table(box=None)
        for name in found.columns:
            table.add_column(Text(visible(name, keep="")), overflow="fold")
        for row in found.rows:
            table.add_row(*(Text(visible(_text_of(value))) for value in row))
        shown.print(table)


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    return value.hex() if isinstance(value, bytes) else str(value)


def _write_csv(statements: Iterator[Rows], out: Any) -> None:
    for found in statements:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(found.columns)
        for number, row in enumerate(found.rows, 1):
            writer.writerow([_text_of(value) for value in row])
            if number % _AT_ONCE == 0:
                out.flush()


def _write_json(statements: Iterator[Rows], out: Any) -> None:
    """Writes one list, a row on a line. Text is ASCII: it may be a stranger's."""
    separator = "[\n"
    for found in statements:
        names = _distinct(found.columns)
        for row in found.rows:
            fields = (
                f"{json.dumps(name)}: {_json_of(value)}"
                for name, value in zip(names, row, strict=True)
            )
            out.write(f"{separator}{{{', '.join(fields)}}}")
            separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def _json_of(value: Any) -> str:
    if isinstance(value, bytes):
        return json.dumps(base64.b64encode(value).decode())
    if isinstance(value, float) and math.isinf(value):
        return _HUGE if value > 0 else f"-{_HUGE}"
    return json.dumps(value)


def _distinct(names: Sequence[str]) -> list[str]:
    """Returns names of which no two are the same.

    >>> _distinct(["a", "a", "b"])
    ['a', 'a:1', 'b']
    """
    found: list[str] = []
    for name in names:
        new, number = name, 0
        while new in found:
            number += 1
            new = f"{name}:{number}"
        found.append(new)
    return found
