"""Results that are declared as runs, dictionaries or extension types, in engines that have the
values alone.
"""

from __future__ import annotations

from typing import Any

import duckdb
import ibis
import polars as pl
import pyarrow as pa
import pytest

import udfvm

RUNS = pa.run_end_encoded(pa.int32(), pa.string())
TYPES = [RUNS, pa.json_(), pa.dictionary(pa.int8(), pa.string())]
ROWS = pa.table({"g": [1, 1, 2], "x": ["1", "1", None]})


@udfvm.aggregate(output_type=RUNS)
class Latest:
    def __init__(self) -> None:
        self.found = ""

    def step(self, x: str | None) -> None:
        self.found = x or "none"

    def finish(self) -> str:
        return self.found


@udfvm.table_function(columns={"runs": RUNS, "json": pa.list_(pa.json_())})
def encoded(count: int) -> Any:
    for _ in range(count):
        yield "a", ["1", None]


ENCODED = [("a", ["1", None])] * 2


def same(type_: Any) -> Any:
    return udfvm.udf(lambda x: x, name="same", input_types=["string"], output_type=type_)


def listed(type_: Any) -> Any:
    def function(x: str | None):  # type: ignore[no-untyped-def] # noqa: ANN202
        return [x]

    return udfvm.udf(function, name="listed", output_type=pa.list_(type_))


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_values_of_rows(type_: Any) -> None:
    with duckdb.connect() as con:
        con.register("rows", ROWS)
        udfvm.duckdb.register(con, same(type_), listed(type_))
        found = con.execute("SELECT same(x), listed(x) FROM rows").fetchall()
        assert found == [("1", ["1"]), ("1", ["1"]), (None, [None])]
    frame = pl.DataFrame(ROWS)
    chosen = [udfvm.polars.expr(same(type_), "x"), udfvm.polars.expr(listed(type_), "x").alias("l")]
    made = frame.select(chosen)
    assert made.rows() == found
    assert pl.concat([frame, frame], rechunk=False).select(chosen).rows() == found * 2
    assert made.schema == frame.lazy().select(chosen).collect_schema()
    assert frame.select(udfvm.polars.expr(same(type_), pl.lit("1"))).rows() == [("1",)]
    assert (
        frame.select(udfvm.polars.expr(same(type_), pa.scalar("1")))["same"].to_list() == ["1"] * 3
    )


@pytest.mark.parametrize("type_", [RUNS, pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_ibis(type_: Any) -> None:
    made = udfvm.ibis.udf(same(type_))
    connection = ibis.duckdb.connect()
    connection.con.register("rows", ROWS)
    for table in (connection.table("rows"), ibis.polars.connect().create_table("rows", ROWS)):
        assert table.select(r=made(table.x)).to_pyarrow()["r"].to_pylist() == ["1", "1", None]


def test_aggregates_and_table_functions() -> None:
    with duckdb.connect() as con:
        con.register("rows", ROWS)
        udfvm.duckdb.register(con, Latest, encoded)
        query = "SELECT latest(x) FROM rows GROUP BY g ORDER BY g"
        assert con.execute(query).fetchall() == [("1",), ("none",)]
        assert con.execute("FROM encoded(2)").fetchall() == ENCODED
        relation = udfvm.duckdb.table(con, encoded, 2)
        assert relation.fetchall() == ENCODED
    grouped = pl.DataFrame(ROWS).group_by("g").agg(udfvm.polars.expr(Latest, "x")).sort("g")
    assert grouped.rows() == [(1, "1"), (2, "none")]
    assert udfvm.polars.scan(encoded, 2).collect().rows() == ENCODED
