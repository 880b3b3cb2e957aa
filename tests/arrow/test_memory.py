"""Who owns what registered functions return, and how they end with the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import udfvm
import udfvm.arrow

RESULTS: dict[str, tuple[str, Any]] = {  # by name: type, value
    "numbers": ("double", 1.5),
    "bools": ("bool", True),
    "days": ("date32[day]", None),
    "texts": ("string", "a text that has some length"),
    "bytes": ("large_binary", b"\0" * 30),
    "lists": ("list<item: string>", ["a", None, "b" * 20]),
    "structs": ("struct<x: list<item: double>, y: string>", {"x": [1.0, None], "y": "z"}),
}


def _function(name: str) -> str:
    """Registers a function whose result has a value in each second row; returns its name."""
    type_, value = RESULTS[name]
    function = udfvm.udf(
        lambda i: None if i % 2 else value,
        name=f"owner_of_{name}",
        input_types=["int64"],
        output_type=type_,
    )
    udfvm.arrow.register(None, function)
    return function.name


@pytest.mark.parametrize("rows", [1, 9, 50_000])
@pytest.mark.parametrize("name", RESULTS)
def test_results_are_in_the_pool_of_the_caller(name: str, rows: int) -> None:
    function = _function(name)
    argument = pa.array(np.arange(rows))
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    result = pc.call_function(function, [argument], memory_pool=pool)
    assert result[0].as_py() == RESULTS[name][1]
    assert result.get_total_buffer_size() <= pool.bytes_allocated()
    assert pool.max_memory() < 4 * result.get_total_buffer_size() + 4096
    del result
    assert pool.bytes_allocated() == 0


@pytest.mark.parametrize("name", RESULTS)
def test_no_rows(name: str) -> None:
    result = pc.call_function(_function(name), [pa.array([], pa.int64())])
    assert len(result) == 0 and str(result.type) == RESULTS[name][0]


@pytest.mark.parametrize("name", ["texts", "structs"])
def test_values_are_in_the_pool_of_the_caller(name: str) -> None:
    function = _function(name)
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    result = pc.call_function(function, [pa.scalar(0)], memory_pool=pool)
    assert pool.max_memory() >= len(str(RESULTS[name][1]))  # the reply, and its value repeated
    assert result.as_py() == RESULTS[name][1]
    del result
    assert pool.bytes_allocated() == 0


# A pipeline of Arrow's threads that is at work while the program ends.
PROGRAM = """
import sys, threading
import numpy as np, pyarrow.dataset as ds
import udfvm

@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def scaled(x: np.ndarray) -> np.ndarray:
    return x * 2 + 1

dataset, columns = ds.dataset(sys.argv[1]), {"y": scaled.expr(ds.field("x"))}
"""
ENDS = {
    "after a scan": "dataset.to_table(columns=columns)",
    "after the first batch": """
batches = dataset.scanner(columns=columns, batch_size=4096).to_batches()
next(batches)
""",
    "in scans of another thread": """
began = threading.Event()
def scan():
    while True:
        try:
            dataset.to_table(columns=columns)
        except udfvm.PoolClosedError:
            return
        finally:
            began.set()
threading.Thread(target=scan, daemon=True).start()
began.wait()
""",
}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("numbers") / "numbers.parquet"
    table = pa.table({"x": np.random.default_rng(0).random(2_000_000)})
    pq.write_table(table, path, row_group_size=100_000)
    return path


@pytest.mark.parametrize("end", ENDS)
def test_the_program_ends_while_threads_of_arrow_run(end: str, numbers: Path) -> None:
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM + ENDS[end], numbers],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
