"""``vm_map``: functions over the rows of a query, in batches."""

from __future__ import annotations

from typing import Any

import apsw
import pytest
from batch_functions import NUMBERS, Query


@pytest.mark.parametrize("name", ["ratio", "ratio_of_arrays"])
def test_map_joins_results_by_key(query: Query, name: str) -> None:
    assert query(
        "SELECT t.id, m.value FROM vm_map(?, 'SELECT id, a, b FROM t WHERE id <> ?', 2) m JOIN t ON"
        " t.id = m.key ORDER BY 1",
        name,
    ) == [(1, 3.0), (3, None), (4, 3.0)]


def test_map_equals_rows_over_many_batches(query: Query) -> None:
    source = NUMBERS.format(70_000) + "SELECT i, i * 1.5, i % 7 FROM n"
    rows = query(f"SELECT key, value FROM vm_map('ratio', '{source}')")
    assert rows == [(i, None if i % 7 == 0 else i * 1.5 / (i % 7)) for i in range(1, 70_001)]


def test_map_with_every_type_and_null(query: Query) -> None:
    values = (-(2**63), 0.5, "ä\0b", b"\0\xff", True)
    source = "SELECT 1, ?, ?, ?, ?, ? UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL"
    rows = query(f"SELECT value FROM vm_map('describe', '{source}', ?, ?, ?, ?, ?)", *values)
    assert rows == [(repr(values),), (repr((None,) * 5),)]
    assert query(
        "SELECT value FROM vm_map('echo_blob', 'SELECT 1, x'''' UNION ALL SELECT 2, NULL UNION ALL"
        " SELECT 3, x''00ff''')"
    ) == [
        (b"",),
        (None,),
        (b"\0\xff",),
    ]


def test_map_keys_may_be_anything(query: Query) -> None:
    keys = [None, 3, 1.5, "k", b"\0", ""]
    values = ", ".join(["(?, ''x'')"] * len(keys))
    assert query(
        f"SELECT key FROM vm_map('echo_text', 'VALUES {values}', ?, ?, ?, ?, ?, ?)", *keys
    ) == [(key,) for key in keys]


def test_map_narrow_types_and_dates(query: Query) -> None:
    assert query("SELECT value FROM vm_map('narrow', 'SELECT 1, 100, 20.7')") == [(120,)]
    assert "out of the range" in query.error(
        "SELECT value FROM vm_map('narrow', 'SELECT 1, 100, 28')"
    )
    assert "out of the range" in query.error(
        "SELECT value FROM vm_map('narrow', 'SELECT 1, 40000, 28')"
    )
    assert query("SELECT value FROM vm_map('weekday', 'SELECT 1, 0')") == [(4,)]
    assert query("SELECT value FROM vm_map('label', 'SELECT 1, ''x'', 1')") == [("x 1970-01-02",)]


def test_map_state_lives_for_the_statement(query: Query) -> None:
    for _ in range(2):
        source = NUMBERS.format(1000) + "SELECT i, i FROM n"
        assert query(f"SELECT max(value) FROM vm_map('count_rows', '{source}')") == [(1000,)]


def test_map_is_lazy(query: Query) -> None:
    """The first rows come before a later one fails."""
    source = NUMBERS.format(100_000) + "SELECT i, i FROM n"
    assert query(f"SELECT value FROM vm_map('no_sevens', '{source}') LIMIT 3") == [(1,), (2,), (3,)]
    message = query.error(f"SELECT sum(value) FROM vm_map('no_sevens', '{source}')")
    assert message.startswith("UDF 'no_sevens', row 776: ValueError: 777 has sevens")


def test_map_refuses(query: Query) -> None:
    cases = {
        "'nobody', 'SELECT 1, 2'": "vm_map: no UDF named 'nobody' is registered",
        "'gini', 'SELECT 1, 2'": "UDF 'gini' is an aggregate, which vm_map does not run: use",
        "'echo_text'": "vm_map takes the name of a UDF, a query",
        "'echo_text', 5": "the second argument must be a query",
        "'echo_text', 'DELETE FROM t'": "vm_map: the query must be a SELECT",
        "'echo_text', 'DELETE FROM t RETURNING id, a'": "vm_map: the query must be a SELECT",
        "'echo_text', 'WITH x AS (SELECT 1) DELETE FROM t RETURNING id, a'": (
            "vm_map: the query must not write"
        ),
        "'echo_text', 'PRAGMA table_info(t)'": "vm_map: the query must be a SELECT",
        "'echo_text', '  '": "vm_map: the query must be a SELECT",
        "'echo_text', 'SELECT 1, ''a''; SELECT 2'": "vm_map: the query must be one statement",
        "'echo_text', 'SELECT 1'": (
            "UDF 'echo_text' takes 1 argument, so the query must have 2 columns, a key first; it"
            " has 1"
        ),
        "'echo_text', 'SELECT 1, ?'": "vm_map: the query has 1 parameter; got 0",
        "'echo_text', 'SELECT 1, ''a''', 3": "vm_map: the query has 0 parameters; got 1",
        "'echo_text', 'SELECT 1, missing'": "vm_map: in the query: no such column: missing",
        "'echo_text', 'SELECT 1, 2'": (
            "UDF 'echo_text', row 0: argument 'text' (position 1) takes TEXT; got INTEGER"
        ),
        "'echo_text', 'SELECT 1, CAST(x''ff'' AS TEXT)'": (
            "argument 'text' (position 1) is TEXT that is not valid UTF-8"
        ),
    }
    for arguments, expected in cases.items():
        assert expected in query.error(f"SELECT * FROM vm_map({arguments})"), arguments
    assert query("SELECT count(*) FROM t") == [(4,)]
    assert query(
        "SELECT value FROM vm_map('echo_text', '/* a comment */ SELECT 1, ''a''; -- and one"
        " behind')"
    ) == [("a",)]


def test_map_timeout_leaves_the_connection_usable(query: Query) -> None:
    source = NUMBERS.format(5) + "SELECT i, i FROM n"
    assert (
        "the call did not end within 0.5 s: none of its 5 rows has a result; raise timeout= if"
    ) in query.error(f"SELECT * FROM vm_map('stuck', '{source}')")
    assert query("SELECT value FROM vm_map('stuck', 'SELECT 1, 1')") == [(1,)]


def test_map_passes_the_authorizer_and_no_schema_can_use_it(query: Query) -> None:
    def authorizer(action: int, first: str | None, *_: Any) -> int:
        return apsw.SQLITE_DENY if action == apsw.SQLITE_READ and first == "t" else apsw.SQLITE_OK

    query.connection.authorizer = authorizer
    try:
        assert "prohibited" in query.error(
            "SELECT * FROM vm_map('ratio', 'SELECT id, a, b FROM t')"
        )
    finally:
        query.connection.authorizer = None
    query("CREATE VIEW v AS SELECT * FROM vm_map('echo_text', 'SELECT 1, ''a''')")
    query("CREATE VIEW w AS SELECT * FROM words('a b')")
    try:
        assert "unsafe use of virtual table" in query.error("SELECT * FROM v")
        assert "unsafe use of virtual table" in query.error("SELECT * FROM w")
    finally:
        query("DROP VIEW v")
        query("DROP VIEW w")


def test_interleaved_maps(query: Query) -> None:
    source = NUMBERS.format(5000) + "SELECT i, i FROM n"
    pairs = zip(
        query.connection.execute(f"SELECT value FROM vm_map('count_rows', '{source}')"),
        query.connection.execute(
            f"SELECT value, value FROM vm_map('count_rows', '{source} ORDER BY 1 DESC')"
        ),
        strict=True,
    )
    assert all(one == two for (one,), (two, _) in pairs)
    nested = "SELECT key, value FROM vm_map(''count_rows'', ''SELECT id, id FROM t'')"
    assert query(f"SELECT value FROM vm_map('count_rows', '{nested}')") == [(1,), (2,), (3,), (4,)]
