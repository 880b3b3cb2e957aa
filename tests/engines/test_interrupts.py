"""Ctrl-C ends a query of an engine, and the calls that the engine makes on its threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

BEGIN = """
    import os, signal, threading, time
    import udfvm

    @udfvm.udf(timeout=1000)
    def endless(x: float) -> float:
        while x >= 0:
            pass
        return x

    signal.signal(signal.SIGINT, signal.default_int_handler)

    def is_busy():
        statistics = endless.pool.statistics()
        return statistics.idle < statistics.live

    def interrupted(run, wait=0.0):
        def interrupt():
            while not is_busy():
                time.sleep(0.01)
            time.sleep(wait)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            run()
            return "no interrupt"
        except KeyboardInterrupt:
            time.sleep(0.1)  # no second one comes
        thread.join()
        for _ in range(500):  # the traceback, which may hold a VM, is gone
            if not is_busy():
                return "ended"
            time.sleep(0.02)
        return "ran on"
"""
DUCKDB = """
        import duckdb

        con = duckdb.connect()
        con.execute("SET threads = 2")
        udfvm.duckdb.register(con, endless)

        def run(rows):
            query = f"SELECT sum(endless(range)) FROM range({rows})"
            try:
                con.execute(query).fetchall()
            except (RuntimeError, duckdb.InvalidInputException) as error:
                assert "nterrupt" in str(error), error
                time.sleep(0.2)  # DuckDB's own interrupt may come after that of the call
                raise KeyboardInterrupt from None
"""
FINDS = """
        assert con.execute("SELECT endless(-1)").fetchall() == [(-1.0,)]  # finds the image
"""
RUNS = """
        print(interrupted(lambda: run(1)))
        print(interrupted(lambda: run(10_000)))
"""
QUERIES = {
    "dask": """
        import dask
        import dask.array
        import dask.dataframe
        import pandas

        dask.config.set(scheduler="threads", num_workers=2)
        frame = dask.dataframe.from_pandas(pandas.DataFrame({"x": [1.0] * 4}), npartitions=4)
        values = udfvm.dask.map_partitions(endless, frame)
        print(interrupted(values.compute))
        values = udfvm.dask.map_partitions(endless, dask.array.ones(4, chunks=1))
        print(interrupted(values.compute, 0.3))
    """,
    "datafusion": """
        import datafusion
        import pyarrow

        context = datafusion.SessionContext()
        udfvm.datafusion.register(context, endless)
        batch = pyarrow.record_batch({"x": [1.0]})

        def run(parts):
            context.register_record_batches(f"t{parts}", [[batch]] * parts)
            try:
                context.sql(f"SELECT sum(endless(x)) FROM t{parts}").collect()
            except Exception as error:
                assert "KeyboardInterrupt" in str(error), error
                time.sleep(0.2)  # that of the main thread may come after that of the call
                raise KeyboardInterrupt from None

        print(interrupted(lambda: run(1)))
        print(interrupted(lambda: run(2)))
    """,
    "polars": """
        import polars
        import udfvm.functions.arrow_registry
        from udfvm.functions import arrow_interrupts

        arrow_interrupts._LEASE = 0.1  # which is over before the second interrupt
        first, second = (udfvm.polars.expr(endless, "x") for _ in range(2))  # on two threads
        query = polars.LazyFrame({"x": [1.0, 2.0]}).select(first, b=second)
        print(interrupted(lambda: query.collect(engine="in-memory")))
        print(interrupted(lambda: query.collect(engine="streaming"), 0.3))
    """,
    "polars by the short way": """
        import polars
        import udfvm.functions.arrow_registry
        from udfvm.functions import arrow_interrupts

        arrow_interrupts._LEASE = 0.1  # which is over before the second interrupt
        first, second = (udfvm.polars.expr(endless, "x") for _ in range(2))  # on two threads
        query = polars.LazyFrame({"x": [1.0, 2.0]}).select(first, b=second)
        ends = polars.DataFrame({"x": [-1.0, -2.0]})
        assert ends.select(first)["x"].to_list() == [-1.0, -2.0]  # finds the image
        print(interrupted(lambda: query.collect(engine="in-memory")))
        print(interrupted(lambda: query.collect(engine="streaming"), 0.3))
    """,
    "duckdb": DUCKDB + RUNS,
    "duckdb by the short way": DUCKDB + FINDS + RUNS,
}


@pytest.mark.parametrize("engine", QUERIES)
def test_an_interrupt_ends_a_query_and_its_calls(engine: str) -> None:
    pytest.importorskip(engine.partition(" ")[0])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(QUERIES[engine])],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.split("\n") == ["ended", "ended", ""], done.stderr
