"""What table functions and aggregates can be, and what happens when one becomes another."""

from __future__ import annotations

import sqlite3

import apsw
import numpy as np
import pytest
from batch_functions import ratio, total, words

import udfvm
import udfvm.sqlite


def test_declarations_that_cannot_be() -> None:
    class NoFinish:
        def step(self, value: int) -> None: ...

    class BadInverse:
        def step(self, value: int) -> None: ...
        def inverse(self) -> None: ...
        def finish(self) -> int: ...

    class Wide:
        def step(self, value: int) -> None: ...
        def finish(self, extra: int) -> int: ...

    for cls, expected in (
        (NoFinish, "it has no finish"),
        (BadInverse, "must be a method with 1 argument"),
        (Wide, "no arguments"),
    ):
        with pytest.raises(udfvm.SignatureError, match=expected):
            udfvm.aggregate(cls)

    def rows() -> list[int]:
        return []

    with pytest.raises(udfvm.SignatureError, match="the columns are not declared"):
        udfvm.table_function(rows)
    with pytest.raises(udfvm.SignatureError, match="two columns have the name 'a'"):
        udfvm.table_function(columns={"a": int, "A": int})(rows)
    wide = udfvm.table_function(columns={"a": "uint64"})(rows)
    with pytest.raises(udfvm.TypeMappingError, match="column 'a' is uint64, for which SQLite has"):
        udfvm.sqlite.register(apsw.Connection(":memory:"), wide)
    with pytest.raises(udfvm.SignatureError, match="'text' has no default"):
        udfvm.arrow.register(None, words)


def test_redefinition_across_roles() -> None:
    def as_udf(text: str) -> str:
        return text

    def as_table(text: str) -> list[str]:
        return [text, text]

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udfvm.udf(name="f")(as_udf))
    assert connection.execute("SELECT f('x')").fetchall() == [("x",)]
    udfvm.sqlite.register(connection, udfvm.table_function(columns={"a": str}, name="f")(as_table))
    assert connection.execute("SELECT a FROM f('x')").fetchall() == [("x",), ("x",)]
    with pytest.raises(apsw.SQLError, match="no such function"):
        connection.execute("SELECT f('x')")
    udfvm.sqlite.register(connection, udfvm.udf(name="f")(as_udf))
    assert connection.execute("SELECT f('x')").fetchall() == [("x",)]
    with pytest.raises(apsw.SQLError, match=r"no such table|not a function"):
        connection.execute("SELECT * FROM f('x')").fetchall()
    connection.close()


def test_standard_librarys_sqlite3() -> None:
    connection = sqlite3.connect(":memory:")
    if not hasattr(connection, "enable_load_extension"):
        pytest.skip("this Python's sqlite3 takes no extensions")
    udfvm.sqlite.register(connection, ratio, words, total)
    assert connection.execute(
        "SELECT key, value FROM vm_map('ratio', 'SELECT 1, 6, 2')"
    ).fetchall() == [(1, 3.0)]
    assert connection.execute("SELECT * FROM words('a b')").fetchall() == [("a", 0), ("b", 2)]
    assert connection.execute("SELECT total(1.5)").fetchall() == [(1.5,)]
    connection.close()


def test_a_vectorised_function_says_what_runs_it() -> None:
    def doubled(x: np.ndarray) -> np.ndarray:
        return x * 2

    def made(name: str, types: list[str]) -> udfvm.ScalarFunction:
        return udfvm.udf(
            doubled, name=name, vectorized=True, input_types=types, output_type=types[0]
        )

    connection = apsw.Connection(":memory:")
    floats, integers = made("doubled", ["double"]), made("doubled", ["int64"])
    for function in (floats, integers, floats):  # SQL finds the last
        udfvm.sqlite.register(connection, function, made("abs", ["double"]))
        with pytest.raises(apsw.SQLError, match=r"'doubled' is a vectorised .* use vm_map"):
            connection.execute("SELECT doubled(1)").fetchall()
        assert connection.execute("SELECT abs(-1)").get == 1  # SQLite's own
        with pytest.raises(udfvm.SignatureError, match="already"):
            udfvm.sqlite.register(connection, function, replace=False)
    assert connection.execute("SELECT value FROM vm_map('doubled', 'SELECT 0, 2')").get == 4.0

    @udfvm.udf(name="doubled")
    def scalar(x: float, y: float) -> float:
        return x + y

    udfvm.sqlite.register(connection, scalar)
    assert connection.execute("SELECT doubled(1, 2)").get == 3.0
    with pytest.raises(apsw.SQLError, match="wrong number of arguments"):
        connection.execute("SELECT doubled(1)")
    udfvm.sqlite.register(connection, floats)
    udfvm.sqlite.unregister(connection, "doubled", "abs")
    with pytest.raises(apsw.SQLError, match=r"no such function|wrong number of arguments"):
        connection.execute("SELECT doubled(1)")
    assert connection.execute("SELECT abs(-1)").get == 1
    connection.close()
