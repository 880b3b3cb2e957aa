"""What a call of a function costs and why, with advice: ``Function.explain``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Protocol

from udfvm.call.pool import Pool
from udfvm.call.reports import CallReport, duration
from udfvm.tables import html_table, text_table
from udfvm.texts import counted, format_size
from udfvm.types.arrow_types import Parameter

_EXITS: Final = 200  # that are measured
_MANY_CALLS: Final = 20  # with a row each
_MANY_ROWS: Final = 1000
_MANY_PAGES: Final = 512  # 2 MiB
_LARGE: Final = 0.25  # of the time of a call
_LONG: Final = 1e-3  # seconds, as imports take at least


class _Explained(Protocol):
    """A function, as far as explanations know it."""

    @property
    def name(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def form(self) -> str: ...
    @property
    def isolation(self) -> str: ...
    @property
    def pool(self) -> Pool: ...
    @property
    def elementwise(self) -> bool: ...
    @property
    def parameters(self) -> Sequence[Parameter]: ...
    @property
    def last_call(self) -> CallReport | None: ...


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a call of a function costs and why: ``Function.explain``. Shown as text, or in a
    notebook as a table.

    Attributes:
        function: the function's name.
        exit_seconds: an exit from a micro-VM and back, on this machine: no call takes less.
        last_call: the report of the call that is explained; None if there was none.
        costs: what the parts of a call are, and what takes the time, as names and texts.
        advice: what would make calls cheaper, the most useful first; empty if nothing is known.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half.explain().advice
    ('call the function first: the explanation is of its last call',)
    >>> half(3.0)
    1.5
    >>> half.explain().last_call.rows
    1
    """

    function: str
    exit_seconds: float
    last_call: CallReport | None
    costs: tuple[tuple[str, str], ...]
    advice: tuple[str, ...]

    def __str__(self) -> str:
        return text_table(self._title(), self._lines())

    def _repr_html_(self) -> str:
        return html_table(self._title(), self._lines())

    def _title(self) -> str:
        return f"what a call of {self.function} costs"

    def _lines(self) -> list[tuple[str, str]]:
        return [*self.costs, *(("advice", each) for each in self.advice)]


def explanation_of(function: _Explained, *, imports_late: bool) -> Explanation:
    """Returns what the last call of a function cost, and why. Measures what an exit takes.
    ``imports_late``: calls may import, because nothing ran the function before.
    """
    from udfvm.vmm import measure_exits

    exit_seconds = median(measure_exits(_EXITS)) / 1e6
    report = function.last_call
    costs = [("kind", _kind(function)), ("exit", _exit(exit_seconds))]
    if report is None:
        advice = ["call the function first: the explanation is of its last call"]
    else:
        costs += _phases(report, exit_seconds)
        advice = list(_advice(function, report, exit_seconds))
        if imports_late and report.guest_seconds > _LONG:
            advice.append(
                "if the function imports when it runs, it does so in each call: pass sample= with"
                " arguments of one call, and the image has what they need"
            )
    return Explanation(
        function=function.name,
        exit_seconds=exit_seconds,
        last_call=report,
        costs=tuple(costs),
        advice=tuple(advice),
    )


def _kind(function: _Explained) -> str:
    jailed = " in processes of their own (jail=True)" if function.pool.jail else ""
    each = {
        "scalar": "for each row",
        "vectorized": "for each batch, with columns",
        "table": "for each row, and yields rows",
        "aggregate": "for the rows of a group",
    }[function.form]
    return f"{function.form}, {function.language}: its code runs {each}, in micro-VMs{jailed}"


def _exit(seconds: float) -> str:
    return f"{duration(seconds)} for an exit from a micro-VM and back: no call takes less"


def _phases(report: CallReport, exit_seconds: float) -> Iterator[tuple[str, str]]:
    whole = report.seconds or 1.0

    def share(seconds: float, why: str) -> str:
        return f"{duration(seconds)} ({seconds / whole:.0%}): {why}"

    rows = counted(report.rows, "row")
    yield "last call", f"{report.ending} after {duration(report.seconds)}, {rows}"
    yield "host", share(report.host_seconds, _host(report))
    moved = f"{format_size(report.input_bytes)} in and {format_size(report.output_bytes)} out"
    yield "copy", share(report.copy_seconds, moved)
    exits = f"{counted(report.exits, 'exit')}, about {duration(report.exits * exit_seconds)}"
    yield "guest", share(report.guest_seconds, f"the function itself, and {exits}")
    pages = f"{counted(report.pages_restored, 'page')} put back, {_written(report)} were written"
    yield "restore", share(report.restore_seconds, pages)
    if report.peak_memory_bytes:
        peak = format_size(report.peak_memory_bytes)
        yield "memory", f"{peak} were in use at most, the image's included: memory= must be more"


def _host(report: CallReport) -> str:
    calls = f", {counted(report.host_calls, 'host call')}" if report.host_calls else ""
    return f"arguments, and taking a micro-VM or opening one{calls}"


def _written(report: CallReport) -> str:
    return format_size(report.written_bytes)


def _advice(function: _Explained, report: CallReport, exit_seconds: float) -> Iterator[str]:
    """Yields advice, the most useful first."""
    whole = report.seconds or 1.0
    yield from _advice_on_rows(function, report)
    if report.host_calls > 1:
        yield (
            f"{report.host_calls} calls of host functions cost an exit each: pass what they return"
            " as arguments, or ask for many values at once"
        )
    if report.host_seconds > _LARGE * whole and report.number == 1:
        yield "the first call opened a micro-VM: udfvm.Pool.warm() does that ahead of calls"
    if report.restore_seconds > _LARGE * whole and report.pages_restored > _MANY_PAGES:
        yield (
            f"calls write {_written(report)} in small blocks, which is put back: make fewer"
            " objects, or large arrays, which cost less to put back"
        )
    if report.printed_bytes and report.exits > 1:
        yield "what the function prints leaves the micro-VM by exits of its own: print less"
    if report.is_jailed:
        yield "jailed micro-VMs cost a change of processes for each call: pass many rows at once"
    if report.guest_seconds > (1 - _LARGE) * whole and report.guest_seconds > 4 * exit_seconds:
        yield "most of the time is the function's own: make its code faster"


def _advice_on_rows(function: _Explained, report: CallReport) -> Iterator[str]:
    scalar = function.form in ("scalar", "vectorized")
    if scalar and report.rows == report.exchanges == 1 and report.number >= _MANY_CALLS:
        yield "pass columns (numpy, pandas, polars, pyarrow): all rows take one call then"
    if scalar and report.rows > 1 and report.exits >= report.rows:
        if function.isolation == "row":
            yield 'isolation="row" makes a call of each row of SQL; "statement" shares one'
        else:
            yield "each row cost an exit, as with one processor: vm_map sends rows in batches"
    if function.form == "scalar" and function.language == "python" and report.rows >= _MANY_ROWS:
        yield (
            "Python runs the function for each row: udfvm.udf(vectorized=True) runs it once, with"
            " columns"
        )
    if function.form == "vectorized" and not function.elementwise and report.rows >= _MANY_ROWS:
        yield (
            "one micro-VM computes the whole batch: declare elementwise=True, if each row of the"
            " result depends on its own row alone, and several share large batches"
        )
    if scalar and any(_is_text(each.type.name) for each in function.parameters):
        yield (
            "arguments of text take longer than numbers: declare number and date types where the"
            " values are such"
        )


def _is_text(name: str) -> bool:
    return name in ("string", "large_string", "binary", "large_binary", "json")
