"""Functions in Polars."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from engine_functions import Total, ratio, shown, upto

import udfvm
from udfvm.call.dispatch import Calls

ENGINES = ["in-memory", "streaming"]


FRAME = pl.DataFrame(
    {
        "a": [1.0, 2.0, None, 4.0],
        "b": [1, 0, 3, 4],
        "key": ["x", "x", "y", "y"],
    }
)


@pytest.mark.parametrize("engine", ENGINES)
def test_columns_expressions_and_values(engine: pl.EngineType) -> None:
    expr = udfvm.polars.expr
    query = FRAME.lazy().select(
        expr(ratio, "a", pl.col("b").cast(float)),
        default=expr(ratio, "a"),
        value=expr(ratio, "a", 4),
        literal=expr(ratio, "a", b=pl.lit(2.0)),
        values=expr(ratio, 6.0, b=2),
        text=expr(shown, pl.when(pl.col("b") > 0).then("key"), pl.lit("?")),
        default_text=expr(shown, "key"),
    )
    schema = query.collect_schema()
    found = query.collect(engine=engine)
    assert found.schema == schema and schema["a"] == pl.Float64 and schema["text"] == pl.String
    assert found.to_dict(as_series=False) == {
        "a": [1.0, None, None, 1.0],
        "default": [1.0, 2.0, None, 4.0],
        "value": [0.25, 0.5, None, 1.0],
        "literal": [0.5, 1.0, None, 2.0],
        "values": [3.0] * 4,
        "text": ["x?", "None?", "y?", "y?"],
        "default_text": ["x!", "x!", "y!", "y!"],
    }


def test_the_schema_is_known_without_a_call_and_filters_pass() -> None:
    failing = udfvm.polars.expr(ratio, pl.lit(1.0), -1.0)
    assert FRAME.lazy().select(x=failing).collect_schema() == {"x": pl.Float64}
    query = FRAME.lazy().with_columns(x=udfvm.polars.expr(ratio, "a")).filter(pl.col("b") > 3)
    plan = query.explain()
    assert plan.index("WITH_COLUMNS") < plan.index("FILTER"), plan  # which is thus made before
    assert query.collect()["x"].to_list() == [4.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_many_rows(engine: pl.EngineType) -> None:
    rows = 250_000
    query = pl.LazyFrame({"a": pl.arange(rows, eager=True)}).select(
        udfvm.polars.expr(ratio, pl.col("a").cast(float), 2.0)
    )
    assert query.collect(engine=engine)["a"].to_list() == [row / 2 for row in range(rows)]


@pytest.mark.parametrize("rows", [5, 100_000])
def test_columns_of_numbers_take_the_short_way(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No code of Python makes calls with numbers without nulls, as the image is prepared."""

    @udfvm.udf(vectorized=True, input_types=["double", "int64"], output_type="double")
    def quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if (b == -1).any():
            raise ValueError("minus one")
        return a / b

    frame = pl.DataFrame({"a": [1.0] * rows, "b": range(1, rows + 1)})
    expression = udfvm.polars.expr(quotient, "a", "b")
    expected = [1 / b for b in range(1, rows + 1)]
    call, made = Calls.call, []

    def counted(self: Calls, arguments: tuple[Any, ...]) -> Any:
        made.append(arguments)
        return call(self, arguments)

    monkeypatch.setattr(Calls, "call", counted)
    for _ in range(6):  # more than there may be results that are read in a micro-VM
        assert frame.select(expression)["a"].to_list() == expected
    several = pl.concat([frame, frame], rechunk=False)  # of two chunks
    assert made == []
    assert several.select(expression)["a"].to_list() == 2 * expected and len(made) == 1
    with pytest.raises(udfvm.UDFError, match="minus one"):
        frame.select(udfvm.polars.expr(quotient, "a", pl.lit(-1, pl.Int64)))
    copied = pickle.loads(pickle.dumps(expression))  # noqa: S301 - our own
    with_null = pl.DataFrame({"a": [None, 4.0], "b": [1, 2]})
    assert with_null.select(copied)["a"].to_list()[1] == 2.0 and len(made) == 2
    assert frame.select(copied)["a"].to_list() == expected


def test_no_rows() -> None:
    empty = FRAME.clear().select(x=udfvm.polars.expr(ratio, "a"), y=udfvm.polars.expr(ratio, 1.0))
    assert empty.schema == {"x": pl.Float64, "y": pl.Float64} and empty.height == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_lengths(engine: pl.EngineType) -> None:
    frame = FRAME.lazy().select(a=pl.lit(4.0), b=pl.col("a"))
    few = udfvm.polars.expr(ratio, pl.col("a").head(3), pl.col("b"))
    wrong = (udfvm.TypeMappingError, pl.exceptions.ShapeError)  # the second is Polars' own
    text = r"different lengths: 'a' has 3, 'b' has 4|non-equal length"
    with pytest.raises(wrong, match=text):
        frame.select(few).collect(engine=engine)
    first = udfvm.polars.expr(ratio, pl.col("a").first(), pl.lit(2.0))
    assert frame.select(first).collect(engine=engine).rows() == [(2.0,)]
    none = frame.head(0).select(udfvm.polars.expr(ratio, pl.col("a"), pl.lit(2.0)))
    assert none.collect(engine=engine).rows() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_aggregates(engine: pl.EngineType) -> None:
    total = udfvm.polars.expr(Total, "a")
    groups = FRAME.lazy().group_by("key").agg(total, n=pl.len()).sort("key").collect(engine=engine)
    assert groups.rows() == [("x", 3.0, 2), ("y", 4.0, 2)]
    assert FRAME.lazy().select(total).collect(engine=engine).rows() == [(7.0,)]
    over = FRAME.lazy().select(total.over("key")).collect(engine=engine)
    assert over["a"].to_list() == [3.0, 3.0, 4.0, 4.0]
    with pytest.raises(udfvm.UDFError, match=r"'total', row 2 of its group.*negative"):
        FRAME.lazy().select(udfvm.polars.expr(Total, 1 - pl.col("b"))).collect(engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_table_functions(engine: pl.EngineType) -> None:
    query = udfvm.polars.scan(upto, 300)
    assert query.collect_schema() == {"i": pl.Int64, "text": pl.String}
    found = query.filter(pl.col("i") > 100).select("text").head(2).collect(engine=engine)
    assert found.rows() == [("number 101",), ("number 102",)]
    assert query.head(3).select("i").collect(engine=engine)["i"].to_list() == [0, 1, 2]
    assert query.collect(engine=engine).height == 300
    assert udfvm.polars.scan(upto, 0).collect(engine=engine).schema == query.collect_schema()
    with pytest.raises(udfvm.UDFError, match="ValueError: five"):
        udfvm.polars.scan(upto, 5).collect(engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_errors_keep_what_they_know(engine: pl.EngineType) -> None:
    query = FRAME.lazy().select(udfvm.polars.expr(ratio, "a", pl.col("b") - 3.5).alias("x"))
    with pytest.raises(udfvm.UDFError) as caught:
        query.collect(engine=engine)
    error = caught.value
    assert error.guest_type == "ValueError" and error.guest_message == "negative"
    assert error.udf == "ratio" and error.row is not None
    text = str(error)
    assert f"'ratio', row {error.row} of its batch: ValueError: negative" in text
    assert 'raise ValueError("negative")' in text and "engine_functions.py" in text
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is udfvm.UDFError and str(again) == text and again.row == error.row
    slow = udfvm.polars.expr(ratio.with_options(timeout=0.1), "a", 13)
    with pytest.raises(udfvm.CallTimeoutError, match="did not end within"):
        FRAME.lazy().select(slow).collect(engine=engine)
    with pytest.raises(udfvm.TypeMappingError, match=r"argument 'a'.*is declared double"):
        FRAME.lazy().select(udfvm.polars.expr(ratio, "key")).collect(engine=engine)


def test_expressions_are_pickled() -> None:
    expression = pickle.loads(pickle.dumps(udfvm.polars.expr(ratio, "a", b=2.0)))
    assert FRAME.select(expression)["a"].to_list() == [0.5, 1.0, None, 2.0]


def test_the_namespace() -> None:
    udfvm.polars.register()
    udfvm.polars.register()  # without Polars' warning
    expression = pl.col("a").udfvm(ratio, b=2.0)  # type: ignore[attr-defined]
    assert FRAME.select(expression)["a"].to_list() == [0.5, 1.0, None, 2.0]


def test_what_polars_cannot_have() -> None:
    with pytest.raises(udfvm.SignatureError, match=r"is a table function.*udfvm\.polars\.scan"):
        udfvm.polars.expr(upto, 1)
    with pytest.raises(udfvm.SignatureError, match=r"call udfvm\.polars\.expr\(ratio"):
        udfvm.polars.scan(ratio, 1.0)
    with pytest.raises(udfvm.TypeMappingError, match="too many positional arguments"):
        udfvm.polars.expr(ratio, "a", "b", "c")
    with pytest.raises(udfvm.TypeMappingError, match=r"got a Series: call ratio\(series\)"):
        udfvm.polars.expr(ratio, FRAME["a"])
    with pytest.raises(udfvm.SignatureError, match="takes UDFs; got"):
        udfvm.polars.expr(max, "a")  # type: ignore[arg-type]
    wide = udfvm.udf(
        lambda x: x, name="wide", input_types=["double"], output_type=pa.decimal256(50, 2)
    )
    with pytest.raises(udfvm.TypeMappingError, match=r"'wide': the result is of decimal256"):
        udfvm.polars.expr(wide, "a")
