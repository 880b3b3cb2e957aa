"""What a batch costs. ``python bench/arrow.py --json`` prints one JSON object; all times are taken
in one run, in turns.

Each body is a function of one column of float64, written with numpy:

    affine           x * 2 + 1, which does next to nothing: what is measured is the way there and
                     back
    heavy            numpy.exp(numpy.sin(x))

and is called in these ways with a whole column (``--rows``), in microseconds:

    host_numpy       the body itself, numpy array in and out
    host_compute     pyarrow.compute.call_function, the body registered as a scalar function of this
                     process
    vm_compute       pyarrow.compute.call_function, the body a registered UDF: one call, one fresh
                     micro-VM
    vm_array         the UDF called with a pyarrow.Array
    vm_chunked       the same with a pyarrow.ChunkedArray of eight chunks
    vm_numpy         the same with a numpy array

``times_host`` is vm_compute / host_compute. ``by_rows`` has host_compute and vm_compute of
``affine`` for batches of 1 row to all, and nanoseconds per row. ``few`` has ``affine`` called with
1,000 rows: a numpy array, a ``pyarrow.Array``, a slice of one, and by ``call_function``;
``times_numpy`` is the second by the first, ``compute_times_numpy`` the last by the first.
``vm_kernels`` is the same in kernels of pyarrow with a numpy array, and ``kernels_times_numpy``
compares that.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sampling import Sampler, python_sampler, quantiles, take_turns

ROUNDS = 5
FEW = 1000  # rows

Body = Callable[[np.ndarray], np.ndarray]


def affine(x: np.ndarray) -> np.ndarray:
    return x * 2 + 1


def heavy(x: np.ndarray) -> np.ndarray:
    return np.exp(np.sin(x))


def kernels(x: pa.DoubleArray) -> pa.Array:
    return pc.add(pc.multiply(x, 2.0), 1.0)


def registered(body: Body) -> tuple[Any, str, str]:
    """Returns a UDF of a body, and the names of two functions of pyarrow.compute: the body in this
    process, and the UDF.
    """
    import udfvm
    import udfvm.arrow

    name = body.__name__
    sample = (np.linspace(0, 1, 1000),)
    function = udfvm.udf(
        body,
        name=f"vm_{name}",
        vectorized=True,
        input_types=["double"],
        output_type="double",
        sample=sample,
    )
    udfvm.arrow.register(None, function)

    def in_process(_context: Any, column: pa.Array) -> pa.Array:
        return pa.array(body(column.to_numpy()))

    documentation = {"summary": f"{name} in this process", "description": f"{name} in this process"}
    pc.register_scalar_function(
        in_process, f"host_{name}", documentation, {"x": pa.float64()}, pa.float64()
    )
    return function, f"host_{name}", f"vm_{name}"


def compute_samplers(host: str, vm: str, column: pa.Array) -> dict[str, Sampler]:
    return {
        "host_compute": python_sampler(lambda: pc.call_function(host, [column])),
        "vm_compute": python_sampler(lambda: pc.call_function(vm, [column])),
    }


def measure_body(
    body: Body, function: Any, host: str, vm: str, values: np.ndarray, repeats: int
) -> dict[str, Any]:
    """Measures all ways to call one body with a whole column."""
    column = pa.array(values)
    step = max(1, len(values) // 8)
    chunked = pa.chunked_array([column.slice(start, step) for start in range(0, len(column), step)])
    expected = pa.array(body(values))
    for result in (
        pc.call_function(vm, [column]),
        function(column),
        function(chunked).combine_chunks(),
        pa.array(function(values)),
    ):
        if not result.equals(expected):
            raise RuntimeError(f"{body.__name__}: the results in the VM are not those of the host")
    if function(chunked).num_chunks != 1:
        raise RuntimeError(f"{len(values)} rows take more than one call")
    samplers = {
        "host_numpy": python_sampler(lambda: body(values)),
        **compute_samplers(host, vm, column),
        "vm_array": python_sampler(lambda: function(column)),
        "vm_chunked": python_sampler(lambda: function(chunked)),
        "vm_numpy": python_sampler(lambda: function(values)),
    }
    samples = take_turns(samplers, ROUNDS, max(1, repeats // ROUNDS), settle=2)
    result: dict[str, Any] = {name: quantiles(each) for name, each in samples.items()}
    result["times_host"] = round(result["vm_compute"]["p50"] / result["host_compute"]["p50"], 2)
    return result


def measure_few(function: Any, vm: str, repeats: int) -> dict[str, Any]:
    """Measures calls with few rows, which take a way of their own."""
    import udfvm

    values = np.random.default_rng(1).random(FEW)
    column = pa.array(values)
    sliced = pa.array(np.random.default_rng(1).random(FEW + 7)).slice(7)
    in_kernels = udfvm.udf(
        kernels, vectorized=True, input_types=["double"], output_type="double", sample=(values,)
    )
    if not np.array_equal(in_kernels(values), affine(values)):
        raise RuntimeError("kernels: the results in the VM are not those of the host")
    samplers = {
        "vm_numpy": python_sampler(lambda: function(values)),
        "vm_array": python_sampler(lambda: function(column)),
        "vm_slice": python_sampler(lambda: function(sliced)),
        "vm_compute": python_sampler(lambda: pc.call_function(vm, [column])),
        "vm_kernels": python_sampler(lambda: in_kernels(values)),
    }
    samples = take_turns(samplers, ROUNDS, 10 * max(1, repeats // ROUNDS), settle=20)
    result: dict[str, Any] = {name: quantiles(each) for name, each in samples.items()}
    for name, ratio in (
        ("array", "times"),
        ("compute", "compute_times"),
        ("kernels", "kernels_times"),
    ):
        result[f"{ratio}_numpy"] = round(result[f"vm_{name}"]["p50"] / result["vm_numpy"]["p50"], 2)
    return result


def measure_by_rows(values: np.ndarray, repeats: int) -> list[dict[str, float]]:
    """Measures ``affine``, which must be registered, with batches of 1 row to all of them."""
    sizes = sorted(
        {
            *(10**power for power in range(len(str(len(values)))) if 10**power <= len(values)),
            len(values),
        }
    )
    sizes = sorted({*sizes, *(3 * size for size in sizes if 3 * size < len(values))})
    figures = []
    for rows in sizes:
        samplers = compute_samplers("host_affine", "vm_affine", pa.array(values[:rows]))
        count = max(repeats, min(400, 20_000_000 // (rows + 50_000)))
        samples = take_turns(samplers, ROUNDS, max(1, count // ROUNDS), settle=3)
        entry: dict[str, float] = {"rows": rows}
        for name, each in samples.items():
            entry[f"{name}_us"] = quantiles(each)["p50"]
            entry[f"{name}_ns_per_row"] = round(quantiles(each)["p50"] * 1e3 / rows, 3)
        figures.append(entry)
    return figures


def measure(rows: int, repeats: int) -> dict[str, Any]:
    values = np.random.default_rng(0).random(rows)
    result: dict[str, Any] = {"rows": rows}
    for body in (affine, heavy):
        function, host, vm = registered(body)
        result[body.__name__] = measure_body(body, function, host, vm, values, repeats)
        if body is affine:
            result["few"] = measure_few(function, vm, repeats)
    result["by_rows"] = measure_by_rows(values, repeats)
    return result


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of the largest batch.")
@click.option("--repeats", default=30, show_default=True, help="Calls of each kind.")
def main(as_json: bool, rows: int, repeats: int) -> None:
    """Measures what a batch costs."""
    with tempfile.TemporaryDirectory(prefix="udfvm-bench-") as name:
        os.environ.setdefault("UDFVM_CACHE", str(Path(name) / "cache"))
        result = measure(rows, repeats)
    if as_json:
        json.dump(result, sys.stdout)
        print()
        return
    for body in ("affine", "heavy"):
        for name, value in result[body].items():
            print(f"{body:8} {name:14} {value}")
    for name, value in result["few"].items():
        print(f"{FEW} rows {name:14} {value}")
    for entry in result["by_rows"]:
        print(
            f"{entry['rows']:>8} rows: host {entry['host_compute_us']:>9} us, VM"
            f" {entry['vm_compute_us']:>9} us, {entry['vm_compute_ns_per_row']:>10} ns a row"
        )


if __name__ == "__main__":
    main()
