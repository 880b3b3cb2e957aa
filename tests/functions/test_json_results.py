"""Results that are ``dict`` or ``list`` of any form: dictionaries and lists in Python, JSON text in
columns and in SQL.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm.codec.json_values import json_value
from udfvm.codec.rows import RowCodec, encode_value
from udfvm.types.arrow_types import JSON, Parameter, ResultType, named


@udfvm.udf
def described(x: int) -> dict:  # type: ignore[type-arg]
    return {"x": x, "half": x / 2, "list": [None, True, "é"]} if x else {}


@udfvm.udf
def any_list(x: int) -> list | None:  # type: ignore[type-arg]
    return None if x < 0 else [x, {"x": x}]


def test_results_of_any_form() -> None:
    assert described(3) == {"x": 3, "half": 1.5, "list": [None, True, "é"]}
    assert described(0) == {} and described(None) is None
    assert any_list(1) == [1, {"x": 1}] and any_list(-1) is None
    column = described(pa.array([1, None]))
    assert column.type == pa.string()
    assert json.loads(column[0].as_py())["half"] == 0.5 and not column[1].is_valid
    found = any_list(np.array([1, -1]))
    assert found.dtype == object and found.tolist() == [[1, {"x": 1}], None]


def test_results_of_any_form_beside_lists() -> None:
    @udfvm.udf
    def counted(xs: list[str]) -> dict[str, int]:
        return {x: xs.count(x) for x in xs}

    assert counted(["a", "b", "a"]) == {"a": 2, "b": 1}


def test_aggregates_of_any_form() -> None:
    @udfvm.aggregate
    class Counted:
        def __init__(self) -> None:
            self.counts: dict[str, int] = {}

        def step(self, word: str) -> None:
            self.counts[word] = self.counts.get(word, 0) + 1

        def finish(self) -> dict[str, int]:
            return self.counts

    assert Counted(pa.array(["a", "b", "a"])) == {"a": 2, "b": 1}


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 100_000, "1" * 10_000, "", "{'a': 1}"])
def test_what_a_guest_writes_is_checked(text: str) -> None:
    with pytest.raises(ValueError):
        json_value(text)
    codec = RowCodec("f", (), ResultType(JSON, True))
    parameter = Parameter("x", named("string"), True)
    with pytest.raises(udfvm.ProtocolError, match="the guest's reply is not valid"):
        codec.decode(encode_value("f", parameter, text))
    assert codec.decode(encode_value("f", parameter, '{"a": [1]}')) == {"a": [1]}


def test_texts_of_durations_decimals_and_intervals() -> None:
    """An interval is a tuple, which JSON would have as a list."""

    @udfvm.udf(packages=["pyarrow"])
    def texts(months: int) -> dict[str, Any]:
        import datetime
        import decimal

        import pyarrow

        interval = pyarrow.MonthDayNano([months, 2, 3_000])
        return {
            "interval": interval,
            "list": [interval, (interval, 1)],
            "duration": datetime.timedelta(seconds=90.5),
            "decimal": decimal.Decimal("1.50"),
        }

    assert texts(1) == {
        "interval": "P1M2DT0.000003S",
        "list": ["P1M2DT0.000003S", ["P1M2DT0.000003S", 1]],
        "duration": "PT90.5S",
        "decimal": "1.50",
    }

    @udfvm.udf(packages=["pyarrow"])
    def not_a_number(x: int) -> dict[str, Any]:
        import decimal

        return {"x": decimal.Decimal("NaN")}

    with pytest.raises(udfvm.UDFError, match=r"in \['x'\]: Object of type Decimal is not JSON"):
        not_a_number(1)
