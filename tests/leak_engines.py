"""The ways by which engines call the functions of a tenant: see leak_tenants.py."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import datafusion
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.flight
from flight_clients import exchange_with
from leak_tenants import Functions, Way

import udfvm
import udfvm.datafusion
import udfvm.duckdb
import udfvm.flight
import udfvm.pandas
import udfvm.polars

CALLS = {
    "scalar": "SELECT scalar_{0}(task) FROM tasks",
    "vectorised": "SELECT vector_{0}(task) FROM tasks",
    "aggregate": "SELECT group_{0}(task) FROM tasks",
}


class EngineWays:
    """Every way by which an engine calls the functions of a tenant: from a program to what it says.
    The calls run on threads of the engine.
    """

    def __init__(self, name: str, pool: udfvm.Pool, timeout: float) -> None:
        self.name = name
        self.functions = Functions(name, pool, timeout)
        self.opened = ExitStack()
        self.duckdb = self.opened.enter_context(duckdb.connect(config={"threads": 2}))
        self.datafusion = datafusion.SessionContext()
        for engine, connection in (
            (udfvm.duckdb, self.duckdb),
            (udfvm.datafusion, self.datafusion),
        ):
            engine.register(connection, *self._columnar(), self.functions.rows)
        server = udfvm.flight.Server(*self._columnar()[:2], listen="127.0.0.1:0")
        self.opened.enter_context(server)
        self.client = self.opened.enter_context(pa.flight.connect(server.location))
        self.ways: dict[str, Way] = {
            **{f"{kind} of DuckDB": self._in_duckdb(sql) for kind, sql in CALLS.items()},
            "table of DuckDB": self._in_duckdb("SELECT said FROM tasks, LATERAL rows_{0}(task)"),
            **{f"{kind} of DataFusion": self._in_datafusion(sql) for kind, sql in CALLS.items()},
            "scalar of Polars": lambda task: self._in_polars(self.functions.scalar, task),
            "vectorised of Polars": lambda task: self._in_polars(self.functions.vector, task),
            "aggregate of Polars": lambda task: self._in_polars(self.functions.group, task),
            "scan of Polars": self._scanned,
            "scalar of pandas": lambda task: str(self.functions.scalar(pd.Series([task]))[0]),
            "scalar over Flight": lambda task: self._over_flight(f"scalar_{name}", task),
            "vectorised over Flight": lambda task: self._over_flight(f"vector_{name}", task),
        }

    def _columnar(self) -> list[Any]:
        return [self.functions.scalar, self.functions.vector, self.functions.group]

    def _in_duckdb(self, sql: str) -> Way:
        def query(task: bytes) -> str:
            tasks = "(SELECT ?::BLOB AS task) AS tasks"
            statement = sql.format(self.name).replace("FROM tasks", f"FROM {tasks}")
            rows = self.duckdb.execute(statement, [task]).fetchall()
            return "".join(said for (said,) in rows)

        return query

    def _in_datafusion(self, sql: str) -> Way:
        def query(task: bytes) -> str:
            self.datafusion.from_arrow(pa.table({"task": pa.array([task])}), name="tasks")
            try:
                [column] = self.datafusion.sql(sql.format(self.name)).to_pydict().values()
                return "".join(column)
            finally:
                self.datafusion.deregister_table("tasks")

        return query

    def _in_polars(self, function: Any, task: bytes) -> str:
        frame = pl.LazyFrame({"task": [task]})
        return str(frame.select(udfvm.polars.expr(function, "task")).collect().item())

    def _scanned(self, task: bytes) -> str:
        return str(udfvm.polars.scan(self.functions.rows, task).head(1).collect().item())

    def _over_flight(self, name: str, task: bytes) -> str:
        batch = pa.record_batch({"task": pa.array([task])})
        return str(exchange_with(self.client, name, batch).column(0)[0])

    def close(self) -> None:
        self.opened.close()
