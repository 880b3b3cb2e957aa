"""A new process whose images are in the cache imports little until its first result: each module
takes time, whether or not it is used.
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
before = set(sys.modules)
import udfvm

@udfvm.udf
def half(x: float, digits: int) -> float | None:
    return None if x < 0 else round(x / 2, digits)

assert half(3.0, 2) == 1.5
print(*(set(sys.modules) - before))
"""
# Of the standard library: what builds, failures, threads and other types need.
LARGE = {"decimal", "inspect", "json", "opcode", "pickle", "threading", "typing", "weakref"}
PACKAGES = {"cloudpickle", "numpy", "pandas", "polars", "pyarrow"}
# Of udfvm: batches, types that have parts, building.
OTHERS = {"call.chunks", "codec.record_batches", "images.cache", "load.pickling", "types.nested"}


def modules_of_a_process() -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, check=True)
    return set(done.stdout.decode().split())


def test_few_modules_are_imported() -> None:
    modules_of_a_process()  # builds the images
    found = modules_of_a_process()
    assert not found & (LARGE | PACKAGES | {f"udfvm.{name}" for name in OTHERS})
    assert len(found) < 100
