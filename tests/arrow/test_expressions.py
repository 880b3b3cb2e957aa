"""Expressions that call UDFs: ``score.expr(...)`` in projections and filters."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow import acero

import udfvm
import udfvm.arrow


@udfvm.udf
def score(dep_delay: float, distance: float = 100.0) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100


@udfvm.udf
def described(text: str, count: int, day: datetime.date | None) -> str:
    return f"{text * count} {day}"


FLIGHTS = pa.table(
    {
        "dep_delay": pa.array([12, -3, None, 8], pa.int32()),
        "distance": pa.array([300, 100, 100, 0], pa.uint16()),
        "single": pa.array([1.5, 2.5, 5.0, None], pa.float32()),
        "text": pa.array(["1", "2.5", "x", None]),
        "code": pa.array(["a", "b", "a", None]).dictionary_encode(),
    }
)


def column(expression: pc.Expression, table: pa.Table = FLIGHTS) -> list[Any]:
    found: list[Any] = ds.dataset(table).to_table(columns={"y": expression})["y"].to_pylist()
    return found


def test_columns_are_cast_to_the_declared_types() -> None:
    delay, distance = ds.field("dep_delay"), ds.field("distance")
    assert column(score.expr(delay, distance)) == [4.0, -3.0, None, None]
    assert column(score.expr(ds.field("single"), distance)) == [0.5, 2.5, 5.0, None]
    assert column(described.expr(ds.field("code"), distance / 100, None)) == [
        "aaa None",
        "b None",
        "a None",
        None,
    ]


def test_values_among_columns() -> None:
    delay = ds.field("dep_delay")
    for value in (50, 50.0, np.float32(50), pa.scalar(50, pa.int8())):
        assert column(score.expr(delay, value)) == [24.0, -6.0, None, 16.0]
    assert column(score.expr(delay, None)) == [None] * 4
    day = datetime.date(2013, 1, 2)
    assert column(described.expr("x", 2, day)) == ["xx 2013-01-02"] * 4
    assert column(described.expr(pa.scalar("y"), 1, pa.scalar(None, pa.date32()))) == ["y None"] * 4


def test_defaults_and_keywords() -> None:
    delay = ds.field("dep_delay")
    assert column(score.expr(delay)) == [12.0, -3.0, None, 8.0]
    assert column(score.expr(distance=50, dep_delay=delay)) == [24.0, -6.0, None, 16.0]
    with pytest.raises(udfvm.TypeMappingError, match="missing a required argument"):
        score.expr()
    with pytest.raises(udfvm.TypeMappingError, match="unexpected keyword"):
        score.expr(delay, miles=1)


def test_filters_and_expressions_of_expressions(tmp_path: Path) -> None:
    pq.write_table(pa.concat_tables([FLIGHTS] * 500), tmp_path / "f.parquet", row_group_size=300)
    dataset = ds.dataset(tmp_path / "f.parquet")
    whole = score.expr(ds.field("dep_delay"), ds.field("distance"))
    assert dataset.to_table(filter=whole > 0).num_rows == 500
    assert dataset.to_table(filter=whole.is_null()).num_rows == 1000
    twice = score.expr(whole + 1, 50)
    table = dataset.to_table(columns={"twice": twice, "code": ds.field("code")}, filter=whole > 0)
    assert table["twice"].to_pylist() == [10.0] * 500
    assert FLIGHTS.filter(whole < 0).num_rows == 1


def test_acero() -> None:
    plan = acero.Declaration.from_sequence(
        [
            acero.Declaration("table_source", acero.TableSourceNodeOptions(FLIGHTS)),
            acero.Declaration(
                "project",
                acero.ProjectNodeOptions(
                    [score.expr(pc.field("dep_delay"), pc.field("distance"))], ["y"]
                ),
            ),
        ]
    )
    assert plan.to_table()["y"].to_pylist() == [4.0, -3.0, None, None]


def test_lists_structs_and_times() -> None:
    @udfvm.udf(
        input_types=["list<double>", "struct<x: double, y: string>", "timestamp[ms, tz=UTC]"],
        output_type="string",
    )
    def shown(xs, point, at):  # type: ignore[no-untyped-def]
        return f"{xs} {point} {at:%H:%M}"

    table = pa.table(
        {
            "xs": pa.array([[1, 2], []], pa.list_(pa.int32())),
            "p": pa.array([{"x": 1, "y": "a"}, {"x": 2, "y": None}]),
            "at": pa.array([0, 60], pa.timestamp("s", "UTC")),
        }
    )
    made = shown.expr(ds.field("xs"), ds.field("p"), ds.field("at"))
    assert column(made, table) == [
        "[1.0, 2.0] {'x': 1.0, 'y': 'a'} 00:00",
        "[] {'x': 2.0, 'y': None} 00:01",
    ]
    literals = shown.expr([1], {"x": 1, "y": "b"}, ds.field("at"))
    assert column(literals, table) == [f"[1.0] {{'x': 1.0, 'y': 'b'}} 00:0{i}" for i in (0, 1)]


def test_what_a_cast_would_lose_is_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid, match="9007199254740993"):
        column(score.expr(ds.field("x")), pa.table({"x": [2**53 + 1]}))
    with pytest.raises(pa.ArrowInvalid, match="'x'"):
        column(score.expr(ds.field("text")))


def test_values_of_other_types() -> None:
    with pytest.raises(udfvm.TypeMappingError, match=r"'dep_delay'.*got str") as caught:
        score.expr("dep_delay")
    assert "pyarrow.dataset.field('dep_delay')" in caught.value.__notes__[0]
    with pytest.raises(udfvm.TypeMappingError, match="got float"):
        described.expr("x", 1.5, None)
    for array in (np.array([1.0]), FLIGHTS["single"]):
        with pytest.raises(udfvm.TypeMappingError, match="call the function itself with"):
            score.expr(array)
    with pytest.raises(udfvm.TypeMappingError, match="got list"):
        score.expr([1.0])


def test_no_parameters() -> None:
    one = udfvm.udf(lambda: 1, name="one", output_type="int64")
    assert column(one.expr()) == [1, 1, 1, 1]
    assert FLIGHTS.filter(one.expr() == 1).num_rows == 4


@udfvm.udf
def drawn(low: int, high: int) -> int:
    return random.randint(low, high)


@udfvm.udf
def drawn_alone() -> float:
    return random.random()


def test_a_random_function_over_values_has_a_value_for_each_row(tmp_path: Path) -> None:
    table = pa.table({"x": range(10_000)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=3000)
    for source in (ds.dataset(table), ds.dataset(tmp_path / "x.parquet")):
        for expression in (drawn.expr(0, 1 << 60), drawn_alone.expr()):
            made = source.to_table(columns={"y": expression})["y"]
            assert made.null_count == 0 and len(pc.unique(made)) == 10_000
    some = ds.dataset(table).to_table(filter=drawn.expr(1, 2) == 2).num_rows
    assert 4000 < some < 6000
    assert drawn.expr(1, 6).equals(drawn.expr(1, 6)) and not drawn.expr(1, 6).equals(
        drawn.expr(1, 7)
    )


def test_a_random_function_of_constant_expressions_has_a_value_for_each_row(tmp_path: Path) -> None:
    """Arrow makes a value of constants, and of the columns that name the folders of a dataset."""
    table = pa.table({"x": range(1000), "year": pa.array([2020, 2021] * 500)})
    years = ds.partitioning(pa.schema([("year", pa.int64())]), flavor="hive")
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=years)
    source = ds.dataset(tmp_path, partitioning=years)

    @udfvm.udf(vectorized=True, input_types=["int64"], output_type="double")
    def drawn_column(x: np.ndarray) -> np.ndarray:
        return np.random.default_rng().random(len(x))

    @udfvm.udf
    def drawn_of(*highs: int) -> int:
        return random.randint(0, min(highs))

    high = pc.scalar(1 << 60)
    for expression in (
        drawn.expr(ds.field("year"), high),
        drawn.expr(pc.scalar(0), high),
        drawn.expr(0, pc.add(high, 1)),
        drawn.expr(drawn.expr(0, 9), high),
        drawn_column.expr(ds.field("year")),
        drawn_of.expr(high, 1 << 61),
    ):
        made = source.to_table(columns={"y": expression})["y"]
        assert made.null_count == 0 and len(pc.unique(made)) == 1000
    some = source.to_table(filter=drawn.expr(pc.scalar(1), ds.field("year")) > 1000).num_rows
    assert 400 < some < 600


def test_a_deterministic_function_of_values_is_called_once_for_all_rows() -> None:
    fixed = drawn.with_options(name="fixed", deterministic=True)
    assert len(set(column(fixed.expr(0, 1 << 60)))) == 1


def test_errors_are_the_functions() -> None:
    @udfvm.udf
    def fails(x: int) -> int:
        raise ValueError(f"not {x}")

    with pytest.raises(udfvm.UDFError, match="ValueError: not 12"):
        column(fails.expr(ds.field("dep_delay")))


def test_functions_of_one_name_have_expressions_of_their_own() -> None:
    def one(x: int) -> int:
        return x + 1

    def other(x: float) -> str:
        return f"{x}"

    first, second = udfvm.udf(one, name="same"), udfvm.udf(other, name="same")
    field = ds.field("distance")
    kept, again = first.expr(field), second.expr(field)
    udfvm.arrow.register(None, second)
    udfvm.arrow.unregister(None, second)
    assert column(kept) == [301, 101, 101, 1]
    assert column(again) == ["300.0", "100.0", "100.0", "0.0"]
    assert first.expr(field).equals(kept)


def test_an_expression_outlives_its_function() -> None:
    def made() -> pc.Expression:
        return udfvm.udf(
            lambda x: x * 3, name="f", input_types=["int64"], output_type="int64"
        ).expr(ds.field("distance"))

    kept = made()
    made()
    assert column(kept) == [900, 300, 300, 0]


def test_vectorised() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def doubled(x: pa.DoubleArray) -> pa.DoubleArray:
        return pc.multiply(x, 2)

    assert column(doubled.expr(ds.field("dep_delay"))) == [24.0, -6.0, None, 16.0]
