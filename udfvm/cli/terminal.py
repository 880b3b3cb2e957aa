"""What the commands have in common: the terminal, and sizes as options."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from typing import IO, Final

import click
from rich.console import Console
from rich.table import Table

from udfvm.errors import Error, OptionError
from udfvm.limits import parse_size
from udfvm.pipelines.progress import FailedRowsWarning

_UNCUT = 100_000  # columns, if the output is not a terminal


def console(file: IO[str] | None = None) -> Console:
    """Returns the console for tables, of standard output unless another file is given. On a
    terminal they have its width; in pipes and files they are whole, with a row on one line.
    """
    found = Console(soft_wrap=True, file=file)
    return found if found.is_terminal else Console(soft_wrap=True, width=_UNCUT, file=file)


def print_table(out: Console, table: Table) -> None:
    """Prints a table, without the blanks that a terminal's width adds to its lines."""
    if out.is_terminal:
        out.print(table, markup=False)
        return
    with out.capture() as captured:
        out.print(table, markup=False)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


@contextlib.contextmanager
def data_alone() -> Iterator[None]:
    """Standard output has data alone: what functions print goes to standard error. Rows that fail
    are told by the command, and not by a warning.
    """
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore", FailedRowsWarning)
        yield


#: Keywords of functions, in errors, that commands have as options.
_OPTIONS: Final = {
    "build_timeout": "--build-timeout",
    "columns": "--column",
    "keep": "--keep",
    "memory": "--memory",
    "on_error": "--on-error",
    "timeout": "--timeout",
    "timeout_per_row": "--timeout-per-row",
}
_KEYWORD: Final = re.compile(rf"(?<![\w.(])({'|'.join(_OPTIONS)})=(?![\w'\"(\[?])")
_PHRASES: Final = {
    "call with_options(name=...).map": "pass --name",
    "pass a signature, such as": "pass --signature, such as",
    "pass name=, such as name=": "pass --name, such as ",
    " (table.rename_columns)": "",
    "of a file in another format, pass pyarrow.dataset.dataset(path, format='csv') or the like": (
        "name a file of another format by its suffix or --format, a table by app.db::table"
    ),
}


@contextlib.contextmanager
def naming_options() -> Iterator[None]:
    """Errors within it name options of the command, where they would name keywords of Python."""
    try:
        yield
    except Error as error:
        if error.args and isinstance(error.args[0], str):
            first, newline, others = error.args[0].partition("\n")
            error.args = (in_options(first) + newline + others, *error.args[1:])
        raise


def in_options(text: str) -> str:
    """Returns a text with options of commands.

    >>> in_options("pass columns=; timeout=5 is too long, raise timeout=")
    'pass --column; timeout=5 is too long, raise --timeout'
    """
    for phrase, other in _PHRASES.items():
        text = text.replace(phrase, other)
    return _KEYWORD.sub(lambda found: _OPTIONS[found[1]], text)


def size_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parses the option of a size. Returns the bytes."""
    try:
        return None if value is None else parse_size(value, parameter.opts[0])
    except OptionError as error:
        raise click.UsageError(str(error), context) from None
