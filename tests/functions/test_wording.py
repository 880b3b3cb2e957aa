"""Errors of declarations and of results say what is wrong and what to write in its place."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import udfvm


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("timestamp", "timestamp[us]"),
        ("time64", "time64[us]"),
        ("text", "string"),
        ("VARCHAR", "string"),
        ("json", "string"),
        ("list", "list<int64>"),
        ("decimal128", "decimal128(38, 18)"),
    ],
)
def test_names_of_types_that_are_nearly_right(given: str, meant: str) -> None:
    with pytest.raises(udfvm.SignatureError) as caught:
        udfvm.udf(input_types=[given], output_type="int64", name="same")(lambda x: x)
    assert f"{given!r} is not a supported type: did you mean {meant!r}?" in str(caught.value)
    udfvm.udf(input_types=[meant], output_type="int64", name="same")(lambda x: x)


def test_names_that_python_has_and_zones_without_a_space() -> None:
    @udfvm.udf(input_types=["int", "timestamp[us,tz=UTC]"], output_type="list<timestamp[s,tz=UTC]>")
    def zoned(n, moment):  # type: ignore[no-untyped-def]
        return [moment.replace(microsecond=0)] * n

    types = [str(each.type) for each in zoned.parameters]
    assert types == ["int64", "timestamp[us, tz=UTC]"]
    moment = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert zoned(2, moment) == [moment, moment]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Any, "parameter 'x' is annotated Any, which is no type: annotate one"),
        (np.float64, "is not a supported type: annotate float "),
        (np.int32, "is not a supported type: annotate int "),
        (pd.Timestamp, "is not a supported type: annotate datetime.datetime "),
        (tuple[int, int], "is not a supported type: annotate list[...]"),
        (Sequence[int], "is not a supported type: annotate list[...]"),
        (Literal["a", "b"], "is not a supported type: annotate str, the type of its values"),
        (pd.DataFrame, "annotation pandas.DataFrame is a table: annotate pandas.Series, as arg"),
    ],
)
def test_annotations_that_are_no_types(annotation: Any, text: str) -> None:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    same.__annotations__ = {"x": annotation, "return": int}
    with pytest.raises(udfvm.SignatureError) as caught:
        udfvm.udf(same)
    assert text in str(caught.value)


def test_names_of_functions() -> None:
    def same(x: int) -> int:
        return x

    class Same:
        def __call__(self, x: int) -> int:
            return x

    assert udfvm.udf(functools.partial(functools.partial(same), 3)).name == "same"
    with pytest.raises(udfvm.SignatureError, match="the function has no name: pass name="):
        udfvm.udf(Same())
    with pytest.raises(udfvm.SignatureError, match=r"'a b' cannot be .* an identifier: pass name="):
        udfvm.udf(name="a b")(same)
    for sample, got in (((1, 2), "2 arguments"), ((), "0 arguments")):
        with pytest.raises(udfvm.OptionError, match=f"with the argument of one call.*; got {got}"):
            udfvm.udf(sample=sample)(same).prepare()


def test_datetimes_in_a_zone_or_in_none() -> None:
    @udfvm.udf
    def moment(aware: bool) -> datetime.datetime:
        return datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC if aware else None)

    aware = moment.with_options(name="in_zone")
    assert aware(False) == datetime.datetime(2026, 1, 2)  # noqa: DTZ001 - it has none
    with pytest.raises(udfvm.UDFError, match=r"return moment.replace\(tzinfo=None\), or declare a"):
        moment(True)


def test_one_value_for_one_row() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def total(x):  # type: ignore[no-untyped-def]
        return np.array([x.to_numpy().sum()]) if len(x) > 1 else x[:0]

    with pytest.raises(udfvm.UDFError, match="returned 1 value for 2 rows"):
        total(np.arange(2.0))
    with pytest.raises(udfvm.UDFError, match="returned 0 values for 1 row"):
        total(np.arange(1.0))


def test_an_array_of_structs_in_the_place_of_numbers() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def wrong(x):  # type: ignore[no-untyped-def]
        return pa.StructArray.from_arrays([x], names=["x"])

    with pytest.raises(udfvm.UDFError) as caught:
        wrong(np.arange(2.0))
    assert caught.value.guest_message.endswith(
        "an array of struct<x: double>, but its result is declared double"
    )


def test_results_of_host_functions() -> None:
    def price(x: int) -> int:
        return "1"  # type: ignore[return-value]

    @udfvm.udf(host_functions=[price])
    def asks(x: int) -> int:
        return price(x)

    with pytest.raises(
        udfvm.Error, match="host function 'price' returned a value that is declared"
    ):
        asks(1)
