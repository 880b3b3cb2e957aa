"""Table functions: ``vm_table``, and under their own names."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest
from batch_functions import NUMBERS, Query, batches, odd_rows, points, words

import udfvm
import udfvm.sqlite


def test_table_functions(query: Query) -> None:
    expected = [("to", 0), ("be", 3), ("or", 6)]
    assert query("SELECT word, at FROM words('to be or')") == expected
    assert query("SELECT * FROM words(?)", "to be or") == expected
    assert query("SELECT * FROM vm_table('words', 'to be or')") == expected
    assert query("SELECT c1 FROM vm_table('words', 'a b') WHERE c2 > 0") == [("b",)]
    assert query("SELECT * FROM words(NULL)") == query("SELECT * FROM words('')") == []
    assert query("SELECT t.id, p.n FROM t, points(t.id) p WHERE t.id < 3") == [
        (1, 0),
        (2, 0),
        (2, 1),
    ]
    # An argument can be read, as a hidden column.
    assert query("SELECT text FROM words('x')") == [("x",)]


def test_table_functions_of_many_rows(query: Query) -> None:
    assert query("SELECT * FROM points(40000)") == [
        (i, i / 2 if i % 3 else None) for i in range(40_000)
    ]
    assert query("SELECT count(*), sum(x), max(s) FROM batches(7)") == [
        (7000, sum(range(1000)) * 7 + 21000.0, "6:999")
    ]


def test_table_function_runs_as_far_as_rows_are_asked_for(query: Query) -> None:
    assert query("SELECT n FROM points(1000000000000) LIMIT 2") == [(0,), (1,)]
    assert next(points(10**12)) == (0, None)


def test_large_rows_come_in_several_replies(query: Query) -> None:
    assert query("SELECT size, length(data) FROM large(40)") == [(i, 3 << 20) for i in range(40)]


def test_rows_of_any_form(query: Query) -> None:
    for form in ("mappings", "values"):
        assert query("SELECT value FROM odd_rows(?)", form) == [(1,), (None,)]
    assert query("SELECT value FROM odd_rows('none')") == []
    for kind, expected in {
        "wide": "TypeError: row 0: the function yielded a row of 2 values, but has one column:"
        " value",
        "unknown": "TypeError: row 0: the function yielded a value for 'other'",
        "wrong": "TypeError: row 1 that the function yielded, column 'value': expected int,"
        " got str",
        "number": "TypeError: the function returned int: a table function yields rows",
        "raises": "ZeroDivisionError",
    }.items():
        assert expected in query.error("SELECT value FROM odd_rows(?)", kind)
    assert "UDF 'words': it takes 1 argument (text); got 2" in query.error(
        "SELECT * FROM vm_table('words', 'a', 'b')"
    )
    assert "takes TEXT; got INTEGER" in query.error("SELECT * FROM words(1)")
    assert "use vm_udf or vm_map" in query.error("SELECT * FROM vm_table('ratio', 1, 2)")
    assert "no UDF named 'nobody'" in query.error("SELECT * FROM vm_table('nobody')")


def test_map_with_a_table_function(query: Query) -> None:
    source = (
        "SELECT 10, ? UNION ALL SELECT 20, '''' UNION ALL SELECT 30, NULL UNION ALL SELECT 40,"
        " ''z''"
    )
    assert query(f"SELECT key, value, value2 FROM vm_map('words', '{source}', 'a b')") == [
        (10, "a", 0),
        (10, "b", 2),
        (40, "z", 0),
    ]
    source = NUMBERS.format(300) + "SELECT i, i FROM n"
    assert query(f"SELECT key, count(*) FROM vm_map('points', '{source}') GROUP BY key") == [
        (i, i) for i in range(1, 301)
    ]


def test_table_functions_in_python() -> None:
    assert list(words("to be")) == [("to", 0), ("be", 3)]
    assert sum(batch.num_rows for batch in batches.batches(3)) == 3000
    assert pa.Table.from_batches(points.batches(n=3)).to_pydict() == {
        "n": [0, 1, 2],
        "half": [None, 0.5, 1.0],
    }
    with pytest.raises(udfvm.UDFError, match="ZeroDivisionError"):
        list(odd_rows("raises"))
    with pytest.raises(udfvm.TypeMappingError, match=r"'text' \(position 1\) is declared string"):
        list(words(5))
    assert pickle.loads(pickle.dumps(words)) is words
