"""A program that ends while engines' calls run ends, and does not crash."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

BEGIN = """
    import sys, threading, time
    import udfvm

    @udfvm.udf(timeout=600)
    def until(x: int) -> int:
        while x > 1000:
            pass
        return x + 1

    until.prepare()
"""
END = """
    def is_busy():
        statistics = until.pool.statistics()
        return statistics.idle < statistics.live

    threading.Thread(target=work, daemon=True).start()
    while not is_busy():
        time.sleep(0.01)
    sys.path.insert(0, sys.argv[1])
    from busy_processes import await_busy
    import os
    await_busy(os.getpid(), 0.1)
    print("ends")
"""
WORK = {
    "Arrow": """
    import pyarrow as pa
    import pyarrow.dataset as ds

    def work():
        columns = {"y": until.expr(ds.field("x"))}
        ds.dataset(pa.table({"x": [1, 2000]})).to_table(columns=columns)
""",
    "DataFusion": """
    import datafusion
    context = datafusion.SessionContext()
    udfvm.datafusion.register(context, until)
    context.from_pydict({"x": [1, 2000]}, name="numbers")

    def work():
        context.sql("SELECT until(x) FROM numbers").collect()
""",
    "DuckDB": """
    import duckdb
    connection = duckdb.connect()
    udfvm.duckdb.register(connection, until)

    def work():
        connection.execute("SELECT until(x) FROM range(1000, 1002) AS numbers(x)").fetchall()
""",
    "Flight": """
    import pyarrow as pa
    from pyarrow import flight
    server = udfvm.flight.Server(until, listen="127.0.0.1:0")  # nobody stops it

    def work():
        batch = pa.record_batch({"x": [1, 2000]})
        client = flight.connect(server.location)
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("until"))
        writer.begin(batch.schema)
        writer.write_batch(batch)
        reader.read_chunk()
""",
    "pandas": """
    import pandas as pd

    def work():
        until(pd.Series([1, 2000]))
""",
    "Polars": """
    import polars as pl
    frame = pl.DataFrame({"x": [1, 2000]})

    def work():
        frame.select(udfvm.polars.expr(until, "x"))
""",
}


@pytest.mark.parametrize("engine", WORK)
def test_a_program_ends(engine: str) -> None:
    program = "".join(map(textwrap.dedent, (BEGIN, WORK[engine], END)))
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "ends\n"), done.stderr
