"""Where commands read and write: ``-``, ``app.db::table``, or the path of a file whose suffix says
the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

STANDARD: Final = "-"
_TABLE: Final = "::"
_FORMATS: Final = {
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Place(NamedTuple):
    """Where rows are: ``table`` of a database, else a file, or standard input or output.

    ``format`` is "csv", "arrow", "parquet" or "sqlite"; for standard input and output it may be
    empty: not known yet.
    """

    text: str
    format: str
    table: str | None = None

    @property
    def is_standard(self) -> bool:
        """Whether it is standard input or output."""
        return self.text == STANDARD and self.table is None

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.text)

    def __str__(self) -> str:
        return self.text if self.table is None else f"{self.text}{_TABLE}{self.table}"


def place_of(text: str, format_: str | None) -> Place:
    """Takes the text of a place apart. ``format_`` is that of ``--format``, which files have
    whose suffix tells none.
    """
    path, separator, table = text.rpartition(_TABLE)
    if separator and path and table and not Path(text).exists():
        return Place(path, "sqlite", table)
    if text == STANDARD:
        return Place(text, format_ or "")
    return Place(text, _FORMATS.get(Path(text).suffix.lower()) or format_ or "parquet")


class Reading(NamedTuple):
    """How a source is read.

    Attributes:
        types: the types of the columns that are arguments, by name.
        texts: columns of CSV that are read as text.
        verbatim: True if all other columns of CSV are.
    """

    types: dict[str, pa.DataType]
    texts: Sequence[str]
    verbatim: bool
