"""What a table of many rows costs. ``python bench/pipeline.py --json`` prints one JSON object; all
times are taken in one run, in turns.

Bodies in pure Python, over ``--rows`` rows, from Arrow to Arrow:

    regex            a regular expression over text
    short_text       a method of short text
    branchy          branches on two numbers

and for each of them, in seconds:

    in_process       the same loop in this process
    one_vm, two_vms  ``map`` with one thread, with two
    direct           the function called with the columns, on as many VMs as there are processors

``one_times_process``, ``two_times_process`` and ``direct_times_process`` are their ratios.

``light`` is ``x * 2 + 1`` over as many doubles of numpy:

    in_process       the body itself
    one_call         a function of whole batches
    spread           an elementwise function, on as many VMs as there are processors

With ``--parquet-rows`` also ``branchy`` from a Parquet file of so many rows to a new one:

    pyarrow          the body as a scalar function of pyarrow, over the batches of a scan
    map              ``map`` from path to path, with as many threads as processors

With ``--scan-rows`` also scans of a dataset of so many rows, with threads, whose projection is a
function (``scan.py`` has the bodies): the seconds and the largest memory of a process for each body
as a scalar function of pyarrow and as one of micro-VMs, and ``times_pyarrow`` and
``memory_times_pyarrow``. ``first_times_pyarrow`` compares the first scans of the processes, for
which VMs are made.

The machine must be quiet, or the benchmark the first to run: ``chrt -f 20 python ...``.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import udfvm

GROUP = 1 << 20
PATTERN = re.compile(r"(\w+)@(\w+)\.(?:com|org)")


def regex(text: str) -> str | None:
    found = PATTERN.search(text)
    return found[2] if found else None


def short_text(text: str) -> str:
    return text.strip().title()


def branchy(a: float, b: float) -> float:
    if a > 0.75:
        return a * b
    if b > 0.5:
        return a - b if a > 0.25 else b - a
    return a + b if a < 0.1 else 0.0


def light(x: np.ndarray) -> np.ndarray:
    return x * 2 + 1


def texts(rows: int, words: Callable[[int], str]) -> pa.Table:
    return pa.table({"text": [words(row) for row in range(rows)]})


def numbers(rows: int, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    return pa.table({"a": generator.random(rows), "b": generator.random(rows)})


def sources(rows: int) -> dict[Callable[..., Any], pa.Table]:
    return {
        regex: texts(rows, lambda row: f"written by user{row % 977}@host{row % 13}.org, no {row}"),
        short_text: texts(rows, lambda row: f" word {row % 1000} "),
        branchy: numbers(rows),
    }


def in_process(body: Callable[..., Any], table: pa.Table, type_: pa.DataType) -> pa.Array:
    columns = (column.to_pylist() for column in table.columns)
    return pa.array([body(*row) for row in zip(*columns, strict=True)], type_)


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def medians(
    ways: dict[str, Callable[[], object]],
    repeats: int,
    prepare: Callable[[str], object] = lambda _name: None,
) -> dict[str, float]:
    """Returns the median seconds of each way, taken in turns. Preparing it is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(repeats + 1):
        for name, call in ways.items():
            prepare(name)
            taken = seconds(call)
            if round_:  # the first warms up
                times[name].append(taken)
    return {name: round(statistics.median(each), 6) for name, each in times.items()}


def measure_body(body: Callable[..., Any], table: pa.Table, repeats: int) -> dict[str, float]:
    function = udfvm.udf(body)
    type_ = function.map(table.slice(0, 1), keep=[]).schema.field(0).type
    expected = in_process(body, table, type_)
    if not function.map(table, keep=[])[0].combine_chunks().equals(expected):
        raise RuntimeError(f"{body.__name__}: the results in VMs are not those of the host")
    ways: dict[str, Callable[[], object]] = {
        "in_process": lambda: in_process(body, table, type_),
        "one_vm": lambda: function.map(table, keep=[], threads=1),
        "two_vms": lambda: function.map(table, keep=[], threads=2),
        "direct": lambda: function(*table.columns),
    }
    figures = medians(ways, repeats)
    figures["one_times_process"] = round(figures["one_vm"] / figures["in_process"], 3)
    figures["two_times_process"] = round(figures["two_vms"] / figures["in_process"], 3)
    figures["direct_times_process"] = round(figures["direct"] / figures["in_process"], 3)
    return figures


def measure_light(rows: int, repeats: int) -> dict[str, float]:
    one, spread = (
        udfvm.udf(
            light,
            name=f"light_{elementwise}",
            vectorized=True,
            elementwise=elementwise,
            input_types=["double"],
            output_type="double",
        )
        for elementwise in (False, True)
    )
    values = np.random.default_rng(0).random(rows)
    if not np.array_equal(one(values), light(values)):
        raise RuntimeError("light: the results in VMs are not those of the host")
    for _ in range(3):  # how fast it is must be known
        if not np.array_equal(spread(values), light(values)):
            raise RuntimeError("light: the results in VMs are not those of the host")
    ways: dict[str, Callable[[], object]] = {
        "in_process": lambda: light(values),
        "one_call": lambda: one(values),
        "spread": lambda: spread(values),
    }
    figures = medians(ways, repeats * 10)
    figures["one_times_process"] = round(figures["one_call"] / figures["in_process"], 3)
    figures["spread_times_process"] = round(figures["spread"] / figures["in_process"], 3)
    return figures


def measure_parquet(rows: int, folder: Path, repeats: int) -> dict[str, float]:
    names = ("source.parquet", "map.parquet", "pyarrow.parquet")
    source, by_map, by_pyarrow = (folder / name for name in names)
    with pq.ParquetWriter(source, numbers(0).schema) as writer:
        for first in range(0, rows, GROUP):
            writer.write_table(numbers(min(GROUP, rows - first), first))
    function = udfvm.udf(branchy)
    text = {"summary": "branchy in this process", "description": "branchy in this process"}
    types = {"a": pa.float64(), "b": pa.float64()}
    pc.register_scalar_function(
        lambda _, a, b: pa.array(map(branchy, a.to_pylist(), b.to_pylist()), pa.float64()),
        "host_branchy", text, types, pa.float64(),
    )  # fmt: skip

    def pyarrow_() -> None:
        with pq.ParquetWriter(by_pyarrow, pa.schema([("branchy", pa.float64())])) as writer:
            group: list[pa.RecordBatch] = []
            for batch in ds.dataset(source).to_batches():
                made = pc.call_function("host_branchy", [batch["a"], batch["b"]])
                group.append(pa.record_batch({"branchy": made}))
                if sum(map(len, group)) >= GROUP:
                    writer.write_table(pa.Table.from_batches(group))
                    group.clear()
            if group:
                writer.write_table(pa.Table.from_batches(group))

    def map_() -> None:
        function.map(source, output=by_map, keep=[])

    def remove(name: str) -> None:
        {"map": by_map, "pyarrow": by_pyarrow}[name].unlink(missing_ok=True)
        os.sync()  # what was written before is not on its way to the disk meanwhile

    figures = medians({"map": map_, "pyarrow": pyarrow_}, repeats, remove)
    if not pq.read_table(by_map).equals(pq.read_table(by_pyarrow)):
        raise RuntimeError("the results in VMs are not those of the host")
    figures["map_times_pyarrow"] = round(figures["map"] / figures["pyarrow"], 3)
    return figures


def measure_scans(rows: int, folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    file = folder / "scanned.arrow"
    with pa.ipc.new_file(file, pa.schema([("x", pa.float64())])) as writer:
        for first in range(0, rows, GROUP):
            table = numbers(min(GROUP, rows - first), first).select(["a"]).rename_columns(["x"])
            writer.write_table(table, max_chunksize=1 << 17)
    figures = {}
    for body in ("light", "heavy", "branchy"):
        found = {way: scanned(file, body, way, repeats) for way in ("pyarrow", "vm")}
        vm, host = found["vm"], found["pyarrow"]
        if vm.pop("digest") != host.pop("digest"):
            raise RuntimeError(f"{body}: the results in VMs are not those of the host")
        figures[body] = {
            **{
                f"{way}_{name}": value
                for way, each in found.items()
                for name, value in each.items()
            },
            "times_pyarrow": round(vm["seconds"] / host["seconds"], 3),
            "first_times_pyarrow": round(vm["first"] / host["first"], 3),
            "memory_times_pyarrow": round(vm["mib"] / host["mib"], 3),
        }
    return figures


def scanned(file: Path, body: str, way: str, repeats: int) -> dict[str, Any]:
    """Returns what ``scan.py`` says, in a process of its own."""
    script = Path(__file__).with_name("scan.py")
    command = [sys.executable, script, file, body, way, f"--repeats={repeats}"]
    found: dict[str, Any] = json.loads(subprocess.check_output(command))
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of each table.")
@click.option("--parquet-rows", default=20_000_000, show_default=True, help="0: no files.")
@click.option("--scan-rows", default=20_000_000, show_default=True, help="0: no scans.")
@click.option("--repeats", default=3, show_default=True, help="Times that each way is taken.")
def main(as_json: bool, rows: int, parquet_rows: int, scan_rows: int, repeats: int) -> None:
    """Measures what a table of many rows costs."""
    result: dict[str, Any] = {"rows": rows}
    with tempfile.TemporaryDirectory(prefix="udfvm-bench-") as name:
        os.environ.setdefault("UDFVM_CACHE", str(Path(name) / "cache"))
        if parquet_rows:
            result["parquet"] = measure_parquet(parquet_rows, Path(name), max(1, repeats // 2))
        if scan_rows:
            scans = measure_scans(scan_rows, Path(name), repeats)
            result |= {f"scan_{body}": figures for body, figures in scans.items()}
        for body, table in sources(rows).items():
            result[body.__name__] = measure_body(body, table, repeats)
        result["light"] = measure_light(rows, repeats)
    if as_json:
        json.dump(result, sys.stdout)
        print()
        return
    for name, figures in result.items():
        if isinstance(figures, dict):
            for way, value in figures.items():
                print(f"{name:12} {way:21} {value}")


if __name__ == "__main__":
    main()
