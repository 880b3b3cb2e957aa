"""One scan of a dataset whose projection is a function: ``python bench/scan.py FILE BODY WAY``
prints one JSON object. A process of its own, because it says how much memory that took at most.
``pipeline.py`` compares the ways.

FILE is an Arrow file with a column ``x`` of doubles. Bodies:

    light            x * 2 + 1, with numpy
    heavy            exp(sin(x)), with numpy
    branchy          branches on the number, in pure Python

Ways:

    pyarrow          the body as a scalar function of pyarrow, in this process
    vm               the body as a function of micro-VMs

``seconds`` is the median of ``--repeats`` scans after the first, ``first`` the first one; ``mib``
the largest resident memory of the process; ``digest`` stands for the values of the result.
"""

from __future__ import annotations

import hashlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds


def light(x: np.ndarray) -> np.ndarray:
    return x * 2 + 1


def heavy(x: np.ndarray) -> np.ndarray:
    return np.exp(np.sin(x))


def branchy(x: float) -> float:
    if x > 0.75:
        return x * x
    if x > 0.5:
        return x - 0.25
    return 0.25 - x if x > 0.25 else 0.0


BODIES: dict[str, Callable[..., Any]] = {
    body.__name__: body
    for body in (light, heavy, branchy)  # type: ignore[attr-defined]
}


def by_pyarrow(body: Callable[..., Any]) -> pc.Expression:
    def call(_context: Any, column: pa.Array) -> pa.Array:
        if body is branchy:
            return pa.array(map(body, column.to_pylist()), pa.float64())
        return pa.array(body(column.to_numpy()))

    text = {"summary": "in this process", "description": "in this process"}
    pc.register_scalar_function(call, "in_process", text, {"x": pa.float64()}, pa.float64())
    return pc.Expression._call("in_process", [ds.field("x")])


def by_vms(body: Callable[..., Any]) -> pc.Expression:
    import udfvm

    function = (
        udfvm.udf(body)
        if body is branchy
        else udfvm.udf(
            body,
            vectorized=True,
            elementwise=True,
            input_types=["double"],
            output_type="double",
        )
    )
    return function.expr(ds.field("x"))


def digest_of(table: pa.Table) -> str:
    found = hashlib.sha256()
    for chunk in table["y"].chunks:
        found.update(chunk.to_numpy().tobytes())
    return found.hexdigest()


@click.command(help=__doc__)
@click.argument("file", type=click.Path(exists=True))
@click.argument("body", type=click.Choice(list(BODIES)))
@click.argument("way", type=click.Choice(["pyarrow", "vm"]))
@click.option("--repeats", default=3, show_default=True, help="Scans after the first.")
def main(file: str, body: str, way: str, repeats: int) -> None:
    """Scans, and prints what that took."""
    columns = {"y": (by_pyarrow if way == "pyarrow" else by_vms)(BODIES[body])}
    dataset = ds.dataset(file, format="ipc")
    times = []
    digest = ""
    for _ in range(repeats + 1):
        started = time.perf_counter()
        made = dataset.to_table(columns=columns)
        times.append(time.perf_counter() - started)
        digest = digest or digest_of(made)
        del made
    result = {
        "seconds": round(statistics.median(times[1:]), 4),
        "first": round(times[0], 4),
        "mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "digest": digest,
    }
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
