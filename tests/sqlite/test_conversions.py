"""SQL values become arguments of the declared types without loss, or the statement fails."""

from __future__ import annotations

from typing import Any

import apsw
import pyarrow as pa
import pytest
from conversion_cases import wanted

import udfvm
import udfvm.sqlite
from udfvm.types.arrow_types import Kind, named
from udfvm.types.conversions import (
    family,
)

SQL_VALUES = [
    0,
    1,
    -1,
    127,
    128,
    2**24 + 1,
    -(2**24) - 1,
    2**31,
    2**53 + 1,
    2**54,
    2**63 - 1,
    0.1,
    1e300,
    3e38,
    "text",
    b"\xff",
    None,
]
SQL_TYPES = [
    "bool",
    "int8",
    "uint32",
    "int64",
    "float",
    "double",
    "string",
    "large_binary",
    "date32[day]",
    "timestamp[ms]",
]


def sql_wanted(value: Any, name: str) -> Any:
    """The argument that an SQL value becomes; dates and times are integers in SQL.

    Raises ValueError where the value must be refused.
    """
    kind = named(name).kind
    if value is None:
        return None
    if kind is Kind.BOOL and value in (0, 1) and isinstance(value, int):
        return value
    if kind in (Kind.DATE, Kind.DATETIME, Kind.DURATION) and isinstance(value, int):
        return value
    if kind is Kind.DECIMAL:
        raise ValueError  # a decimal is text in SQL; none of the texts is a number
    found = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}[
        type(value)
    ]
    if family(str(found)) == "integer" and kind is Kind.BOOL:
        raise ValueError
    made = wanted(found, value, name)
    return float(made) if isinstance(value, (int, float)) and kind is Kind.FLOAT else made


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    """Functions of every form and type that return their argument."""
    made = apsw.Connection(":memory:")
    for index, name in enumerate(SQL_TYPES):

        def same(x):  # type: ignore[no-untyped-def]
            return x

        def rows(x):  # type: ignore[no-untyped-def]
            yield (x,)

        class Last:
            def __init__(self) -> None:
                self.value: Any = None

            def step(self, x):  # type: ignore[no-untyped-def]
                self.value = x

            def finish(self):  # type: ignore[no-untyped-def]
                return self.value

        udfvm.sqlite.register(
            made,
            udfvm.udf(same, name=f"same_{index}", input_types=[name], output_type=name),
            udfvm.udf(
                same, name=f"array_{index}", vectorized=True, input_types=[name], output_type=name
            ),
            udfvm.table_function(
                rows, name=f"rows_{index}", input_types=[name], columns={"x": name}
            ),
            udfvm.aggregate(Last, name=f"last_{index}", input_types=[name], output_type=name),
        )
    return made


QUERIES = {
    "row": "SELECT vm_udf('same_{0}', ?)",
    "rows": "WITH v(x) AS (VALUES (NULL), (?)) SELECT vm_udf('same_{0}', x) FROM v",
    "batch": "SELECT value FROM vm_map('same_{0}', 'SELECT 1, ?', ?)",
    "vectorised": "SELECT value FROM vm_map('array_{0}', 'SELECT 1, ?', ?)",
    "table": "SELECT * FROM rows_{0}(?)",
    "aggregate": "SELECT vm_agg('last_{0}', ?)",
}


@pytest.mark.parametrize("way", QUERIES)
@pytest.mark.parametrize("index", range(len(SQL_TYPES)), ids=SQL_TYPES)
def test_sql(connection: apsw.Connection, way: str, index: int) -> None:
    query = QUERIES[way].format(index)
    name = SQL_TYPES[index]
    for value in SQL_VALUES:
        if (
            named(name).kind in (Kind.DATE, Kind.DATETIME, Kind.DURATION)
            and isinstance(value, int)
            and (abs(value) > 10**6 or way == "vectorised")
        ):
            continue
        try:
            expected = sql_wanted(value, name)
        except ValueError:
            with pytest.raises(apsw.SQLError, match=r"argument (1|'x')"):
                connection.execute(query, (value,)).fetchall()
        else:
            got = connection.execute(query, (value,)).fetchall()
            assert got[-1:] == ([] if value is None and way == "table" else [(expected,)]), value


def test_json_arguments() -> None:
    @udfvm.udf
    def size(v: list[int]) -> int:
        return len(v)

    @udfvm.udf
    def maybe(v: list[int] | None) -> str:
        return repr(v)

    two = udfvm.udf(
        lambda a, b: str((a, b)),
        name="two",
        input_types=["list<int64>", "list<float>"],
        output_type="string",
    )
    moment = udfvm.udf(
        lambda a: f"{a}", name="moment", input_types=["list<timestamp[s]>"], output_type="string"
    )
    made = apsw.Connection(":memory:")
    udfvm.sqlite.register(made, size, maybe, two, moment)
    for way in ("SELECT vm_udf('{}', ?)", "SELECT value FROM vm_map('{}', 'SELECT 1, ?', ?)"):
        assert made.execute(way.format("size"), ("null",)).fetchall() == [(None,)]
        assert made.execute(way.format("maybe"), ("null",)).fetchall() == [("None",)]
        assert made.execute(way.format("size"), (None,)).fetchall() == [(None,)]
    for arguments, message in (
        (("[1]", "[1"), r"argument 'b' \(position 2\) is not valid JSON"),
        (("[1", "[1]"), r"argument 'a' \(position 1\) is not valid JSON"),
        (("[1]", "[1e300]"), r"argument 'b' .*too large"),
        (("[1]", "[1e400]"), r"argument 'b' .*too large"),
        (("[1]", "[16777217]"), r"argument 'b' .*cannot be represented exactly as float"),
        (("[9223372036854775808]", "[1]"), "argument 'a' "),
        (("[9007199254740993.0]", "[1]"), r"argument 'a' .*without a fraction"),
        (("[1e17]", "[1]"), r"argument 'a' .*without a fraction"),
        (("[1]", "[NaN]"), r"argument 'b' .*NaN is not JSON"),
        (("[1]", "[-Infinity]"), r"argument 'b' .*Infinity is not JSON"),
    ):
        with pytest.raises(apsw.SQLError, match=message):
            made.execute("SELECT two(?, ?)", arguments).fetchall()
    texts = udfvm.udf(
        lambda a: f"{a}", name="texts", input_types=["list<string>"], output_type="string"
    )
    udfvm.sqlite.register(made, texts)
    assert made.execute("SELECT texts(?)", ('["\\u0000\\ud83d\\ude00"]',)).fetchall() == [
        ("['\\x00😀']",)
    ]
    for way in ("SELECT texts(?)", "SELECT value FROM vm_map('texts', 'SELECT 1, ?', ?)"):
        with pytest.raises(apsw.SQLError, match=r"argument 'a' .*lone surrogate"):
            made.execute(way, ('["\\ud83d"]',)).fetchall()
    for text in ('["2020-01-01T00:00:00.5"]', '["2020-01-01T00:00:00.000000001"]'):
        with pytest.raises(apsw.SQLError, match=r"argument 'a' .*whole number of s"):
            made.execute("SELECT moment(?)", (text,)).fetchall()


def test_sealed_functions_know_their_floats() -> None:
    from udfvm.sqlite import _extension, sealed

    function = udfvm.udf(
        lambda a, b, c: a,
        name="floats",
        input_types=["float", "double", "float"],
        output_type="double",
    )
    assert sealed.sealed_note(function, "floats")["singles"] == 0b101
    name, _ = sealed.seal(function, replace=True)
    made = apsw.Connection(":memory:")
    made.enable_load_extension(True)
    made.load_extension(str(_extension.PATH))
    made.execute("SELECT vm_attach(?)", (name,))
    assert made.execute(f"SELECT {name}(16777216, 16777217, 5)").fetchall() == [(16777216.0,)]
    for arguments in ("16777217, 1, 1", "1, 1, 16777217"):
        with pytest.raises(apsw.SQLError, match="16777217, which cannot be represented exactly as"):
            made.execute(f"SELECT {name}({arguments})").fetchall()


def test_sealed_functions_know_what_parameters_stand_for() -> None:
    from udfvm.images.cache_files import cache_directory
    from udfvm.sqlite import _extension, sealed

    types = ["date32", "timestamp[us]", "decimal128(9, 2)", "list<double>", "int64"]
    function = udfvm.udf(
        lambda day, moment, price, many, plain: plain,
        name="kinds",
        input_types=types,
        output_type="int64",
    )
    name, _ = sealed.seal(function, replace=True)
    made = apsw.Connection(":memory:")
    made.enable_load_extension(True)
    made.load_extension(str(_extension.PATH))
    made.execute("SELECT vm_attach(?)", (name,))
    assert made.execute("SELECT signature FROM vm_functions").fetchall() == [
        ("(day int, moment int, price text, many json, plain int) -> int",)
    ]
    for arguments, remedy in (
        ("'2026-01-31', 0, '1', '[]', 0", "got TEXT; dates are days since 1970 here"),
        ("0, 'noon', '1', '[]', 0", "got TEXT; timestamps are counts of their unit since 1970"),
        ("0, 0, 1.5, '[]', 0", "got REAL; decimals are TEXT here"),
    ):
        with pytest.raises(apsw.SQLError, match=remedy) as caught:
            made.execute(f"SELECT {name}({arguments})").fetchall()
        assert "register" not in str(caught.value)
    path = cache_directory() / "functions" / f"{name}.udf"
    whole = path.read_text()
    assert "\nkinds 12340\n" in whole
    for wrong in ("1234", "123400", "12347", "1234/", "-2340", ""):
        path.write_text(whole.replace("kinds 12340", f"kinds {wrong}"))
        fresh = apsw.Connection(":memory:")
        fresh.enable_load_extension(True)
        fresh.load_extension(str(_extension.PATH))
        with pytest.raises(apsw.SQLError, match="of another version of udfvm"):
            fresh.execute("SELECT vm_attach(?)", (name,))
        fresh.close()
    path.unlink()
