"""``udfvm bench``: what calls of a function of a file cost on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from udfvm.call.reports import PHASES, CallReport
from udfvm.cli.file_functions import FunctionPath, Given, function_options, open_function
from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import console, naming_options, print_table


@click.command()
@click.argument("function", type=FunctionPath())
@click.option(
    "--arguments", help="A JSON list of the arguments of a call. Default: the sample, or ones."
)
@click.option("--rows", default=100_000, show_default=True, help="Rows of a batch.")
@click.option("--seconds", default=2.0, show_default=True, help="How long each is measured.")
@function_options
@json_option()
def bench(
    function: tuple[Path, str | None],
    arguments: str | None,
    rows: int,
    seconds: float,
    as_json: bool,
    **values: Any,
) -> None:
    """Measures calls of a function of a file.

    FUNCTION is file.py:name. The command measures a call from a fresh state, compares it with the
    least that a call can cost, an exit of a micro-VM, and counts the rows a second of a batch.

    Nothing of file.py runs on this host: micro-VMs read and run its text.
    """
    from udfvm.cli.measuring import arguments_of, latency, throughput

    if rows < 1:
        raise click.UsageError(f"--rows {rows}: at least 1")
    with naming_options():
        udf: Any = open_function(function, Given.of(values)).with_options(log="drop")
        given = arguments_of(udf, arguments)
        started = time.perf_counter()
        udf.prepare()
        found: dict[str, Any] = {
            "function": udf.name,
            "form": udf.form,
            "image_seconds": time.perf_counter() - started,
            **latency(udf, given, seconds),
            "phases_us": _phases(udf.last_call),
            **throughput(udf, given, rows, seconds),
        }
    found["ratio"] = found["call_us"]["p50"] / found["exit_us"]["p50"]
    if as_json:
        print_json(found)
        return
    table = Table(show_header=False, box=None)
    for label, value in _told(found, repr(udf)[1:-1]):
        table.add_row(label, value)
    print_table(console(), table)


def _told(found: dict[str, Any], signature: str) -> list[tuple[str, str]]:
    phases = found["phases_us"]
    return [
        ("Function", signature.removeprefix("UDF ")),
        ("Image", f"built or opened in {found['image_seconds']:.2f} s"),
        ("Fresh call", _microseconds(found["call_us"])),
        ("Phases", ", ".join(f"{each} {us:.1f}" for each, us in phases.items()) + " us (one call)"),
        ("Bare exit", _microseconds(found["exit_us"])),
        ("Ratio", f"{found['ratio']:.2f}, of the medians"),
        ("Batch", f"{found['rows']:,} rows, {found['rows_per_second']:,.0f} rows/s (median)"),
    ]


def _phases(report: CallReport) -> dict[str, float]:
    return {phase: getattr(report, f"{phase}_seconds") * 1e6 for phase in PHASES}


def _microseconds(found: dict[str, float]) -> str:
    return f"{found['p50']:.1f} us (median; 99th percentile {found['p99']:.1f} us)"
