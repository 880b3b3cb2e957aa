"""What a stranger's database can hold in the place of stored functions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import apsw
import pytest
from stored_functions import MAKER, TABLE, created, error_of, opened

import udfvm
import udfvm.sqlite


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            (
                "CREATE VIEW udfvm_functions(name, language, signature, options, source) AS VALUES"
                " ('f', 'python', '() -> int', '', 'x')"
            ),
            "no UDF",
        ),
        (
            (
                "CREATE VIRTUAL TABLE udfvm_functions USING fts5(name, language, signature,"
                " options, source)"
            ),
            "no UDF",
        ),
        ("CREATE TABLE udfvm_functions (name, lonely)", "no such column"),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', x'00', '() -> int', '', 'x',"
                " 1, '')"
            ),
            "damaged",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', zeroblob(100000), '',"
                " 'x', 1, '')"
            ),
            "damaged",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '', 5,"
                " 1, '')"
            ),
            "damaged",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '', x'',"
                " 1, '')"
            ),
            "damaged",
        ),
        (
            f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '(((', '', 'x', 1, '')",
            "its signature",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int',"
                " 'entry=\"}', 'x', 1, '')"
            ),
            "its options",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '',"
                " 'import os; os.abort()', 1, '')"
            ),
            "ABRT|signal",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'python', '() -> int', '',"
                " zeroblob(20000000), 1, '')"
            ),
            "allows",
        ),
        (
            (
                f"{TABLE}; INSERT INTO udfvm_functions VALUES ('f', 'native', '() -> int', '',"
                " x'7f454c46', 1, '')"
            ),
            "ImportError",
        ),
    ],
)
def test_hostile_tables(tmp_path: Path, sql: str, expected: str) -> None:
    stranger = apsw.Connection(str(tmp_path / "stranger.db"))
    stranger.execute(sql)
    stranger.close()
    connection = opened(tmp_path / "stranger.db")
    with pytest.raises(apsw.Error, match=expected):
        connection.execute("SELECT vm_udf('f')").fetchall()
    if "lonely" not in sql:
        connection.execute("SELECT * FROM vm_functions").fetchall()
    if "CREATE TABLE" not in sql:
        assert "not an ordinary table" in error_of(
            connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
        )
    connection.close()


@pytest.mark.parametrize(
    "use",
    [
        "vm_udf('f')",
        "vm_create('g', 'python', 'def g(): return 1', '() -> int')",
        "vm_drop('f')",
        "vm_policy('languages')",
        "vm_attach('f')",
        "(SELECT name FROM vm_functions)",
    ],
)
def test_a_schema_can_use_none_of_it(tmp_path: Path, use: str) -> None:
    connection = opened(tmp_path / "stranger.db")
    created(connection, "f", "def f(): return 1", "() -> int")
    connection.execute("CREATE TABLE t(a)")
    connection.execute(f"CREATE VIEW v AS SELECT {use} AS x")
    connection.execute(f"CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT {use}; END")
    assert "unsafe use of" in error_of(connection, "SELECT * FROM v")
    assert "unsafe use of" in error_of(connection, "INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    connection.close()


def test_a_database_that_may_not_be_written(tmp_path: Path) -> None:
    maker = opened(tmp_path / "a.db")
    created(maker, "f", "def f(): return 1", "() -> int")
    maker.close()
    connection = apsw.Connection(str(tmp_path / "a.db"), flags=apsw.SQLITE_OPEN_READONLY)
    udfvm.sqlite.register(connection, policy=MAKER)
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(1,)]
    assert "readonly" in error_of(
        connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
    )
    connection.close()


def test_the_table_is_an_ordinary_one(tmp_path: Path) -> None:
    connection = opened(tmp_path / "a.db")
    created(connection, "f", "def f(): return 1", "() -> int")
    connection.close()
    plain = sqlite3.connect(tmp_path / "a.db")
    plain.execute(
        "UPDATE udfvm_functions SET source = replace(source, '1', '2'), version = version + 1"
    )
    plain.commit()
    plain.close()
    connection = opened(tmp_path / "a.db")
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(2,)]
    connection.close()
