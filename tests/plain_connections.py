"""Connections of the standard library's sqlite3 that load no extensions, on any Python."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from udfvm.sqlite._loading import is_plain


class Plain(sqlite3.Connection):
    """As in a Python that was built without support for extensions."""

    @property
    def load_extension(self) -> Any:  # type: ignore[override, unused-ignore]
        raise AttributeError("load_extension")


def connect(path: str | Path = ":memory:", **options: Any) -> sqlite3.Connection:
    connection = sqlite3.connect(path, factory=Plain, **options)
    assert is_plain(connection)
    return connection
