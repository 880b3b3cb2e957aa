"""Memory of idle micro-VMs. ``python bench/density.py --json`` prints one JSON object; sizes in
MiB.

A pool opens so many VMs of an image with Python, numpy and pyarrow, makes a call in each, and
leaves them idle. What the process's memory grew by meanwhile is read from ``/proc/self/smaps`` and
shared out among the VMs; the first of them, which also brings up what they share, counts as the
others do. Huge pages and page tables of the host are in the kernel's own counters, not in smaps:
see ``available``.

    vms                VMs alive at once, each of which made a call
    private            private memory of a VM (Private_Clean + Private_Dirty)
    private_of_images  of it, pages of guest memory that are copies of the image's (those that the
                       VM wrote to)
    private_of_windows of it, windows and other memory without a file
    shared             resident pages of the image that the VMs share (Pss adds up to one copy)
    available          what the machine's available memory fell by, for each VM: kernel's share
                       included
    answered           VMs that in the end, all held at once, doubled 1,000 numbers correctly
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import numpy as np

import udfvm

MIB = 1 << 20


def mappings() -> dict[str, dict[str, int]]:
    """Returns bytes by kind of mapping ("image" or "other") and field of smaps."""
    kinds: dict[str, dict[str, int]] = {"image": {}, "other": {}}
    kind = kinds["other"]
    with open("/proc/self/smaps", encoding="utf-8") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if name and " " not in name and rest.endswith(" kB\n"):
                kind[name] = kind.get(name, 0) + int(rest[:-4]) * 1024
            elif "-" in name.split(" ")[0]:
                kind = kinds["image" if line.rstrip().endswith((".base", ".layer")) else "other"]
    return kinds


def available() -> int:
    """Returns the bytes of memory that the machine could give to processes."""
    with open("/proc/meminfo", encoding="utf-8") as lines:
        return next(
            int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")
        )


def private(kind: dict[str, int]) -> int:
    return kind["Private_Clean"] + kind["Private_Dirty"]


def measure(vms: int) -> dict[str, Any]:
    pool = udfvm.Pool(size=vms, keep=vms, keep_seconds=3600)

    warm = threading.Event()
    everyone = threading.Barrier(vms)

    def together() -> None:
        """Lets no call end before all VMs have one."""
        if warm.is_set():
            everyone.wait(timeout=600)

    @udfvm.udf(vectorized=True, packages=["numpy", "pyarrow"], pool=pool, host_functions=[together])
    def scaled(x: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        together()
        return x * 2 + 1

    scaled.prepare()
    before, free = mappings(), available()
    ready = pool.warm(scaled, vms=vms).result()
    assert ready == pool.statistics().idle == vms, pool.statistics()
    after, left = mappings(), available()
    shares = {kind: (private(after[kind]) - private(before[kind])) / vms / MIB for kind in after}
    result = {
        "vms": vms,
        "private": round(sum(shares.values()), 2),
        "private_of_images": round(shares["image"], 2),
        "private_of_windows": round(shares["other"], 2),
        "shared": round((after["image"]["Rss"] - private(after["image"])) / vms / MIB, 2),
        "available": round((free - left) / vms / MIB, 2),
    }
    warm.set()
    numbers = np.arange(1000.0)
    with pool, ThreadPoolExecutor(vms) as threads:
        replies = list(threads.map(scaled, [numbers] * vms))
    return {**result, "answered": sum(np.array_equal(y, numbers * 2 + 1) for y in replies)}


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--vms", default=100, show_default=True, help="VMs to keep alive.")
def main(as_json: bool, vms: int) -> None:
    """Prints the measurements."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("UDFVM_CACHE", directory)
        result = measure(vms)
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:19} {value}")


if __name__ == "__main__":
    main()
