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


@udfvm.udf
def mixed(way: int) -> dict[str, object]:
    import datetime

    import numpy as np

    day = datetime.date(2020, 1, 2)
    if way == 0:
        return {"date": day, "at": [datetime.datetime(2020, 1, 2, 3)], "bytes": b"\x0a", "n": None}
    if way == 1:
        return {"number": np.float64(1.5), "array": np.arange(3)}
    return {"fine": 1, "list": [{1: "a", "1": "b"}] if way == 2 else [1, {2}]}


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
    for way, message in (
        (1, "not JSON compliant"),
        (2, "expected a dictionary or a list of pairs"),
    ):
        with pytest.raises(apsw.SQLError, match=f"UDF 'not_json', row 0: .*{message}"):
            connection.execute("SELECT not_json(?)", (way,)).fetchall()
    assert split("a b") == {"first": "a", "rest": ["b"]}
    assert tally(pa.array(["b"])) == {"b": 1}
    connection.close()


def test_values_that_json_does_not_have() -> None:
    assert mixed(0) == {
        "date": "2020-01-02",
        "at": ["2020-01-02T03:00:00"],
        "bytes": "0A",
        "n": None,
    }
    assert mixed(1) == {"number": 1.5, "array": [0, 1, 2]}
    with pytest.raises(udfvm.UDFError, match=r"in \['list'\]\[0\]: the key 1 is int, not text"):
        mixed(2)
    with pytest.raises(udfvm.UDFError, match=r"in \['list'\]\[1\]: .*set"):
        mixed(3)
