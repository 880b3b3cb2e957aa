"""What a function costs in each language. ``python bench/guests.py --json`` prints one JSON object;
all is taken in one run, in turns.

The function is ``dep_delay / distance * 100``, as a Python function (``python``), as one over numpy
arrays (``vectorized``), in C (``native``) and in WebAssembly (``wasm``), each in a micro-VM; and in
WebAssembly in the process itself, with wasmtime-py and no VM (``wasmtime_in_process``).

    first_s          seconds from its source to a function ready for calls where the cache is empty:
                     boots the base image
    build_s          the same for another function of that language, once the base image is there; C
                     is compiled by gcc
    base_bytes       of the base image on disk, which all functions of the language share
    layer_bytes      of the function's own image on disk
    call_us          one fresh call with two values
    call_times_exit  call_us over that of an exit and re-entry of a minimal VM
    batch_ns_per_row a call with two numpy arrays of ``--rows`` float64; in the process, a loop in
                     Python over some thousand of them
    sql_ns_per_row   a row of a SELECT over ``--sql-rows``, above the SELECT without the function:
                     streamed to a function of SQL, or with vm_map where the function is vectorized

``c_body`` compares the C loop itself, as UDFVM_SCALAR compiles it, with the same loop compiled into
the process. Copies, exits and pages touched for the first time count for neither: the time of a
call that runs the loop once is taken from that of one that runs it ``PASSES`` times, the fastest of
each.

    vm_us, host_us   microseconds of a pass over ``--rows`` rows
    times_host       their ratio
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import click
import numpy as np
from sampling import Sampler, python_sampler, quantiles, take_turns

import udfvm
import udfvm.sqlite
from udfvm import vmm

ROUNDS = 5
PASSES = 9
IN_PROCESS_ROWS = 5000
FLAGS = ("-O3", "-shared", "-fPIC")

C = """
#include <udfvm.h>
UDFVM_SCALAR(score, f64, (f64, dep_delay), (f64, distance))
{
    return dep_delay / distance * 100 + %d;
}
"""
C_PASSES = (
    C % 0
    + """
UDFVM_VECTOR(passes, f64, (f64, dep_delay), (f64, distance))
{
    const struct udfvm_input columns[] = {
        { NULL, arguments[0].buffers[1], NULL },
        { NULL, arguments[1].buffers[1], NULL },
    };
    const struct udfvm_output output = {
        .validity = (uint8_t *)result->buffers[0],
        .data = (void *)result->buffers[1],
    };
    for (int pass = 0; pass < PASSES; pass++) {
        udfvm_run_score(columns, &output, result->length);
        __asm__ volatile("" ::: "memory");       /* each pass is done */
    }
}
"""
)
HOST_PASSES = """
void passes(const double *restrict dep_delay, const double *restrict distance,
            double *restrict out, long rows, int count)
{
    for (int pass = 0; pass < count; pass++) {
        for (long row = 0; row < rows; row++)
            out[row] = dep_delay[row] / distance[row] * 100 + 0;
        __asm__ volatile("" ::: "memory");
    }
}
"""
WASM = """(module (func (export "score") (param f64 f64) (result f64)
    local.get 0 local.get 1 f64.div f64.const 100 f64.mul f64.const %d f64.add))"""


# ---- The function in each language; `shift` makes each one different ----


def python(shift: int) -> udfvm.ScalarFunction:
    @udfvm.udf(name="python")
    def score(dep_delay: float, distance: float) -> float:
        return dep_delay / distance * 100 + shift

    return score


def vectorized(shift: int) -> udfvm.ScalarFunction:
    sample = (np.ones(1000), np.ones(1000))

    @udfvm.udf(
        name="vectorized",
        vectorized=True,
        input_types=["double", "double"],
        output_type="double",
        sample=sample,
    )
    def score(dep_delay: np.ndarray, distance: np.ndarray) -> np.ndarray:
        return dep_delay / distance * 100 + shift

    return score


def native(shift: int) -> udfvm.ScalarFunction:
    return udfvm.from_c(C % shift, "score", name="native")


def wasm(shift: int) -> udfvm.ScalarFunction:
    return udfvm.from_wasm(WASM % shift, "score", name="wasm")


LANGUAGES: tuple[Callable[[int], udfvm.ScalarFunction], ...] = (python, vectorized, native, wasm)


def seconds(make: Callable[[], object]) -> float:
    started = time.perf_counter()
    make()
    return round(time.perf_counter() - started, 4)


def on_disk(image: Any) -> int:
    return int(os.stat(image.path).st_blocks * 512)


def built(
    declare: Callable[[int], udfvm.ScalarFunction], functions: int
) -> tuple[udfvm.ScalarFunction, dict[str, Any]]:
    """Returns the function, and what building it, and another one like it, took."""
    first_s = seconds(lambda: declare(0).prepare())
    build_s = statistics.median(
        seconds(lambda shift=shift: declare(shift).prepare()) for shift in range(1, functions + 1)
    )
    function = declare(0)
    return function, {
        "first_s": first_s,
        "build_s": build_s,
        "base_bytes": on_disk(function.image.base),
        "layer_bytes": on_disk(function.image),
    }


class InProcess:
    """The module in the wasmtime of this process."""

    def __init__(self) -> None:
        import wasmtime

        started = time.perf_counter()
        store = wasmtime.Store()
        function: Any = wasmtime.Instance(
            store, wasmtime.Module(store.engine, WASM % 0), []
        ).exports(store)["score"]
        self.figures: dict[str, Any] = {"build_s": round(time.perf_counter() - started, 4)}
        self.call: Callable[[float, float], float] = lambda dep_delay, distance: function(
            store, dep_delay, distance
        )

    def over(self, dep_delay: np.ndarray, distance: np.ndarray) -> np.ndarray:
        return np.array(
            [self.call(a, b) for a, b in zip(dep_delay.tolist(), distance.tolist(), strict=True)]
        )


# ---- Calls, batches, SQL ----


def expressions(
    connection: apsw.Connection, functions: dict[str, udfvm.ScalarFunction], in_process: InProcess
) -> dict[str, str]:
    """Returns a SELECT of each way, with its function registered."""
    udfvm.sqlite.register(connection, *functions.values())
    connection.create_scalar_function("wasmtime_in_process", in_process.call, 2)
    names = [name for name, function in functions.items() if not function.vectorized]
    selects = {
        name: f"SELECT total({name}(dep_delay, distance)) FROM flights"
        for name in (*names, "wasmtime_in_process")
    }
    for name in functions.keys() - set(names):
        selects[name] = (
            f"SELECT total(value) FROM vm_map('{name}', 'SELECT 0, dep_delay, distance FROM"
            " flights')"
        )
    return {"scan": "SELECT total(dep_delay + distance) FROM flights", **selects}


def measure_sql(
    functions: dict[str, udfvm.ScalarFunction],
    in_process: InProcess,
    columns: list[np.ndarray],
    repeats: int,
) -> dict[str, float]:
    """Returns the nanoseconds a row above the scan, of the fastest run: a stream needs a second
    processor, which other processes may be using.
    """
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE flights (dep_delay REAL, distance REAL)")
    with connection:
        connection.executemany(
            "INSERT INTO flights VALUES (?, ?)",
            zip(*(column.tolist() for column in columns), strict=True),
        )
    selects = expressions(connection, functions, in_process)
    expected = float(np.sum(columns[0] / columns[1] * 100))
    for name, select in selects.items():
        [(total,)] = connection.execute(select).fetchall()
        if name != "scan" and not np.isclose(total, expected):
            raise RuntimeError(f"{name} in SQL gives {total}, not {expected}")
    samplers = {
        name: python_sampler(lambda select=select: connection.execute(select).fetchall())
        for name, select in selects.items()
    }
    samples = take_turns(samplers, repeats, 1, settle=0)
    connection.close()
    best = {name: min(values) for name, values in samples.items()}
    return {
        name: round((best[name] - best["scan"]) * 1e3 / len(columns[0]), 1)
        for name in selects
        if name != "scan"
    }


def measure_calls(
    functions: dict[str, udfvm.ScalarFunction], in_process: InProcess, calls: int
) -> dict[str, float]:
    """Returns the microseconds of a call, and of a bare exit."""
    samplers: dict[str, Sampler] = {
        "exit": vmm.measure_exits,
        "wasmtime_in_process": python_sampler(lambda: in_process.call(12.0, 300.0)),
    }
    for name, function in functions.items():
        samplers[name] = python_sampler(lambda function=function: function(12.0, 300.0))
    for sampler in samplers.values():
        sampler(min(calls, 500))
    samples = take_turns(samplers, ROUNDS, max(1, calls // ROUNDS))
    return {name: quantiles(values)["p50"] for name, values in samples.items()}


def measure_batches(
    functions: dict[str, udfvm.ScalarFunction],
    in_process: InProcess,
    columns: list[np.ndarray],
    repeats: int,
) -> dict[str, float]:
    """Returns the nanoseconds a row."""
    ways: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
        name: (function, columns) for name, function in functions.items()
    }
    ways["wasmtime_in_process"] = in_process.over, [column[:IN_PROCESS_ROWS] for column in columns]
    for name, (way, given) in ways.items():
        if not np.array_equal(way(*given), given[0] / given[1] * 100):
            raise RuntimeError(f"{name}: a batch gives other results than numpy")
    samplers = {
        name: python_sampler(lambda way=way, given=given: way(*given))
        for name, (way, given) in ways.items()
    }
    samples = take_turns(samplers, repeats, 1, settle=1)
    return {
        name: round(quantiles(values)["p50"] * 1e3 / len(ways[name][1][0]), 2)
        for name, values in samples.items()
    }


# ---- The C loop itself ----


def host_passes(directory: Path) -> Any:
    made = directory / "passes.so"
    subprocess.run(
        ["gcc", *FLAGS, "-x", "c", "-", "-o", str(made)], input=HOST_PASSES, text=True, check=True
    )
    function = ctypes.CDLL(str(made)).passes
    function.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_long,
        ctypes.c_int,
    )
    function.restype = None
    return function


def measure_body(columns: list[np.ndarray], repeats: int, directory: Path) -> dict[str, float]:
    host = host_passes(directory)
    output = np.empty_like(columns[0])
    pointers = [array.ctypes.data for array in (*columns, output)]
    samplers: dict[str, Sampler] = {}
    for count in (1, PASSES):
        in_vm = udfvm.from_c(
            C_PASSES, "passes", name=f"passes_{count}", flags=(f"-DPASSES={count}",)
        )
        if not np.array_equal(in_vm(*columns), columns[0] / columns[1] * 100):
            raise RuntimeError("the loop in the VM gives other results than numpy")
        samplers[f"vm_{count}"] = python_sampler(lambda in_vm=in_vm: in_vm(*columns))
        samplers[f"host_{count}"] = python_sampler(
            lambda count=count: host(*pointers, len(output), count)
        )
    samples = take_turns(samplers, repeats, 4, settle=1)
    # The fastest runs, because a difference of medians has the noise of both.
    best = {name: min(values) for name, values in samples.items()}
    vm, in_process = (
        (best[f"{where}_{PASSES}"] - best[f"{where}_1"]) / (PASSES - 1) for where in ("vm", "host")
    )
    return {
        "vm_us": round(vm, 1),
        "host_us": round(in_process, 1),
        "times_host": round(vm / in_process, 3),
    }


def measure(rows: int, sql_rows: int, calls: int, repeats: int, directory: Path) -> dict[str, Any]:
    """Returns all figures."""
    random = np.random.default_rng(0)
    columns = [random.uniform(-20, 200, rows), random.uniform(80, 5000, rows)]
    figures: dict[str, Any] = {}
    functions = {}
    for declare in LANGUAGES:
        name = declare.__name__
        functions[name], figures[name] = built(declare, min(repeats, 5))
    in_process = InProcess()
    figures["wasmtime_in_process"] = in_process.figures
    times = measure_calls(functions, in_process, calls)
    batches = measure_batches(functions, in_process, columns, repeats)
    in_sql = measure_sql(functions, in_process, [column[:sql_rows] for column in columns], repeats)
    for name, figure in figures.items():
        figure["call_us"] = times[name]
        figure["call_times_exit"] = round(times[name] / times["exit"], 3)
        figure["batch_ns_per_row"] = batches[name]
        figure["sql_ns_per_row"] = in_sql[name]
    body = measure_body(columns, repeats, directory)
    return {
        **figures,
        "c_body": body,
        "exit_us": times["exit"],
        "rows": rows,
        "sql_rows": sql_rows,
        "calls": calls,
        "repeats": repeats,
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of a batch.")
@click.option("--sql-rows", default=50_000, show_default=True, help="Rows in SQL.")
@click.option("--calls", default=3000, show_default=True, help="Fresh calls of each kind.")
@click.option(
    "--repeats", default=9, show_default=True, help="Batches and statements of each kind."
)
def main(as_json: bool, rows: int, sql_rows: int, calls: int, repeats: int) -> None:
    """Measures a function in each language."""
    with tempfile.TemporaryDirectory(prefix="udfvm-bench-") as name:
        os.environ["UDFVM_CACHE"] = str(Path(name) / "cache")  # the builds are measured too
        result = measure(rows, sql_rows, calls, repeats, Path(name))
    if as_json:
        json.dump(result, sys.stdout)
        print()
        return
    for name, value in result.items():
        print(f"{name:20} {value}")


if __name__ == "__main__":
    main()
