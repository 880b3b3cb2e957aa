"""``udfvm bench``: what calls of a function of a file cost on this machine."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
import pyarrow as pa
from rich.table import Table

from udfvm.cli.file_functions import FunctionPath, Given, function_options, open_function
from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import console, print_table
from udfvm.errors import OptionError
from udfvm.functions.function import Function
from udfvm.types.arrow_types import Parameter

_ROUNDS: Final = 10  # in which calls and exits take turns
_PER_ROUND: Final = 200
_SETTLE: Final = 20  # calls of a turn that do not count: caches have what others did
_VALUES: Final[tuple[Any, ...]] = (1.0, "1", b"1", True, 0, [], {})


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
    if rows < 1:
        raise click.UsageError(f"--rows {rows}: at least 1")
    udf: Any = open_function(function, Given.of(values)).with_options(log="drop")
    given = _arguments(udf, arguments)
    started = time.perf_counter()
    udf.prepare()
    found: dict[str, Any] = {
        "function": udf.name,
        "form": udf.form,
        "image_seconds": time.perf_counter() - started,
        **_latency(udf, given, seconds),
        **_throughput(udf, given, rows, seconds),
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
    return [
        ("Function", signature.removeprefix("UDF ")),
        ("Image", f"built or opened in {found['image_seconds']:.2f} s"),
        ("Fresh call", _microseconds(found["call_us"])),
        ("Bare exit", _microseconds(found["exit_us"])),
        ("Ratio", f"{found['ratio']:.2f}, of the medians"),
        ("Batch", f"{found['rows']:,} rows, {found['rows_per_second']:,.0f} rows/s (median)"),
    ]


def _microseconds(found: dict[str, float]) -> str:
    return f"{found['p50']:.1f} us (median; 99th percentile {found['p99']:.1f} us)"


def _arguments(udf: Function, text: str | None) -> list[Any]:
    """Returns the arguments of a call. Raises OptionError, and UsageError for what is no JSON."""
    if text is None:
        sample = udf._program.sample if hasattr(udf._program, "sample") else None
        if sample is not None:
            return list(sample[0] if udf.form == "aggregate" else sample)
        return [_any_value(udf.name, each) for each in udf.parameters]
    try:
        given = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--arguments is no JSON: {error}") from error
    if not isinstance(given, list) or len(given) != len(udf.parameters):
        names = ", ".join(each.name for each in udf.parameters)
        raise click.UsageError(
            f"--arguments must be a JSON list, with a value for each of: {names}"
        )
    return [
        _value(udf.name, each, value) for each, value in zip(udf.parameters, given, strict=True)
    ]


def _value(name: str, parameter: Parameter, value: Any) -> Any:
    """Returns a value of JSON as one of the parameter's type."""
    type_ = parameter.type.arrow
    try:
        if isinstance(value, str) and not pa.types.is_string(type_):
            return pa.scalar(value).cast(type_).as_py()
        return pa.scalar(value, type_).as_py()
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise OptionError(
            f"UDF {name!r}: --arguments has {value!r} for {parameter.name!r}, which is no {type_}"
        ) from error


def _any_value(name: str, parameter: Parameter) -> Any:
    """Returns a value of a parameter's type. Raises OptionError where none comes to mind."""
    for value in _VALUES:
        try:
            return pa.scalar(value, parameter.type.arrow).as_py()
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
    if pa.types.is_temporal(parameter.type.arrow):
        return pa.scalar(0, pa.int32()).cast(pa.int64()).cast(parameter.type.arrow).as_py()
    raise OptionError(
        f"UDF {name!r}: no value of {parameter.type} comes to mind for {parameter.name!r}: pass"
        " --arguments, a JSON list"
    )


def _latency(udf: Any, given: Sequence[Any], seconds: float) -> dict[str, Any]:
    from udfvm import vmm

    takes_columns = udf.vectorized or udf.form == "aggregate"
    arguments = _columns(udf, given, 1) if takes_columns else given

    def call() -> None:
        made = udf(*arguments)
        if udf.form == "table":
            list(made)

    calls: list[float] = []
    exits: list[float] = []
    end = time.perf_counter() + seconds
    for _ in range(_ROUNDS):
        vmm.measure_exits(_SETTLE)
        exits += vmm.measure_exits(_PER_ROUND)
        calls += _timed(call, _PER_ROUND + _SETTLE, end)
        if time.perf_counter() > end:
            break
    return {"calls": len(calls), "call_us": _quantiles(calls), "exit_us": _quantiles(exits)}


def _timed(call: Callable[[], object], count: int, end: float) -> list[float]:
    """Returns the microseconds of calls, but of the first ones, until it is time to end."""
    found = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        now = time.perf_counter()
        found.append((now - started) * 1e6)
        if now > end:
            break
    return found[_SETTLE:] or found[-1:]


def _quantiles(found: Sequence[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {"p50": statistics.median(ordered), "p99": ordered[len(ordered) * 99 // 100]}


def _columns(udf: Function, given: Sequence[Any], rows: int) -> list[pa.Array]:
    return [
        pa.array([value] * rows, parameter.type.arrow)
        for parameter, value in zip(udf.parameters, given, strict=True)
    ]


def _throughput(udf: Any, given: Sequence[Any], rows: int, seconds: float) -> dict[str, Any]:
    """Returns rows a second: of arrays in one call, or of a table function over a source."""
    columns = _columns(udf, given, rows)
    if not columns:
        return {"rows": 1, "rows_per_second": 0.0}
    source = pa.table(columns, names=[each.name for each in udf.parameters])

    def call() -> None:
        if udf.form == "table":
            udf.map(source, keep=[], progress=False)
        else:
            udf(*columns)

    call()
    end = time.perf_counter() + seconds
    times: list[float] = []
    while not times or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return {"rows": rows, "rows_per_second": rows / statistics.median(times)}
