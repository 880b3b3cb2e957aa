"""Aggregates and window functions: ``vm_agg``, and under their own names."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from batch_functions import NUMBERS, Query, fails, gini, joined, total

import udfvm
import udfvm.sqlite


def gini_of(values: list[float]) -> float:
    ordered = sorted(values)
    return sum((2 * i - len(ordered) + 1) * value for i, value in enumerate(ordered)) / (
        len(ordered) * sum(ordered)
    )


def test_aggregates_by_group(query: Query) -> None:
    sql = (
        NUMBERS.format(10_000)
        + "SELECT i % 3000 AS g, vm_agg('gini', i * 1.0), gini(i), total(i), count(*) FROM n GROUP"
        " BY g ORDER BY g"
    )
    rows = query(sql)
    for g, by_name, own, summed, _ in rows:
        values = [float(i) for i in range(1, 10_001) if i % 3000 == g]
        assert by_name == own == pytest.approx(gini_of(values))
        assert summed == sum(values)
    assert len(rows) == 3000


def test_groups_share_a_vm_in_one_statement_and_no_longer(query: Query) -> None:
    for _ in range(2):
        assert query(
            NUMBERS.format(50)
            + "SELECT max(x) FROM (SELECT groups_alive(i) AS x FROM n GROUP BY i % 10)"
        ) == [(10,)]


def test_nulls_and_empty_groups(query: Query) -> None:
    assert query("SELECT gini(a), joined(a, ',') FROM (SELECT NULL AS a)") == [(None, ",-")]
    assert query("SELECT gini(1.0), total(1.0), joined('', '') FROM t WHERE 0") == [(None, 0.0, "")]
    assert query("SELECT vm_agg('gini', 1.0) FROM t WHERE 0") == [(None,)]
    assert query("SELECT gini(a) FILTER (WHERE id <> 2) FROM t") == [
        (pytest.approx(gini_of([6.0, 9.0])),)
    ]
    assert query("SELECT sum(x) FROM (SELECT total(a) AS x FROM t GROUP BY id)") == [(16.0,)]


@pytest.mark.parametrize("function", ["middle(v)", "vm_agg('middle', v)", "total(v)"])
@pytest.mark.parametrize(
    ("frame", "before", "after"),
    [
        ("ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", 2, 0),
        ("ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING", 1, 2),
        ("RANGE 3 PRECEDING", 3, 0),
        ("GROUPS BETWEEN 2 FOLLOWING AND 4 FOLLOWING", -2, 4),
    ],
)
def test_windows(query: Query, function: str, frame: str, before: int, after: int) -> None:
    source = (
        "WITH d(i, v) AS (SELECT value, (value * 37 % 11) * 1.0 FROM ("
        + NUMBERS.format(60)
        + "SELECT i AS value FROM n)) "
    )
    values = [row[0] for row in query(source + "SELECT v FROM d ORDER BY i")]
    found = [
        row[0]
        for row in query(source + f"SELECT {function} OVER (ORDER BY i {frame}) FROM d ORDER BY i")
    ]
    for i, value in enumerate(found):
        window = values[max(0, i - before) : i + after + 1]
        middle_one = sorted(window)[len(window) // 2] if window else None
        assert value == (sum(window) if function.startswith("total") else middle_one)


def test_finish_is_called_again_only_when_rows_came(query: Query) -> None:
    @udfvm.aggregate
    class calls:
        def __init__(self) -> None:
            self.rows = self.calls = 0

        def step(self, value: int | None, width: int) -> None:
            self.rows += 1

        def inverse(self, value: int | None, width: int) -> None:
            self.rows -= 1

        def finish(self) -> str:
            self.calls += 1
            return f"{self.rows} {self.calls}" + " " * 10

    udfvm.sqlite.register(query.connection, calls)
    try:
        for name in ("calls(", "vm_agg('calls', "):
            found = query(
                NUMBERS.format(6)
                + f"SELECT {name}i, 1) OVER (PARTITION BY i % 2),"
                + f" {name}i, 1) OVER (ORDER BY i / 4),"
                + f" {name}i, 1) OVER (ORDER BY i ROWS 1 PRECEDING) FROM n ORDER BY i"
            )
            assert [tuple(text.strip() for text in row) for row in found] == [
                ("3 1", "3 1", "1 1"),
                ("3 1", "3 1", "2 2"),
                ("3 1", "3 1", "2 3"),
                ("3 1", "6 2", "2 4"),
                ("3 1", "6 2", "2 5"),
                ("3 1", "6 2", "2 6"),
            ]
    finally:
        udfvm.sqlite.unregister(query.connection, calls)


@pytest.mark.parametrize("length", [1, 150, 184, 185, 300, 100_000])
def test_values_of_any_length_serve_a_whole_partition(query: Query, length: int) -> None:
    texts = query(
        NUMBERS.format(4)
        + f"SELECT joined(printf('%.*c', {length}, char(96 + i)), '') OVER (PARTITION BY i % 2)"
        " FROM n ORDER BY i"
    )
    odd, even = ("".join(each * length for each in letters) for letters in ("ac", "bd"))
    assert [text for (text,) in texts] == [odd, even, odd, even]


def test_windows_without_inverse(query: Query) -> None:
    running = query(NUMBERS.format(5) + "SELECT gini(i) OVER (ORDER BY i) FROM n")
    assert [row[0] for row in running] == [
        pytest.approx(gini_of([float(k) for k in range(1, i + 1)])) for i in range(1, 6)
    ]
    assert "UDF 'gini': has no inverse(), so it cannot serve a window that moves" in query.error(
        NUMBERS.format(5) + "SELECT gini(i) OVER (ORDER BY i ROWS 1 PRECEDING) FROM n"
    )
    assert query("SELECT gini(a) FROM t WHERE id = 1") == [(0.0,)]


def test_failing_aggregates(query: Query) -> None:
    assert query.error(NUMBERS.format(10) + "SELECT fails(i) FROM n").startswith(
        "UDF 'fails', row 4: ValueError: five"
    )
    message = query.error(NUMBERS.format(4) + "SELECT i % 2 AS g, fails(i) FROM n GROUP BY g")
    assert message.startswith("UDF 'fails': LookupError: no value")
    assert "takes INTEGER; got TEXT" in query.error("SELECT fails('x')")
    assert "vm_agg: no UDF named 'nobody' is registered" in query.error(
        "SELECT vm_agg('nobody', 1)"
    )
    assert "use vm_udf or vm_map" in query.error("SELECT vm_agg('ratio', 1, 2)")
    assert "it takes 1 argument (value); got 2" in query.error("SELECT vm_agg('gini', 1, 2)")
    assert "the first argument must be the name" in query.error("SELECT vm_agg()")
    assert query("SELECT gini(a) FROM t WHERE id = 1") == [(0.0,)]


def test_aggregate_abandoned_by_limit(query: Query) -> None:
    assert (
        len(query(NUMBERS.format(1000) + "SELECT i % 100, gini(i) FROM n GROUP BY 1 LIMIT 1")) == 1
    )
    cursor = query.connection.execute(
        NUMBERS.format(1000) + "SELECT total(i) OVER (ORDER BY i) FROM n"
    )
    assert next(cursor) == (1.0,)
    cursor.close()
    assert query("SELECT total(a) FROM t") == [(16.0,)]


def test_aggregates_in_python() -> None:
    values = np.random.default_rng(7).random(300_000)
    ordered = np.sort(values)
    count = len(values)
    expected = ((2 * np.arange(count) - count + 1) * ordered).sum() / (count * ordered.sum())
    assert gini(values) == pytest.approx(expected)  # enough rows for two micro-VMs and merge()
    assert gini(pa.chunked_array([[1.0, None], [3.0]])) == pytest.approx(gini_of([1.0, 3.0]))
    assert total(values) == pytest.approx(values.sum())
    assert joined(pa.array(["a", None]), "/") == "/a/-"
    with pytest.raises(udfvm.UDFError, match="row 4: ValueError: five"):
        fails(np.arange(1, 9))
    with pytest.raises(udfvm.TypeMappingError, match="called with columns"):
        gini(1.0)
    assert pickle.loads(pickle.dumps(gini)) is gini


def test_flights(query: Query, flights_db: Path) -> None:
    query(f"ATTACH '{flights_db}' AS f")
    try:
        source = "SELECT rowid, dep_delay, distance FROM f.flights"
        sums = query(f"SELECT sum(value), count(*), count(value) FROM vm_map('ratio', '{source}')")
        assert sums == [
            (
                pytest.approx(query("SELECT sum(dep_delay * 1.0 / distance) FROM f.flights")[0][0]),
                336_776,
                328_521,
            )
        ]
        assert query("SELECT carrier, total(distance) FROM f.flights GROUP BY carrier") == query(
            "SELECT carrier, sum(distance) * 1.0 FROM f.flights GROUP BY carrier"
        )
    finally:
        query("DETACH f")


def test_init_without_arguments_is_checked_at_declaration() -> None:
    class Total:
        def __init__(self, start: int) -> None:
            self.total = start

        def step(self, x: int) -> None:
            self.total += x

        def finish(self) -> int:
            return self.total

    with pytest.raises(udfvm.SignatureError, match="give 'start' a default"):
        udfvm.aggregate(Total)
