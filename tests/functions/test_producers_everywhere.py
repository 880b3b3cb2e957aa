"""Aggregates, table functions, pipelines and declarations take columns of other libraries."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from capsule_producers import capsules
from reported_functions import Total

import udfvm
from udfvm.types.arrow_types import declared


@udfvm.udf
def twice(x: float) -> float:
    return 2 * x


def _same(x):  # type: ignore[no-untyped-def]
    return x


@udfvm.table_function(columns={"i": int})
def upto(count: int):  # type: ignore[no-untyped-def]
    yield from range(count)


@pytest.mark.parametrize(
    "given",
    [
        pd.Series([1.0, None, 2.0]),
        pl.Series([1, None, 2]),
        capsules(pa.array([1.0, None, 2.0])),
        array.array("d", [1.0, 2.0]),
        np.ma.array([1.0, 5.0, 2.0], mask=[0, 1, 0]),
        pa.table({"x": [1.0, 2.0]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_aggregates_take_them(given: Any) -> None:
    assert Total(given) == 3.0


def test_table_functions_take_values() -> None:
    with pytest.raises(udfvm.TypeMappingError, match="takes values, not arrays"):
        list(upto(pd.Series([1])))
    made = upto.map(pd.DataFrame({"count": [1, 2]})).to_pandas()
    assert made["i"].tolist() == [0, 0, 1]


def test_columns_of_frames_without_a_counterpart() -> None:
    for frame, found in (
        (
            pd.DataFrame({"x": [1.0], "y": pd.Series([0], dtype="Sparse[int]")}),
            "column 'y' .*Spars",
        ),
        (pd.DataFrame({"x": [1.0], "y": [1j]}), "column 'y' .*complex128"),
        (
            pl.DataFrame({"x": [1.0], "y": pl.Series([object()], dtype=pl.Object)}),
            "column 'y' .*Obj",
        ),
    ):
        with pytest.raises(udfvm.TypeMappingError, match=found):
            twice.map(frame)


def test_schemas_of_other_libraries_declare_types() -> None:
    assert str(declared(capsules(pa.int8()))) == "int8"
    assert str(declared(pa.field("x", pa.int8(), nullable=False))) == "int8"
    assert str(declared(pl.Schema({"a": pl.Int64()}))) == "struct<a: int64>"
    same = udfvm.udf(
        _same, name="same", input_types=[capsules(pa.int16())], output_type=capsules(pa.int32())
    )
    assert same(pa.array([1], pa.int16())).type == pa.int32()

    @udfvm.table_function(columns=capsules(pa.schema({"i": pa.int64()})))
    def few(count: int):  # type: ignore[no-untyped-def]
        yield from range(count)

    assert list(few(2)) == [(0,), (1,)]
    with pytest.raises(udfvm.OptionError, match="columns= is not a schema"):
        udfvm.table_function(columns=capsules(pa.int64()))(few.function)
