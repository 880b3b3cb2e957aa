"""Names, sources and defaults of functions in SQL."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import apsw
import pytest

import udfvm
from udfvm import errors
from udfvm.sqlite import Policy


@pytest.mark.parametrize(
    "source", [b"\xef\xbb\xbfdef f(x): return x + 1\n", "\ufeffdef f(x): return x + 1\n"]
)
def test_a_byte_order_mark_is_no_part_of_a_source(source: bytes | str) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True))
    connection.execute("SELECT vm_create('f', 'python', ?, '(int) -> int')", (source,))
    assert connection.execute("SELECT vm_udf('f', 1)").fetchall() == [(2,)]


def test_names_that_differ_by_case() -> None:
    one, two = (
        udfvm.udf(lambda: 1, name="twice", output_type="int64"),
        udfvm.udf(lambda: 2, name="Twice", output_type="int64"),
    )
    again = udfvm.udf(lambda: 3, name="twice", output_type="int64")
    connection = apsw.Connection(":memory:")
    for pair in ((one, two), (one, again)):
        with pytest.raises(
            errors.SignatureError, match="are the same name in SQL, which ignores case"
        ):
            udfvm.sqlite.register(connection, *pair)
    udfvm.sqlite.register(connection, one, one)
    with pytest.raises(errors.SignatureError, match="differs from it by case alone"):
        udfvm.sqlite.register(connection, two)
    assert connection.execute("SELECT twice()").fetchall() == [(1,)]
    udfvm.sqlite.register(connection, again)
    assert connection.execute("SELECT TWICE()").fetchall() == [(3,)]


@udfvm.udf
def several(
    a: int, b: float = 0.5, c: str = "é'x", d: bytes = b"\0y", e: bool = True, f: int | None = None
) -> str:
    return repr((a, b, c, d, e, f))


WHOLE = (1, 0.5, "é'x", b"\0y", True, None)


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_defaults_in_sql(isolation: Any) -> None:
    made = udfvm.udf(isolation=isolation)(several.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, made)
    for query in ("several(1)", "vm_udf('several', 1)"):
        assert (
            connection.execute(f"SELECT {query} FROM (VALUES (1), (2))").fetchall()
            == [(repr(WHOLE),)] * 2
        )
    assert connection.execute("SELECT several(1, 2.5, 'z')").fetchall() == [
        (repr((1, 2.5, "z", *WHOLE[3:])),)
    ]
    assert connection.execute("SELECT value FROM vm_map('several', 'SELECT 0, 1')").fetchall() == [
        (repr(WHOLE),)
    ]
    assert connection.execute("SELECT several(1, 1, 'a', x'00', 0, 7)").fetchall() == [
        (repr((1, 1.0, "a", b"\0", False, 7)),)
    ]
    with pytest.raises(
        apsw.SQLError, match=r"it takes 1 to 6 arguments \(a, b=, c=, d=, e=, f=\); got 0"
    ):
        connection.execute("SELECT vm_udf('several')")
    with pytest.raises(
        apsw.SQLError, match=r"takes 1 to 6 arguments, so the query must have 2 to 7 columns, .* 1$"
    ):
        connection.execute("SELECT value FROM vm_map('several', 'SELECT 0')").fetchall()
    with pytest.raises(apsw.SQLError, match="wrong number of arguments"):
        connection.execute("SELECT several()")


def test_defaults_of_table_functions_and_aggregates_in_sql() -> None:
    @udfvm.table_function(columns={"i": int})
    def numbers(count: int = 3, step: int = 2) -> Iterator[int]:
        yield from range(0, count * step, step)

    @udfvm.aggregate
    class Weighted:
        def __init__(self) -> None:
            self.total = 0.0

        def step(self, value: float, weight: float = 10.0) -> None:
            self.total += value * weight

        def finish(self) -> float:
            return self.total

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, numbers, Weighted)
    assert connection.execute("SELECT * FROM numbers").fetchall() == [(0,), (2,), (4,)]
    assert connection.execute("SELECT * FROM numbers(2)").fetchall() == [(0,), (2,)]
    assert connection.execute("SELECT c1 FROM vm_table('numbers', 1)").fetchall() == [(0,)]
    values = "FROM (VALUES (1.0), (2.0))"
    assert connection.execute(
        f"SELECT weighted(column1), vm_agg('weighted', column1), weighted(column1, 1) {values}"
    ).fetchall() == [(30.0, 30.0, 3.0)]


def test_defaults_change_with_the_function() -> None:
    connection = apsw.Connection(":memory:")

    def one(a: int, b: int = 1) -> int:
        return a + b

    def other(a: int, b: int) -> int:
        return a * b

    udfvm.sqlite.register(connection, udfvm.udf(one, name="both"))
    assert connection.execute("SELECT both(2), both(2, 5)").fetchall() == [(3, 7)]
    udfvm.sqlite.register(connection, udfvm.udf(other, name="both"))
    assert connection.execute("SELECT both(2, 5)").fetchall() == [(10,)]
    with pytest.raises(apsw.SQLError, match="wrong number of arguments"):
        connection.execute("SELECT both(2)")


def test_defaults_that_sql_has_in_another_form() -> None:
    @udfvm.udf
    def joined(day: datetime.date = datetime.date(1970, 1, 3), tags: list[str] = ["a", "b"]) -> str:  # noqa: B006, B008
        return f"{day} {tags}"

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, joined)
    assert connection.execute("SELECT joined(), joined(0)").fetchall() == [
        ("1970-01-03 ['a', 'b']", "1970-01-01 ['a', 'b']")
    ]
