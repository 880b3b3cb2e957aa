"""What the commands that compare a suite have in common."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


def add_options(parser: argparse.ArgumentParser, parts: str, details: str) -> None:
    """Adds the options of each: ``parts`` are what runs at once, ``details`` what is told."""
    parser.add_argument("--jobs", type=int, default=2, help=f"{parts} at once")
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="keeps outcomes here, and goes on with them"
    )
    parser.add_argument("--details", action="store_true", help=f"tells the words of each {details}")


@contextlib.contextmanager
def results_folder(wanted: Path | None, prefix: str) -> Iterator[Path]:
    """The folder that keeps outcomes: the wanted one, or one that is removed at the end."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix=prefix) as made:
        yield Path(made)
