"""What the commands have in common: where they write, and sizes as their options take them."""

from __future__ import annotations

import click
from rich.console import Console

from udfvm.errors import OptionError
from udfvm.limits import parse_size

_UNCUT = 100_000  # columns, for what is no terminal


def console() -> Console:
    """Where tables go: as wide as the terminal, and to pipes and files whole, a row on one line."""
    found = Console(soft_wrap=True)
    return found if found.is_terminal else Console(soft_wrap=True, width=_UNCUT)


def size_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Callback of options that take a size: the bytes."""
    try:
        return None if value is None else parse_size(value, parameter.opts[0])
    except OptionError as error:
        raise click.UsageError(str(error), context) from None
