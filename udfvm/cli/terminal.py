"""What the commands have in common: the terminal, and sizes as options."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import IO, Final

import click
from rich.console import Console
from rich.table import Table

from udfvm.errors import Error, OptionError, UDFError
from udfvm.limits import parse_size
from udfvm.pipelines.progress import FailedRowsWarning
from udfvm.tracebacks import ADVICE, without_advice

_UNCUT = 100_000  # columns, if the output is not a terminal


class _Console(Console):
    """A console that says to the command that nobody reads: rich itself would end the process."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(file: IO[str] | None = None) -> Console:
    """Returns the console for tables, of standard output unless another file is given. On a
    terminal they have its width; in pipes and files they are whole, with a row on one line.
    """
    found = _Console(soft_wrap=True, file=file)
    return found if found.is_terminal else _Console(soft_wrap=True, width=_UNCUT, file=file)


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
_HOST_FUNCTION: Final = re.compile(r",? or let a host function [^(]*\(host_functions=\)")
_PATTERNS: Final = {
    re.compile(r"pass columns=\{'(\w+)': COLUMN\}"): r"pass -c \1=COLUMN",
    re.compile(
        r"of a file in another format, pass pyarrow\.dataset\.dataset\(path, format='\w+'\)"
        "(?: or the like)?"
    ): "name a file of another format by its suffix or --format, a table by app.db::table",
}
_PHRASES: Final = {
    "call with_options(name=...).map": "pass --name",
    "pass a signature, such as": "pass --signature, such as",
    "pass name=, such as name=": "pass --name, such as ",
    " (table.rename_columns)": "",
    "data={'model': 'model.bin'}": "--data model=model.bin",
    "with files=False": "with --no-files",
    "what packages= names": "what --package names",
    ": for another format, leave output= out, and write the table that map() returns": "",
    "map() finds no column": "there is no column",
    "map() ": "",
    "register the function on a connection, and call it in SQL": "name a table of it, file::table",
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
        if isinstance(error, UDFError):
            error.guest_traceback = _advice_in_options(error.guest_traceback)
        raise


def in_options(text: str) -> str:
    """Returns a text with options of commands.

    >>> in_options("pass columns=; timeout=5 is too long, raise timeout=")
    'pass --column; timeout=5 is too long, raise --timeout'
    """
    for phrase, other in _PHRASES.items():
        text = text.replace(phrase, other)
    for pattern, other in _PATTERNS.items():
        text = pattern.sub(other, text)
    return _KEYWORD.sub(lambda found: _OPTIONS[found[1]], text)


def _advice_in_options(guest_traceback: str) -> str:
    """Returns a traceback whose advice is for commands, whose functions have no host functions."""
    frames, advice = without_advice(guest_traceback)
    told = in_options(_HOST_FUNCTION.sub("", advice))
    return f"{frames}\n{ADVICE}{told}" if advice else guest_traceback


def size_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parses the option of a size. Returns the bytes."""
    try:
        return None if value is None else parse_size(value, parameter.opts[0])
    except OptionError as error:
        raise click.UsageError(str(error), context) from None
