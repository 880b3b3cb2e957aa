"""What popular packages need in a micro-VM: `python tests/packages/measure.py` measures those that
are installed, and writes the table of `docs/packages.md`. Packages are those of `uses.py`.

    image   of the base image and the function's layer on disk, once the sample ran
    memory  in use after a call, of all that `memory=` counts
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "packages.md"
HEAD = "| package | version | image | memory |\n| --- | --- | --- | --- |\n"
TIMEOUT = 300
MEMORY = "2GiB"
MEBIBYTE = 1 << 20


class Row(NamedTuple):
    """What a package needs, in MiB on disk and in memory."""

    package: str
    version: str
    image: int
    memory: int

    def __str__(self) -> str:
        return f"| {self.package} | {self.version} | {self.image} MiB | {self.memory} MiB |"


def on_disk(image: Any) -> int:
    """Returns the bytes of an image and its base."""
    files = [each.path for each in (image, image.base) if each is not None]
    return sum(os.stat(path).st_blocks * 512 for path in files)


def measure(use: Callable[[float], str]) -> Row:
    """Measures a package. Raises ModuleNotFoundError where it is not installed."""
    import udfvm

    expected = use(3.0)

    @udfvm.udf(memory=MEMORY, timeout=TIMEOUT, sample=(2.0,), name=use.__name__)
    def used(x: float) -> str:
        """Returns the bytes in use, and the result."""

        result = use(x)
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":") for line in file)
        total, free = (int(lines[name].split()[0]) for name in ("MemTotal", "MemFree"))
        return f"{(total - free) * 1024} {result}"

    reply = used(3.0)
    taken, _, result = reply.partition(" ")
    if result != expected:
        raise ValueError(f"{use.__name__}: {result} in a micro-VM, {expected} on the host")
    package = use.__doc__ or ""
    return Row(
        package,
        importlib.metadata.version(package),
        round(on_disk(used.image) / MEBIBYTE),
        round(int(taken) / MEBIBYTE),
    )


def written(page: str, rows: list[Row]) -> str:
    """Returns the page with another table."""
    start = page.index(HEAD) + len(HEAD)
    end = page.index("\n\n", start)
    return page[:start] + "\n".join(map(str, rows)) + page[end:]


def main() -> None:
    """Measures what is installed, and writes the table."""
    import udfvm

    sys.path.insert(0, str(ROOT / "tests"))
    from packages.uses import USES

    rows = []
    for name, use in USES.items():
        try:
            rows.append(measure(use))
        except ModuleNotFoundError as error:
            print(f"{name}: {error.name} is not installed")
        except udfvm.Error as error:
            print(f"{name}: {error}")
        else:
            print(rows[-1], flush=True)
    PAGE.write_text(written(PAGE.read_text(), rows))


if __name__ == "__main__":
    main()
