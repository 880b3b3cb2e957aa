"""Work of a soak that SQL asks for: rows, batches, tables, windows, stored functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import apsw
from soaking.checks import equal, fails_with
from soaking.functions import TIMEOUT, Functions

import udfvm.sqlite

ROWS = 400
STREAMED = 5000  # enough for vm_map to gather rows while the guest computes
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
SLUG = "def slug(text): return text.replace(' ', '-')"


@contextlib.contextmanager
def connection(functions: Functions) -> Iterator[apsw.Connection]:
    """A connection that has the functions, and may store others."""
    opened = apsw.Connection(":memory:")
    try:
        udfvm.sqlite.register(
            opened,
            *(functions.plus, functions.twice, functions.native_sum, functions.wasm_sum),
            *(functions.count_to, functions.spread, functions.fails, functions.crashes),
            *(functions.native_total, functions.native_count, functions.wasm_total),
            *(functions.wasm_count, functions.quarter),
            policy=udfvm.sqlite.Policy(allow_create=True, pool=functions.pool, row_timeout=TIMEOUT),
        )
        yield opened
    finally:
        opened.close()


def first(opened: apsw.Connection, statement: str, *parameters: object) -> Any:
    """Returns the first value that a statement gives."""
    [(value, *_), *_] = opened.execute(statement, parameters).fetchall()
    return value


def rows(functions: Functions) -> None:
    total = ROWS * (ROWS + 1)
    with connection(functions) as opened:
        for name in ("plus", "native_sum", "wasm_sum"):
            found = first(opened, f"{NUMBERS.format(ROWS)} SELECT total({name}(i, i)) FROM n")
            equal(found, float(total))
        found = first(opened, f"{NUMBERS.format(20)} SELECT total(quarter(4)) FROM n")
        equal(found, 20.0)
        unfinished = opened.cursor()
        for _ in unfinished.execute(f"{NUMBERS.format(ROWS)} SELECT plus(i, i) FROM n"):
            break
        unfinished.close()


def batches(functions: Functions) -> None:
    query = f"{NUMBERS.format(STREAMED)} SELECT i, i FROM n"
    with connection(functions) as opened:
        found = first(opened, "SELECT total(value) FROM vm_map('twice', ?)", query)
        equal(found, float(STREAMED * (STREAMED + 1)))


def tables(functions: Functions) -> None:
    with connection(functions) as opened:
        for name in ("count_to", "native_count", "wasm_count"):
            equal(first(opened, f"SELECT sum(value) FROM {name}(1000)"), 500_500)
        few = opened.execute("SELECT c1 FROM vm_table('count_to', 100000) LIMIT 3").fetchall()
        equal(few, [(1,), (2,), (3,)])


def aggregates(functions: Functions) -> None:
    numbers = NUMBERS.format(ROWS)
    with connection(functions) as opened:
        equal(first(opened, f"{numbers} SELECT spread(i) FROM n"), ROWS - 1.0)
        for name in ("native_total", "wasm_total"):
            equal(first(opened, f"{numbers} SELECT {name}(i) FROM n"), ROWS * (ROWS + 1) / 2)
        groups = opened.execute(f"{numbers} SELECT spread(i) FROM n GROUP BY i % 40").fetchall()
        equal(groups, [(ROWS - 40.0,)] * 40)
        window = f"{numbers} SELECT spread(i) OVER (ORDER BY i ROWS 3 PRECEDING) AS s FROM n"
        equal(first(opened, f"SELECT max(s) FROM ({window})"), 3.0)


def stored(functions: Functions) -> None:
    with connection(functions) as opened:
        first(opened, "SELECT vm_create('slug', 'python', ?, '(text) -> text')", SLUG)
        for _ in range(3):
            equal(first(opened, "SELECT vm_udf('slug', 'a b')"), "a-b")
        first(opened, "SELECT vm_release()")
        first(opened, "SELECT vm_drop('slug')")


def errors(functions: Functions) -> None:
    with connection(functions) as opened:
        for name, text in (("fails", "3 is too much"), ("crashes", "signal 11")):
            statement = f"{NUMBERS.format(20)} SELECT {name}(i / 7 + 1) FROM n"
            fails_with(apsw.Error, text, opened.execute(statement).fetchall)
            equal(first(opened, f"SELECT {name}(1)"), 1)


WORK: tuple[Any, ...] = (rows, batches, tables, aggregates, stored, errors)
