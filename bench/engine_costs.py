"""What a row costs in each engine, from the figures of docs/figures.json and
docs/performance.json: the tables of docs/cost.md and the picture of rows a second.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Pair = tuple[float, float]  # nanoseconds a row: in micro-VMs, and what it is compared with
OWN = "the engine's own"


class Engine(NamedTuple):
    """An engine of bench/engines.py: its name in pictures, and the package whose version counts."""

    title: str
    package: str


ENGINES = {
    "dask": Engine("Dask", "dask"),
    "datafusion": Engine("DataFusion", "datafusion"),
    "duckdb": Engine("DuckDB", "duckdb"),
    "ibis_duckdb": Engine("Ibis, DuckDB", "ibis-framework"),
    "ibis_polars": Engine("Ibis, Polars", "ibis-framework"),
    "pandas": Engine("pandas", "pandas"),
    "polars": Engine("Polars", "polars"),
    "spark": Engine("Spark", "pyspark"),
    "flight": Engine("Arrow Flight", "pyarrow"),
}


class Cost(NamedTuple):
    """What a row costs in an engine. A kind of body that was not measured is None."""

    title: str
    version: str | None  # of the engine, if it was noted
    compared: str  # with what
    python: Pair | None
    columns: Pair | None
    handover: float | None = None  # nanoseconds a row: columns brought to a function, and one back


def costs(measured: dict[str, Any]) -> list[Cost]:
    """Returns the engines in the order of the page."""
    above = measured["sqlite"]["above_scan"]
    largest = measured["arrow"]["by_rows"][-1]
    whole = (largest["vm_compute_ns_per_row"], largest["host_compute_ns_per_row"])
    return [
        Cost("SQLite", None, OWN, (above["python"] * 1e3, above["lambda"] * 1e3), None),
        Cost("pyarrow", None, OWN, None, whole),
        *(of_engine(engine.title, measured["engines"][name]) for name, engine in ENGINES.items()),
    ]


def of_engine(title: str, figures: dict[str, Any]) -> Cost:
    """What bench/engines.py measured of an engine."""
    python, columns = (
        (figures[f"{body}_vm_ns_per_row"], figures[f"{body}_own_ns_per_row"])
        for body in ("python", "numpy")
    )
    compared = "a direct call" if title == "Arrow Flight" else OWN
    handover = figures.get("handover_ns_per_row")
    return Cost(title, figures["version"], compared, python, columns, handover)
