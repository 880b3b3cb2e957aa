"""Work of a soak that Python asks for: single calls, arrays, Arrow's kernels, scans, pipelines,
scripts."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from soaking.checks import equal
from soaking.functions import TIMEOUT, Functions

import udfvm.arrow

ROWS = 2000
MANY_ROWS = 300_000  # whose result is read in guest memory, and shared by two VMs
_registry = threading.Lock()  # of names, which all threads share


def rows(functions: Functions) -> None:
    for number in range(20):
        equal(functions.plus(number, 0.5), number + 0.5)
        equal(functions.shout("word"), "WORD")
        equal(functions.native_sum(number, 0.5), number + 0.5)
        equal(functions.wasm_sum(number, 0.5), number + 0.5)
    equal(functions.prints(1), 1)
    equal(functions.quarter(4.0), 1.0)
    equal(functions.product({"x": 3.0, "y": 4.0}), 12.0)
    equal(functions.lines("@udfvm.table_function("), 1)
    equal(functions.in_turns(300), 300)


def arrays(functions: Functions) -> None:
    numbers = np.arange(float(ROWS))
    for function in (functions.plus, functions.native_sum, functions.wasm_sum):
        equal(function(numbers, numbers).tolist(), (numbers * 2).tolist())
        equal(function(pa.array(numbers), 0.5).to_pylist(), (numbers + 0.5).tolist())
    equal(functions.twice(numbers).tolist(), (numbers * 2).tolist())
    chunked = pa.chunked_array([numbers, numbers])
    equal(functions.twice(chunked), pa.chunked_array([numbers * 2] * 2))
    equal(functions.shout(pa.array(["a", None])).to_pylist(), ["A", None])


def many_rows(functions: Functions) -> None:
    """Their results go on being used, and are dropped by another thread."""
    numbers = np.arange(float(MANY_ROWS))
    held = [functions.twice(numbers), functions.twice(pa.array(numbers))]
    equal(float(np.sum(held[0])), float(np.sum(numbers)) * 2)
    dropping = threading.Thread(target=held.clear)
    dropping.start()
    dropping.join()


def kernels(functions: Functions) -> None:
    column = pa.array(np.arange(float(ROWS)))
    with _registry:
        udfvm.arrow.register(None, functions.twice, name="soak_twice")
        try:
            equal(pc.call_function("soak_twice", [column]), pc.multiply(column, 2))
            table = pa.table({"x": column})
            projection = {"y": pc.Expression._call("soak_twice", [ds.field("x")])}
            found = ds.dataset([table.to_batches()[0]] * 3, table.schema).to_table(projection)
            equal(pc.sum(found["y"]).as_py(), 3 * ROWS * (ROWS - 1.0))
        finally:
            udfvm.arrow.unregister(None, "soak_twice")


def pipelines(functions: Functions) -> None:
    table = pa.table({"a": np.arange(float(ROWS)), "b": np.ones(ROWS)})
    found = functions.plus.map(table, threads=2, progress=False)
    equal(found[functions.plus.name].to_pylist(), (np.arange(ROWS) + 1.0).tolist())


def tables(functions: Functions) -> None:
    for function in (functions.count_to, functions.native_count, functions.wasm_count):
        equal(sum(value for (value,) in function(100)), 5050)
    for batch in functions.count_to.batches(1_000_000):  # the rest is never computed
        equal(batch.column(0)[0].as_py(), 1)
        break


def aggregates(functions: Functions) -> None:
    numbers = np.arange(float(ROWS))
    equal(functions.spread(numbers), ROWS - 1.0)
    for function in (functions.native_total, functions.wasm_total):
        equal(function(numbers), float(np.sum(numbers)))


def scripts(functions: Functions) -> None:
    """A script over a table, whose state goes on to a second one."""
    table = pa.table({"x": np.arange(float(ROWS))})
    script = "half = table.slice(0, table.num_rows // 2); rows = half.num_rows; print(rows)"
    first = udfvm.run(script, table=table, state=b"", pool=functions.pool, timeout=TIMEOUT)
    equal(first.text, f"{ROWS // 2}\n")
    equal(first.tables["half"].num_rows, ROWS // 2)
    again = udfvm.run("rows + 1", state=first.state, pool=functions.pool, timeout=TIMEOUT)
    equal(again.value, ROWS // 2 + 1)


WORK: tuple[Any, ...] = (rows, arrays, many_rows, kernels, pipelines, tables, aggregates, scripts)
