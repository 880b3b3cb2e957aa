"""Copies a module of the host for guests, where it has a name of its own: the host's package is not
installed there. It may import modules of ``udfvm.types`` that are copied too, ``udfvm.tuples``, and
``udfvm.static_typing``, in whose place guests have ``typing``.

Usage: guest_module.py source target
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(source: str, target: str) -> None:
    text = Path(source).read_text()
    text = text.replace("from udfvm.types.", "from _udfvm_")
    text = text.replace("from udfvm.static_typing ", "from typing ")
    Path(target).write_text(text.replace("from udfvm.tuples ", "from _udfvm_tuples "))


if __name__ == "__main__":
    main(*sys.argv[1:])
