"""``udfvm top``: what the micro-VMs of a running program do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import console, print_table
from udfvm.cli.top_tables import function_table, heading, pool_table, view
from udfvm.observing.client import Ended, Program, ask, choose


@click.command()
@click.argument("pid", type=click.IntRange(min=1), required=False)
@click.option("--once", is_flag=True, help="Print the tables after one interval, and end.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@json_option("Print what the program tells now as one JSON object, and end.")
def top(pid: int | None, once: bool, interval: float, as_json: bool) -> None:
    """Shows pools, calls and memory of a running program.

    It does so until Ctrl-C. PID is the process of the program; without it, the only one that is
    observed. A program is observed that calls udfvm.observe(), or was started with
    UDFVM_OBSERVE=1. Where standard output is no terminal, the tables are printed once.
    """
    program, first = choose(pid)
    out = console()
    if as_json:
        print_json(first)
    elif once or not out.is_terminal:
        _print_once(out, first, _after(program, interval))
    else:
        _show(out, program, first, interval)


def _after(program: Program, interval: float) -> dict[str, Any]:
    time.sleep(interval)
    return ask(program)


def _print_once(out: Console, before: dict[str, Any], now: dict[str, Any]) -> None:
    out.print(heading(now))
    print_table(out, pool_table(now))
    print_table(out, function_table(before, now))


def _show(out: Console, program: Program, first: dict[str, Any], interval: float) -> None:
    """Ctrl-C ends it, as it is meant to."""
    try:
        with contextlib.suppress(KeyboardInterrupt), _restored(out):
            with Live(view({}, first), console=out, screen=True, auto_refresh=False) as live:
                for before, now in _looks(program, first, interval):
                    live.update(view(before, now), refresh=True)
    except Ended as ended:
        click.echo(str(ended))


@contextlib.contextmanager
def _restored(out: Console) -> Iterator[None]:
    """The terminal is as it was, also where Ctrl-C comes while the screen is being opened."""
    try:
        yield
    finally:
        if out.is_alt_screen:
            out.set_alt_screen(False)
            out.show_cursor()


def _looks(
    program: Program, first: dict[str, Any], interval: float
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    before = first
    while True:
        now = _after(program, interval)
        yield before, now
        before = now
