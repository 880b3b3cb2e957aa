"""What an error says to pass in place of a column of another type is in the words of the library
that the column is of, and is taken.
"""

from __future__ import annotations

import array
import datetime
import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from every_column import EVERY_LEAF

import udfvm
from udfvm.codec.arguments import columns_of
from udfvm.types.arrow_types import Parameter, declared

ZONED = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
NAIVE = ZONED.replace(tzinfo=None)
VALUES: list[list[Any]] = [
    *([1], [2.0], [True], ["a"], [b"a"], [NAIVE], [ZONED], [NAIVE.date()]),
    [datetime.timedelta(1)],
]
GIVEN: dict[str, list[Any]] = {
    "array of numpy": [
        *(np.array(values) for values in VALUES if values != [ZONED] and values != [NAIVE.date()]),
        np.array(["2020-01-01"], "M8[D]"),
        np.ma.array([1.5], mask=[False]),
    ],
    "series of pandas": [
        *(pd.Series(values) for values in VALUES if values != [b"a"]),
        *(pd.Series(values, dtype=pd.ArrowDtype(pa.array(values).type)) for values in VALUES),
        pd.Series(["a"], dtype="category"),
        pd.Series([1, None], dtype="Int64"),
    ],
    "index of pandas": [pd.Index([1]), pd.DatetimeIndex([ZONED]), pd.Index(["a"])],
    "array of pandas": [pd.array([1]), pd.array(["a"])],
    "frame of pandas": [pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [ZONED]})],
    "series of polars": [pl.Series(values) for values in VALUES],
    "frame of polars": [pl.DataFrame({"a": [1]})],
    "array of pyarrow": [pa.array(values) for values in VALUES],
    "scalar of pyarrow": [pa.scalar(*values) for values in VALUES],
    "table of pyarrow": [pa.table({"a": values}) for values in VALUES],
    "batch of pyarrow": [pa.record_batch({"a": values}) for values in VALUES],
    "buffer of numbers": [array.array("i", [1]), memoryview(array.array("d", [1.5]))],
}
LIBRARIES = {"numpy": np, "pandas": pd, "polars": pl, "pyarrow": pa}
REMEDY = re.compile(
    r"(?:cast it first if that is meant: |a column[^:]*: pass )(.+?)"
    r"(?: for one (?:list|value)|, which keeps missing values)?$"
)
TYPES = [*EVERY_LEAF, pa.list_(pa.int64()), pa.struct([("a", pa.string())])]


def refusal(type_: pa.DataType, given: Any) -> str:
    """The error of a column for a parameter of a type, if it is one about types."""
    parameter = Parameter("x", declared(type_), False)
    try:
        columns_of("f", [parameter], [given])
    except udfvm.TypeMappingError as error:
        return str(error) if "which takes" in str(error) else ""
    return ""


@pytest.mark.parametrize("form", GIVEN)
def test_a_remedy_is_taken(form: str) -> None:
    noun = form.partition(" ")[0]
    seen = 0
    for given in GIVEN[form]:
        for type_ in TYPES:
            found = REMEDY.search(refusal(type_, given))
            if found is None or (pa.types.is_struct(type_) and noun in ("frame", "table", "batch")):
                continue  # tables are such structs
            seen += 1
            assert noun in found[1], found[1]
            try:
                made = eval(found[1], {**LIBRARIES, noun: given})  # noqa: S307 - of our own errors
            except (ValueError, pa.ArrowException, pl.exceptions.PolarsError):
                continue  # of this value: text that is no number
            assert not refusal(type_, made), f"{given!r} as {type_}: {found[1]}"
    assert seen > len(GIVEN[form])
