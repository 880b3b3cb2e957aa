"""What a row costs in SQL when rows cross in batches, on the 336,776 flights: vm_map, vm_agg and
vm_table beside functions in the process.

All in one run, in turns; ``--json`` prints one JSON object. Costs are microseconds a row, the
statement's scan included; ``scan`` is the scan alone. The best of some runs counts: what else the
machine does only ever adds.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw
import click
import numpy as np
import numpy.typing as npt

import udfvm
import udfvm.sqlite
from udfvm.cli import flights


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    """Scores a row: a body of one line."""
    return None if distance == 0 else dep_delay / distance * 100


@udfvm.udf(vectorized=True)
def score_arrays(
    dep_delay: npt.NDArray[np.float64], distance: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The same over columns."""
    return dep_delay / distance * 100


@udfvm.aggregate
class mean:  # noqa: N801 - named as in SQL
    """The mean, row by row."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def step(self, value: float) -> None:
        self.total += value
        self.count += 1

    def inverse(self, value: float) -> None:
        self.total -= value
        self.count -= 1

    def finish(self) -> float | None:
        return self.total / self.count if self.count else None


@udfvm.aggregate(vectorized=True)
class mean_arrays:  # noqa: N801
    """The mean, columns at a time."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def step(self, value: npt.NDArray[np.float64]) -> None:
        self.total += float(value.sum())
        self.count += len(value)

    def finish(self) -> float | None:
        return self.total / self.count if self.count else None


@udfvm.table_function(columns={"value": int})
def numbers(count: int) -> range:
    """Rows from a range."""
    return range(count)


class LocalMean:
    """The aggregate in the process."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def step(self, value: Any) -> None:
        if value is not None:
            self.total += value
            self.count += 1

    def inverse(self, value: Any) -> None:
        if value is not None:
            self.total -= value
            self.count -= 1

    def final(self) -> float | None:
        return self.total / self.count if self.count else None

    value = final


def local_score(dep_delay: Any, distance: Any) -> Any:
    """Scores a row in the process."""
    return None if dep_delay is None or not distance else dep_delay / distance * 100


_ARGUMENTS = "SELECT rowid, dep_delay, distance FROM flights"
_WINDOW_ROWS = 30_000
_FRAMES = {
    "running": "ORDER BY rowid",
    "moving": "ORDER BY rowid ROWS 10 PRECEDING",
    "whole": "PARTITION BY carrier",
}
_MEANS = {"": "avg(", "_local": "local_mean(", "_vm_agg": "vm_agg('mean', "}


def _windows() -> dict[str, tuple[float, str]]:
    """A statement for each frame and each way to compute a mean."""
    rows = f"(SELECT rowid, carrier, dep_delay FROM flights LIMIT {_WINDOW_ROWS})"
    return {
        f"window_{frame}{way}": (
            _WINDOW_ROWS / 336_776,
            f"SELECT sum(x) FROM (SELECT {mean}dep_delay) OVER ({over}) AS x FROM {rows})",
        )
        for frame, over in _FRAMES.items()
        for way, mean in _MEANS.items()
    }


STATEMENTS: dict[str, tuple[float, str]] = {
    "scan": (1, "SELECT sum(dep_delay), sum(distance) FROM flights"),
    "lambda": (1, "SELECT sum(local_score(dep_delay, distance)) FROM flights"),
    "vm_udf": (1, "SELECT sum(vm_udf('score', dep_delay, distance)) FROM flights"),
    "vm_map_scalar": (1, f"SELECT sum(value) FROM vm_map('score', '{_ARGUMENTS}')"),
    "vm_map_vectorized": (1, f"SELECT sum(value) FROM vm_map('score_arrays', '{_ARGUMENTS}')"),
    "vm_table": (1, "SELECT sum(c1) FROM vm_table('numbers', 336776)"),
    "group_by_carrier": (1, "SELECT carrier, avg(dep_delay) FROM flights GROUP BY carrier"),
    "group_by_carrier_local": (
        1,
        "SELECT carrier, local_mean(dep_delay) FROM flights GROUP BY carrier",
    ),
    "group_by_carrier_vm_agg": (
        1,
        "SELECT carrier, vm_agg('mean', dep_delay) FROM flights GROUP BY carrier",
    ),
    "group_by_carrier_vm_agg_vectorized": (
        1,
        "SELECT carrier, vm_agg('mean_arrays', dep_delay) FROM flights GROUP BY carrier",
    ),
    "group_by_aircraft": (1, "SELECT tailnum, avg(dep_delay) FROM flights GROUP BY tailnum"),
    "group_by_aircraft_local": (
        1,
        "SELECT tailnum, local_mean(dep_delay) FROM flights GROUP BY tailnum",
    ),
    "group_by_aircraft_vm_agg": (
        1,
        "SELECT tailnum, vm_agg('mean', dep_delay) FROM flights GROUP BY tailnum",
    ),
    **_windows(),
}


def measure(directory: Path, repeats: int) -> dict[str, float]:
    """Microseconds a row of each statement."""
    database = directory / "flights.db"
    rows = flights.write(database, directory / "flights.parquet")
    connection = apsw.Connection(str(database))
    udfvm.sqlite.register(connection, score, score_arrays, mean, mean_arrays, numbers)
    connection.create_scalar_function("local_score", local_score, 2, deterministic=True)
    connection.create_window_function("local_mean", LocalMean, 1)  # type: ignore[arg-type]
    best = dict.fromkeys(STATEMENTS, float("inf"))
    for _ in range(repeats):
        for name, (_, statement) in STATEMENTS.items():
            start = time.perf_counter()
            connection.execute(statement).fetchall()
            best[name] = min(best[name], time.perf_counter() - start)
    connection.close()
    return {
        name: round(best[name] / (rows * share) * 1e6, 3) for name, (share, _) in STATEMENTS.items()
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--repeats", default=5, show_default=True, help="Runs of each statement; the best counts."
)
def main(as_json: bool, repeats: int) -> None:
    """Prints what a row costs."""
    with tempfile.TemporaryDirectory() as directory:
        result = measure(Path(directory), repeats)
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, cost in result.items():
        click.echo(f"{name:40} {cost:8.3f} us a row")


if __name__ == "__main__":
    main()
