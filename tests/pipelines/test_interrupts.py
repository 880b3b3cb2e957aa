"""Ctrl-C ends a pipeline whatever it does: nobody waits for what nothing can end."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

BEGIN = """
    import os, signal, sys, threading
    import pyarrow as pa
    import pyarrow.parquet as pq
    import udfvm

    released = threading.Event()  # by the main thread, when the pipeline has ended

    def hold(*_, **__) -> None:
        os.write(1, b"ready\\n")
        assert released.wait(60)

    @udfvm.udf
    def half(x: float) -> float:
        return x / 2

    half.prepare()
    folder = sys.argv[1]
    table = pa.table({"x": [1.0, 2.0]})
"""

READING = """
    path = os.path.dirname(folder) + "/in.parquet"
    pq.write_table(table, path)
    pq.ParquetFile.iter_batches = hold
    run = lambda: half.map(path)
"""

WRITING = """
    pq.ParquetWriter.write_table = hold
    run = lambda: half.map(table, output=folder + "/out.parquet")
"""

HOST_FUNCTION = """
    def asked(x: float) -> float:
        hold()
        return x

    @udfvm.udf(host_functions=[asked], timeout=None)
    def answer(x: float) -> float:
        return asked(x)

    answer.prepare()
    run = lambda: answer.map(table)
"""

END = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:
        os.write(1, b"ended\\n")
        assert not released.is_set()
        released.set()
"""


@pytest.mark.parametrize(
    "phase",
    [READING, WRITING, HOST_FUNCTION],
    ids=["reading", "writing", "in a host function"],
)
def test_ctrl_c_waits_for_nothing(phase: str, tmp_path: Path) -> None:
    program = "".join(map(textwrap.dedent, (BEGIN, phase, END)))
    folder = tmp_path / "results"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=50)
    assert rest.splitlines()[-1] == "ended"
    assert process.returncode == 0
    assert not list(folder.iterdir())
