"""Functions in Ibis, over DuckDB and Polars."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import ibis
import pyarrow as pa
import pytest

import udfvm


@udfvm.udf
def ratio(a: float, b: float | None) -> float | None:
    if b is None:
        return -1.0
    if b < 0:
        raise ValueError("negative")
    return a / b if b else None


@udfvm.udf
def words(text: str) -> list[str]:
    return text.split()


TABLE = pa.table(
    {
        "a": pa.array([1.0, 2.0, None, 4.0]),
        "b": pa.array([2.0, 0.0, 1.0, None]),
        "text": ["to be", "", "or", None],
    }
)


def by_duckdb() -> Any:
    connection = ibis.duckdb.connect()
    connection.con.register("rows", TABLE)
    return connection.table("rows")


def by_polars() -> Any:
    return ibis.polars.connect().create_table("rows", TABLE)


@pytest.fixture(params=[by_duckdb, by_polars])
def rows(request: pytest.FixtureRequest) -> Any:
    make: Callable[[], Any] = request.param
    return make()


def test_nulls_go_in_and_come_out(rows: Any) -> None:
    made = udfvm.ibis.udf(ratio)
    found = rows.select(r=made(rows.a, rows.b) + 0.5).to_pyarrow()["r"].to_pylist()
    assert found == [1.0, None, None, -0.5]
    found = rows.filter(made(rows.a, 2.0) > 0.5).to_pyarrow()["a"].to_pylist()
    assert found == [2.0, 4.0]


def test_text_and_lists(rows: Any) -> None:
    made = udfvm.ibis.udf(words)
    found = rows.select(w=made(rows.text)).to_pyarrow()["w"].to_pylist()
    assert found == [["to", "be"], [], ["or"], None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_moments(unit: str) -> None:
    type_ = pa.timestamp(unit)
    made = udfvm.ibis.udf(
        udfvm.udf(lambda x: [x], name="same", input_types=[type_], output_type=pa.list_(type_))
    )
    moments = pa.table({"x": pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5), None], type_)})
    connection = ibis.duckdb.connect()
    connection.con.register("moments", moments)
    for table in (connection.table("moments"), ibis.polars.connect().create_table("m", moments)):
        found = table.select(r=made(table.x)).to_pyarrow()["r"].to_pylist()
        assert found == [[datetime.datetime(2026, 1, 2, 3, 4, 5)], None]


def test_errors(rows: Any) -> None:
    made = udfvm.ibis.udf(ratio)
    with pytest.raises(Exception, match=r"'ratio', row 0 of its batch: ValueError: negative"):
        rows.select(r=made(rows.a, rows.b - 5)).to_pyarrow()


def test_what_ibis_cannot_have() -> None:
    whole = udfvm.udf(
        lambda x: x, name="whole", vectorized=True, input_types=["double"], output_type="double"
    )
    with pytest.raises(udfvm.SignatureError, match=r"declared elementwise=True"):
        udfvm.ibis.udf(whole)
    none = udfvm.udf(lambda: 1, name="none", output_type="int64")
    with pytest.raises(udfvm.SignatureError, match="at least one"):
        udfvm.ibis.udf(none)
    for type_ in (pa.list_(pa.decimal256(60, 2)), pa.struct([("a", "int64"), ("a", "int64")])):
        for given, made in ((type_, "int64"), ("int64", type_)):
            wrong = udfvm.udf(lambda x: x, name="f", input_types=[given], output_type=made)
            with pytest.raises(udfvm.TypeMappingError, match="'f': Ibis has no type"):
                udfvm.ibis.udf(wrong)
