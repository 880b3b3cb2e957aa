"""``udfvm run``: a function of a file over all rows of data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from udfvm.cli.file_functions import FunctionPath, Given, function_options, open_function
from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import data_alone, naming_options
from udfvm.guest_text import shown

ROWS_FAILED: Final = 3  # the exit code


@click.command()
@click.argument("function", type=FunctionPath())
@click.argument("source", default="-")
@click.option(
    "-o", "--output", default="-", help="A file, app.db::table, or - for standard output."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "arrow"]),
    help="The format of -, and of files that no suffix tells. Default: that of the input.",
)
@click.option("--replace", is_flag=True, help="Replace an output that exists.")
@click.option(
    "-c",
    "--column",
    "columns",
    multiple=True,
    help="A column for the next parameter, or PARAMETER=COLUMN; repeatable.",
)
@click.option("--keep", multiple=True, help="A column that the output has, too; repeatable.")
@click.option("--keep-none", is_flag=True, help="Have the function's own columns alone.")
@click.option("--text", multiple=True, help="A column of CSV to read as text; repeatable.")
@click.option("--name", help="The name of the function's column.")
@click.option(
    "--on-error",
    type=click.Choice(["raise", "null", "skip"]),
    default="raise",
    help="What becomes of rows that fail. Default: raise, which ends the command.",
)
@click.option("--threads", type=int, help="Micro-VMs at once. Default: one for each processor.")
@click.option("--timeout-per-row", type=float, help="Seconds of a row, on average of a batch.")
@click.option("--progress/--no-progress", default=None, help="Show a bar. Default: on a terminal.")
@function_options
@json_option("Print one JSON object, about rows and time. The output must be a file or table.")
def run(function: tuple[Path, str | None], source: str, **values: Any) -> None:
    """Runs a function of a file over all rows of data.

    FUNCTION is file.py:name. SOURCE is a Parquet, CSV or Arrow file, a folder of Parquet files,
    app.db::table, or - for standard input.

    Nothing of file.py runs on this host: micro-VMs read and run its text. So it may be a
    stranger's.
    """
    from udfvm.cli.data import check_output
    from udfvm.cli.places import place_of

    given = Given.of(values)
    to = place_of(values["output"], values["format_"])
    if values["keep"] and values["keep_none"]:
        raise click.UsageError("--keep and --keep-none exclude each other")
    data = None if sys.stdout is None else sys.stdout.buffer
    with data_alone(), naming_options():
        check_output(to, values["replace"])
        udf = open_function(function, given)
        if values["name"] is not None:
            udf = udf.with_options(name=values["name"])
        from udfvm.cli.mapping import map_rows

        done = map_rows(udf, place_of(source, values["format_"]), to, values, data)
    if values["as_json"]:
        print_json({"function": udf.name, "input": source, "output": str(to), **done.described()})
    elif done.text:
        text = done.text
        if done.is_value and sys.stdout is not None and sys.stdout.isatty():
            text = shown(text.encode("utf-8", "backslashreplace"))
        click.echo(text, err=to.is_standard and not done.is_value)
    if done.failed:
        click.echo(f"udfvm: {done.failure_text(udf.name, values['on_error'])}", err=True)
        sys.exit(ROWS_FAILED)
