"""What the tests of stored functions share."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

import udfvm
import udfvm.sqlite
from udfvm.sqlite import Policy

ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


MAKER = Policy(allow_create=True)


def opened(path: Path | str, policy: Policy | None = MAKER) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    udfvm.sqlite.register(connection, policy=policy)
    return connection


def created(
    connection: apsw.Connection, name: str, source: str, signature: str, *options: str
) -> int:
    marks = ", ?" * len(options)
    [(version,)] = connection.execute(
        f"SELECT vm_create(?, 'python', ?, ?{marks})", (name, source, signature, *options)
    ).fetchall()
    return version


def error_of(connection: apsw.Connection, sql: str, *bindings: object) -> str:
    with pytest.raises(apsw.Error) as caught:
        connection.execute(sql, bindings).fetchall()
    assert connection.execute("SELECT 7").fetchall() == [(7,)], "the connection stays usable"
    return str(caught.value)


TABLE = (
    "CREATE TABLE udfvm_functions (name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, language TEXT NOT"
    " NULL, signature TEXT NOT NULL, options TEXT NOT NULL, source BLOB NOT NULL, version INTEGER"
    " NOT NULL, created TEXT NOT NULL)"
)
