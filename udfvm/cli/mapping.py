"""A function over all rows of a place, into another: what ``udfvm run`` does."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
import pyarrow as pa

from udfvm.cli.data import argument_types, open_source, write_standard
from udfvm.cli.places import Place, Reading
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.function import Function
from udfvm.pipelines.progress import Progress, display_of
from udfvm.texts import counted


class Done(NamedTuple):
    """What was done. ``value`` is that of an aggregate, if ``is_value``."""

    progress: Progress
    output: str
    is_value: bool = False
    value: object = None

    @property
    def failed(self) -> int:
        """How many rows failed."""
        return self.progress.failed

    @property
    def text(self) -> str:
        """What people are told: a line, which is empty if the rows themselves were."""
        if self.is_value:
            return str(self.value)
        if self.output == "-":
            return ""
        seconds, rate = self.progress.seconds, self.progress.rate
        rows = f"{self.progress.rows:,} row{'' if self.progress.rows == 1 else 's'}"
        return f"{self.output}: {rows} in {seconds:.2f} s, {rate:,.0f} rows/s"

    def described(self) -> dict[str, object]:
        """Returns it for ``--json``."""
        told: dict[str, object] = {
            "rows": self.progress.rows,
            "failed": self.progress.failed,
            "seconds": self.progress.seconds,
            "rows_per_second": self.progress.rate,
            "failure": self._first_failure(),
        }
        return {**told, "value": self.value} if self.is_value else told

    def _first_failure(self) -> str | None:
        failure = self.progress.failure
        return None if failure is None else str(failure).partition("\n")[0]

    def failure_text(self, function: str, on_error: str) -> str:
        """Returns what is told of the rows that failed."""
        became = "are null" if on_error == "null" else "were left out"
        return (
            f"UDF {function!r}: {self.failed:,} of {counted(self.progress.rows, 'row')} failed and"
            f" {became}; the first: {self._first_failure()}"
        )


class _Shown:
    """Shows progress, and keeps the last."""

    def __init__(self, progress: bool | None, title: str) -> None:
        self._display = display_of(progress, title)
        self.last = Progress(0, None, 0, 0, 0.0)

    def __call__(self, progress: Progress) -> None:
        self.last = progress
        if self._display is not None:
            self._display.show(progress)

    def close(self) -> None:
        """The end: the bar stays as it is."""
        if self._display is not None:
            self._display.close()


def map_rows(
    udf: Function, source: Place, to: Place, values: Mapping[str, Any], standard: Any
) -> Done:
    """Runs a function over all rows of a source.

    Args:
        udf: the function.
        source, to: where the rows are, and where the results go.
        values: the options of the command.
        standard: standard output.

    Raises what ``map`` raises.
    """
    is_value = isinstance(udf, AggregateFunction)
    if is_value and not to.is_standard:
        raise click.UsageError("an aggregate has one value, and writes no rows: drop -o")
    if values["as_json"] and to.is_standard and not is_value:
        raise click.UsageError("--json is about the output, which must be elsewhere: pass -o FILE")
    columns = _columns(udf, values["columns"])
    reading = Reading(
        argument_types(udf, columns),
        values["text"],
        to.format == "csv" or (to.is_standard and not to.format and source.format != "arrow"),
    )
    rows, format_ = open_source(source, reading)
    shown = _Shown(None if values["progress"] in (None, True) else False, udf.name)
    options = {
        "columns": columns,
        "threads": values["threads"],
        "progress": shown,
        "on_error": values["on_error"],
        "timeout_per_row": values["timeout_per_row"],
    }
    try:
        if isinstance(udf, AggregateFunction):
            value = _plain(udf.map(rows, **options))
            return Done(shown.last, str(to), True, value)
        keep: Sequence[str] | None = [] if values["keep_none"] else values["keep"] or None
        _write(udf, rows, to, {**options, "keep": keep}, to.format or format_, values, standard)
        return Done(shown.last, str(to))
    finally:
        shown.close()


def _write(
    udf: Any,
    rows: Any,
    to: Place,
    options: Mapping[str, Any],
    format_: str,
    values: Mapping[str, Any],
    standard: Any,
) -> None:
    if to.table is None and not to.is_standard:
        udf.map(rows, output=to.path, **options)
        return
    reader = udf.map(rows, output=pa.RecordBatchReader, **options)
    if to.table is not None:
        from udfvm.cli.sqlite_tables import write_table

        write_table(to.path, to.table, reader, replace=values["replace"])
    elif standard is not None:
        write_standard(reader, format_, standard)


def _columns(udf: Function, given: Sequence[str]) -> dict[str, str] | None:
    """Returns the column of each parameter; None if none was given. Raises UsageError."""
    if not given:
        return None
    names = [each.name for each in udf.parameters]
    found: dict[str, str] = {}
    for each in given:
        parameter, equals, column = each.partition("=")
        if equals and parameter not in names and column in names:
            raise click.UsageError(f"-c {each}: the parameter stands first: {column}={parameter}")
        if not (equals and parameter in names):
            parameter, column = next((name for name in names if name not in found), ""), each
        if not parameter:
            raise click.UsageError(
                f"--column {each}: {udf.name!r} has {counted(len(names), 'parameter')}"
            )
        found[parameter] = column
    return found


def _plain(value: object) -> object:
    """Returns a value as JSON has it."""
    if isinstance(value, (datetime.date, datetime.time, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, datetime.timedelta)):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value
