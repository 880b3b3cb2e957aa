"""Batches without a program that registers, and within the limits of a statement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from batch_functions import NUMBERS, Query, _seen, middle, ratio, ratio_of_arrays, words

import udfvm
import udfvm.sqlite
from udfvm.sqlite import _extension, sealed


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A connection with the extension alone, as the sqlite3 shell has it."""
    connection = apsw.Connection(str(tmp_path / "bare.db"))
    connection.enable_load_extension(True)
    connection.load_extension(str(_extension.PATH), _extension.ENTRY_POINT)
    yield connection
    connection.close()


def test_sealed_functions_of_every_kind(bare: apsw.Connection) -> None:
    for udf in (ratio, ratio_of_arrays, words, middle):
        sealed.seal(udf)
    query = Query(bare)
    for name in ("ratio", "ratio_of_arrays"):
        assert query("SELECT key, value FROM vm_map(?, 'SELECT 1, 6, 2')", name) == [(1, 3.0)]
    assert query("SELECT c1, c2 FROM vm_table('words', 'a b')") == [("a", 0), ("b", 2)]
    assert query("SELECT value, value2 FROM vm_map('words', 'SELECT 1, ''a b''')") == [
        ("a", 0),
        ("b", 2),
    ]
    assert query(NUMBERS.format(5) + "SELECT vm_agg('middle', i) FROM n") == [(3.0,)]
    assert query("SELECT vm_attach('words'), vm_attach('middle')") == [("words", "middle")]
    assert query("SELECT word FROM words('a b') WHERE at = 2") == [("b",)]
    assert query(
        NUMBERS.format(4) + "SELECT middle(i) OVER (ORDER BY i ROWS 1 PRECEDING) FROM n"
    ) == [(1.0,), (2.0,), (3.0,), (4.0,)]


def test_stored_functions_in_batches() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, policy=udfvm.sqlite.Policy(languages=("python",), allow_create=True)
    )
    query = Query(connection)
    query("SELECT vm_create('twice', 'python', 'def twice(a): return a * 2', '(a int) -> int')")
    source = NUMBERS.format(1000) + "SELECT i, i FROM n"
    assert query(f"SELECT sum(value) FROM vm_map('twice', '{source}')") == [(1001 * 1000,)]
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM vm_map('stuck_for_long', 'SELECT 1, 5')",
        "SELECT * FROM rows_for_ever()",
        "SELECT never(1)",
    ],
    ids=["map", "table", "aggregate"],
)
def test_interrupts_and_statement_timeouts(statement: str) -> None:
    @udfvm.udf
    def stuck_for_long(i: int) -> int:
        while i > 2:
            pass
        return i

    @udfvm.table_function(columns={"value": int})
    def rows_for_ever() -> Iterator[int]:
        while True:
            if _seen.get("never"):
                yield 1

    @udfvm.aggregate
    class never:
        def step(self, value: int) -> None:
            while value:
                pass

        def finish(self) -> int:
            return 1

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection,
        stuck_for_long,
        rows_for_ever,
        never,
        policy=udfvm.sqlite.Policy(statement_timeout=0.3),
    )
    query = Query(connection)
    assert "the statement did not end within 0.3 s" in query.error(statement)
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy())
    connection.set_progress_handler(lambda: True, 1000)
    with pytest.raises(apsw.InterruptError):
        query(statement)
    connection.set_progress_handler(None, 1000)
    assert query("SELECT stuck_for_long(1)") == [(1,)]
    connection.close()
