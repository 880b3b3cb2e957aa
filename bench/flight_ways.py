"""Arrow Flight for ``bench/engines.py``: the ways through a connection to another process."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from bodies import Ways, delays, functions

import udfvm

ROWS = 131_072  # of a batch


def flight_ways(rows: int) -> Ways:
    import pyarrow.compute as pc
    import pyarrow.flight as fl

    table = pa.table(delays(rows))
    options = ["--functions", "served.py", "--listen", "127.0.0.1:0"]
    code = "from udfvm.cli import main; main()"
    client = fl.connect(served("-uc", code, "serve", *options))
    echo = fl.connect(served("echo_server.py"))
    scalar, vectorised = functions()

    def called(name: str, client: Any = client) -> Any:
        writer, reader = client.do_exchange(fl.FlightDescriptor.for_path(name))
        with writer, ThreadPoolExecutor(1) as threads:
            writer.begin(table.schema)
            results = threads.submit(reader.read_all)
            writer.write_table(table, max_chunksize=ROWS)
            writer.done_writing()
            return pc.sum(results.result()[0]).as_py()

    def direct(function: udfvm.ScalarFunction) -> Any:
        return pc.sum(function(*table.columns)).as_py()

    return {
        "python_vm": lambda: called("percent"),
        "python_own": lambda: direct(scalar),
        "numpy_vm": lambda: called("percents"),
        "numpy_own": lambda: direct(vectorised),
        "handover": lambda: called("first", echo),
    }


def served(*program: str) -> str:
    """Where a program of Python serves, until this process ends."""
    folder = Path(__file__).parent
    server = subprocess.Popen(
        [sys.executable, *program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.terminate)
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("listening on "):
            return line.split()[-1]
    raise SystemExit("the server did not begin")
