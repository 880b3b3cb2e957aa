"""Generates the names of types in the signatures of functions in a database, for the SQLite
extension, from ``udfvm/types/type_names.py``: initialisers of ``struct type_name``.

Usage: sqlite_type_names.py type_names.py target
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

# The types of values in SQL, by pyarrow's names, and their numbers in the ABI.
TYPES = {
    "int64": "INT64",
    "double": "FLOAT64",
    "string": "TEXT",
    "binary": "BLOB",
    "bool": "BOOL",
}


def initialisers(short_names: dict[str, str]) -> str:
    """Returns a line for each name that is of a type of SQL."""
    names = {**{name: name for name in TYPES}, **short_names}
    return "".join(
        f'{{ "{name}", UDFVM_TYPE_{TYPES[arrow]}, false }},\n'
        for name, arrow in names.items()
        if arrow in TYPES
    )


def main(source: str, target: str) -> None:
    Path(target).write_text(initialisers(runpy.run_path(source)["SHORT_NAMES"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
