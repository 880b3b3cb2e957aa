"""Types that DuckDB has in its own way, and what DuckDB does with functions of each kind."""

from __future__ import annotations

import datetime
import pickle
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import udfvm

UUID = "6f1d0000-0000-0000-0000-00000000000a"
#: A type, SQL that has values of it, and what a function that returns them gives as text.
CASES: list[tuple[Any, str, list[str | None]]] = [
    (pa.uuid(), f"('{UUID}'::UUID), (NULL)", [UUID, None]),
    ("halffloat", "(1.5), (NULL)", ["1.5", None]),
    ("decimal256(30, 2)", "(1.25), (-0.5)", ["1.25", "-0.50"]),
    ("decimal128(38, 0)", "(5::HUGEINT), (NULL)", ["5", None]),
    (pa.map_(pa.string(), pa.int64()), "(MAP {'a': 1}), (NULL)", ["{a=1}", None]),
    ("sparse_union<a: int64, b: string>", "(union_value(a := 5))", ["5"]),
    (pa.list_(pa.int64(), 2), "([1, NULL]::BIGINT[2])", ["[1, NULL]"]),
    (pa.dictionary(pa.int8(), pa.string()), "('a'::ENUM('a', 'b')), (NULL)", ["a", None]),
    ("month_day_nano_interval", "(INTERVAL '1 month 2 days 3 s')", ["1 month 2 days 00:00:03"]),
    ("duration[ns]", "(INTERVAL '-1.5 s'), (NULL)", ["-00:00:01.5", None]),
    ("timestamp[ns, tz=Europe/Berlin]", "('2020-01-01 00:00:00+01'::TIMESTAMPTZ)",
     ["2019-12-31 23:00:00+00"]),
    ("time64[ns]", "('10:00:00.000001'::TIME_NS)", ["10:00:00.000001"]),
    ("date64[ms]", "('2020-01-02'::DATE)", ["2020-01-02"]),
    ("fixed_size_binary[2]", "('ab'::BLOB)", ["ab"]),
    ("null", "(NULL)", [None]),
]  # fmt: skip


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2; SET TimeZone = 'UTC'")
        yield connection


@pytest.mark.parametrize(("type_", "values", "texts"), CASES, ids=[str(each[0]) for each in CASES])
def test_types(
    con: duckdb.DuckDBPyConnection, type_: Any, values: str, texts: list[str | None]
) -> None:
    same = udfvm.udf(lambda x: x, name="same", input_types=[type_], output_type=type_)
    udfvm.duckdb.register(con, same)
    found = con.execute(f"SELECT same(x)::VARCHAR FROM (VALUES {values}) AS t(x)").fetchall()
    assert [text for (text,) in found] == texts


def test_intervals_with_months_are_no_durations(con: duckdb.DuckDBPyConnection) -> None:
    @udfvm.udf
    def seconds_of(x: datetime.timedelta) -> float:
        return x.total_seconds()

    udfvm.duckdb.register(con, seconds_of)
    query = "SELECT seconds_of(x) FROM (VALUES (INTERVAL '25:00:00.5'), (NULL)) AS t(x)"
    assert con.execute(query).fetchall() == [(90000.5,), (None,)]
    with pytest.raises(duckdb.InvalidInputException, match="an interval has months"):
        con.execute("SELECT seconds_of(INTERVAL 1 MONTH)")


def test_results_that_duckdb_has_not(con: duckdb.DuckDBPyConnection) -> None:
    @udfvm.udf(vectorized=True, elementwise=True, input_types=["int64"], output_type="duration[ns]")
    def nanoseconds(x: pa.Array) -> pa.Array:
        return x.cast(pa.duration("ns"))

    udfvm.duckdb.register(con, nanoseconds)
    assert con.execute("SELECT nanoseconds(2000)").fetchall() == [(datetime.timedelta(0, 0, 2),)]
    with pytest.raises(duckdb.InvalidInputException, match=r"'nanoseconds'.*DuckDB has no"):
        con.execute("SELECT nanoseconds(1)")


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("list<duration[us]>", "no durations within a list, but intervals"),
        ("dense_union<a: int64>", "declare a sparse union"),
        ("decimal128(5, -2)", "at most 38 digits"),
        ("struct<a: int64, A: int64>", "the names 'a' and 'A' of the fields of struct"),
        (pa.list_(pa.struct([("", "int64")])), "no empty names"),
    ],
)
def test_types_that_are_not_there(con: duckdb.DuckDBPyConnection, type_: Any, text: str) -> None:
    function = udfvm.udf(lambda x: 1, name="f", input_types=[type_], output_type="int64")
    with pytest.raises(udfvm.TypeMappingError, match=f"UDF 'f': .*{text}"):
        udfvm.duckdb.register(con, function)


def test_parameters_that_are_one_in_macros(con: duckdb.DuckDBPyConnection) -> None:
    @udfvm.udf
    def product(x: int, X: int = 3) -> int:  # noqa: N803
        return x * X

    with pytest.raises(udfvm.TypeMappingError, match="'x' and 'X' of the parameters for the same"):
        udfvm.duckdb.register(con, product)


def test_only_deterministic_functions_are_folded(con: duckdb.DuckDBPyConnection) -> None:
    @udfvm.udf
    def drawn(x: int) -> int:
        return random.randint(0, 1 << 60)

    udfvm.duckdb.register(con, drawn)
    udfvm.duckdb.register(con, drawn.with_options(deterministic=True), name="folded")
    query = "SELECT count(DISTINCT drawn(1)), count(DISTINCT folded(1)) FROM range(5000)"
    assert con.execute(query).fetchall() == [(5000, 1)]


def test_compiled_functions_and_pickled_ones(con: duckdb.DuckDBPyConnection) -> None:
    module = """(module (func (export "add") (param f64 f64) (result f64)
        local.get 0 local.get 1 f64.add))"""
    half = udfvm.udf(lambda x: x / 2, name="halved", input_types=["double"], output_type="double")
    udfvm.duckdb.register(
        con, udfvm.from_wasm(module, "add", name="added"), pickle.loads(pickle.dumps(half))
    )
    query = "SELECT sum(added(r, 1)), sum(halved(r)) FROM range(5000) t(r)"
    assert con.execute(query).fetchall() == [(12_502_500.0, 6_248_750.0)]


def test_limits_hold(con: duckdb.DuckDBPyConnection) -> None:
    @udfvm.udf(timeout=0.05)
    def endless(x: int) -> int:
        while True:
            pass

    udfvm.duckdb.register(con, endless)
    with pytest.raises(duckdb.InvalidInputException, match=r"did not end within 0\.05 s"):
        con.execute("SELECT endless(r) FROM range(5000) t(r)").fetchall()


def test_lists_and_decimals_in_aggregates(con: duckdb.DuckDBPyConnection) -> None:
    @udfvm.aggregate
    class Joined:
        def __init__(self) -> None:
            self.found: list[int] = []

        def step(self, x: list[int], weight: Decimal) -> None:
            self.found += [each * int(weight) for each in x]

        def finish(self) -> list[int]:
            return sorted(self.found)

    lists, weights = pa.array([[1, 2], None]), pa.array([2, 1], pa.decimal128(38, 18))
    assert Joined(lists, weights) == [2, 4]
    udfvm.duckdb.register(con, Joined)
    rows = "(VALUES ([1, 2], 2.0), (NULL, 1), ([5], 3), ([], 1)) AS t(x, w)"
    assert con.execute(f"SELECT joined(x, w) FROM {rows}").fetchall() == [([2, 4, 15],)]
