"""Prints the files of a folder that match patterns, one a line, because Meson has no patterns.

Usage: source_files.py folder pattern ...
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(folder: str, *patterns: str) -> None:
    for pattern in patterns:
        for path in sorted(Path(folder).glob(pattern)):
            print(path.relative_to(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
