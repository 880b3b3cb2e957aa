"""What calls of a function take: a fresh call beside a bare exit, and batches."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import click
import pyarrow as pa

from udfvm import vmm
from udfvm.errors import OptionError
from udfvm.functions.function import Function
from udfvm.functions.integration import sample_of
from udfvm.types.arrow_types import Parameter

_ROUNDS: Final = 10  # in which calls and exits take turns
_PER_ROUND: Final = 200
_SETTLE: Final = 20  # calls of a turn that do not count: caches have what others did
_VALUES: Final[tuple[Any, ...]] = (1.0, "1", b"1", True, 0, [], {})


def arguments_of(udf: Function, text: str | None) -> list[Any]:
    """Returns the arguments of a call. Raises OptionError, and UsageError for what is no JSON."""
    if text is None:
        sample = sample_of(udf)
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


def latency(udf: Any, given: Sequence[Any], seconds: float) -> dict[str, Any]:
    """Measures calls, and exits, in turns: microseconds of each, and how many calls there were."""
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


def throughput(udf: Any, given: Sequence[Any], rows: int, seconds: float) -> dict[str, Any]:
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
