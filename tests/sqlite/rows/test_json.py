"""Dictionaries and lists as JSON."""

from __future__ import annotations

from typing import TypedDict

import apsw
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite


class Split(TypedDict):
    first: str
    rest: list[str]


@udfvm.udf
def split(text: str) -> Split | None:
    words = text.split()
    return {"first": words[0], "rest": words[1:]} if words else None


@udfvm.udf
def letters(text: str) -> list[str]:
    return list(text)


@udfvm.udf
def not_json(way: int) -> dict[str, float]:
    return {"x": float("nan")} if way == 1 else [1].append  # type: ignore[return-value]


@udfvm.aggregate
class tally:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def step(self, word: str) -> None:
        self.counts[word] = self.counts.get(word, 0) + 1

    def finish(self) -> dict[str, int]:
        return self.counts


def test_dictionaries_and_lists_are_json() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, split, letters, tally, not_json)
    rows = "(SELECT 'é' AS a UNION ALL SELECT 'b' UNION ALL SELECT 'é')"
    for sql, expected in {
        "SELECT split('a b'), split('')": ('{"first":"a","rest":["b"]}', None),
        "SELECT split('a b') ->> 'first', json_array_length(letters('xyz'))": ("a", 3),
        "SELECT json_array(split('a'), vm_udf('letters', 'é'), split(''))": (
            '[{"first":"a","rest":[]},["é"],null]',
        ),
        "SELECT json_array(value), value ->> 'first' FROM vm_map('split', 'SELECT 1, ''a''')": (
            '[{"first":"a","rest":[]}]',
            "a",
        ),
        f"SELECT json_array(tally(a)), vm_agg('tally', a) ->> 'é' FROM {rows}": (
            '[{"é":2,"b":1}]',
            2,
        ),
        "SELECT signature FROM vm_functions WHERE name = 'split'": ("(text text) -> json",),
    }.items():
        assert connection.execute(sql).fetchall() == [expected]
    for way, message in ((1, "not JSON compliant"), (2, "not JSON serializable")):
        with pytest.raises(apsw.SQLError, match=f"UDF 'not_json', row 0: .*{message}"):
            connection.execute("SELECT not_json(?)", (way,)).fetchall()
    assert split("a b") == {"first": "a", "rest": ["b"]}
    assert tally(pa.array(["b"])) == {"b": 1}
    connection.close()
