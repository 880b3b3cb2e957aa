"""Scalar and vectorised functions with a parameter ``*args``: calls, expressions, pyarrow.compute,
pipelines.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from variadic_functions import added, joined, scaled, total

import udfvm
import udfvm.arrow
from udfvm.functions import arrow_registry
from udfvm.sqlite.sealed import sealed_name


@dataclass
class Point:
    x: float
    y: float


@udfvm.udf
def length(*points: Point) -> float:
    return sum(abs(point.x) + abs(point.y) for point in points)


def test_any_number_of_values() -> None:
    assert [total(), total(1), total(1, 2.5), total(*range(200))] == [0.0, 1.0, 3.5, 19900.0]
    assert [joined("/"), joined("/", "a"), joined("/", "a", None, "c")] == ["", "a", "a/-/c"]
    assert total(1.0, None) is None
    assert joined(None, "a") is None
    assert length({"x": 1.0, "y": -2.0}, Point(3.0, 0.5)) == 6.5
    assert added(1.0, 2.0, 3.0) == 6.0
    assert repr(scaled) == "<UDF scaled(n: int64, scale: double, *xs: double) -> double>"


def test_defaults_and_keywords() -> None:
    assert [scaled(1), scaled(n=2), scaled(1, 3.0), scaled(1, 3.0, 4, 5)] == [2.0, 4.0, 3.0, 12.0]
    assert scaled(1, scale=0.5) == 0.5
    for wrong in ((), {"scale": 1.0}):
        with pytest.raises(
            udfvm.TypeMappingError,
            match=r"'n'; it takes at least 1 argument \(n, scale=, \*xs\)",
        ):
            scaled(**wrong) if isinstance(wrong, dict) else scaled(*wrong)
    with pytest.raises(udfvm.TypeMappingError, match=r"'xs'; it takes at least 1 argument"):
        scaled(1, xs=[2.0])


@pytest.mark.parametrize(
    "make", [np.array, pa.array, pd.Series, pl.Series, lambda values: pa.chunked_array([values])]
)
def test_columns_come_back_as_they_came(make: Callable[[list[Any]], Any]) -> None:
    first, second = make([1.0, 2.0]), make([0.5, 0.25])
    expected: list[tuple[Any, tuple[Any, ...], list[float]]] = [
        (total, (1, first, second), [2.5, 3.25]),
        (total, (first, second, 0, first, second), [3.0, 4.5]),
        (added, (first, second, first), [2.5, 4.25]),
        (scaled, (2, first), [2.0, 4.0]),
        (scaled, (2, 0.5, first, second), [2.5, 3.25]),
    ]
    for function, arguments, values in expected:
        made = function(*arguments)
        assert type(made) is type(first)
        assert list(map(float, made.to_pylist() if hasattr(made, "to_pylist") else made)) == values


def test_errors_name_the_argument() -> None:
    with pytest.raises(
        udfvm.TypeMappingError, match=r"argument 'words\[1\]' \(position 3\) is declared string"
    ):
        joined("/", "a", 1)
    with pytest.raises(udfvm.TypeMappingError, match=r"'xs\[2\]' \(position 3\).* cast it first"):
        total(1.0, 2.0, pa.array(["x"]))
    with pytest.raises(udfvm.TypeMappingError, match=r"at least 1 argument \(\*xs\); got 0"):
        added()


def test_what_cannot_take_any_number() -> None:
    def rows(*xs: int) -> Any:
        yield 1

    with pytest.raises(udfvm.SignatureError, match=r"\*xs takes any number .*a table function or"):
        udfvm.table_function(columns={"i": int})(rows)

    class Sum:
        def step(self, *xs: float) -> None: ...

        def finish(self) -> float:
            return 0.0

    with pytest.raises(udfvm.SignatureError, match=r"\*xs takes any number of arguments"):
        udfvm.aggregate(Sum)


def test_sealed_functions_have_a_fixed_number() -> None:
    with pytest.raises(udfvm.SealError, match=r"\*words takes any number .* sealed function"):
        sealed_name(joined, "")


def test_declared_types_options_and_samples() -> None:
    count = udfvm.udf(
        lambda *xs: len(xs), name="count", input_types=["int8"], output_type="int64", sample=(1, 2)
    )
    assert [count(), count(1), count(1, 2)] == [0, 1, 2]
    by_name = {"first": "string", "rest": "int8"}
    named = udfvm.udf(
        lambda first, *rest: first * len(rest), name="n", input_types=by_name, output_type="string"
    )
    assert named("ab", 1, 2) == "abab"
    assert total.with_options(name="sum").name == "sum"
    assert total.with_options(name="sum")(1, 2) == 3.0
    assert total.prepare().image is not None
    for sample, wrong in (((1, "a"), r"sample= for 'xs\[1\]'"), ({"xs": [1]}, "must be a tuple")):
        with pytest.raises(udfvm.OptionError, match=wrong):
            udfvm.udf(
                lambda *xs: 1, name="f", input_types=["int64"], output_type="int64", sample=sample
            )


def test_names_are_followed_and_functions_travel() -> None:
    step = 1

    def stepped(*xs: int) -> int:
        return sum(xs) + step

    function = udfvm.udf(stepped)
    assert (function(1), function(1, 2)) == (2, 4)
    step = 10
    assert (function(1), function(1, 2)) == (11, 13)
    assert function.refresh()(1, 2, 3) == 16
    arrived = pickle.loads(pickle.dumps(function))
    assert (arrived(1), arrived()) == (11, 10)


def test_pyarrow_compute() -> None:
    udfvm.arrow.register(None, total, joined, scaled)
    udfvm.arrow.register(None, added, name="added up")
    numbers = pa.array([1, 2, None], pa.int16())
    for count in (1, 2, 5):
        made = pc.call_function("total", [numbers.dictionary_encode()] * count)
        assert made.to_pylist() == [1.0 * count, 2.0 * count, None]
    assert pc.call_function("joined", [pa.array(["+"]), "a", pa.scalar("b")]).to_pylist() == ["a+b"]
    assert pc.call_function("joined", ["+", "a", "b"]).as_py() == "a+b"
    assert pc.call_function("scaled", [numbers, 2.0]).to_pylist() == [2.0, 4.0, None]
    chunked = pa.chunked_array([[1.0], [2.0, 3.0]])
    assert pc.call_function("added up", [chunked, chunked]).to_pylist() == [2.0, 4.0, 6.0]
    for name, given in (("scaled", [numbers]), ("added up", []), ("joined", [])):
        with pytest.raises(pa.ArrowInvalid, match="needs at least"):
            pc.call_function(name, given)
    with pytest.raises(pa.ArrowNotImplementedError, match="no kernel matching input types"):
        pc.call_function("total", [numbers, pa.array(["x", "y", "z"])])
    udfvm.arrow.register(None, total, name="added up")  # of other arguments
    if arrow_registry.HAS_KERNELS:
        assert pc.call_function("added up", [], length=2).to_pylist() == [0.0, 0.0]
        assert pc.call_function("total", [], length=3).to_pylist() == [0.0, 0.0, 0.0]
    udfvm.arrow.unregister(None, "total")
    with pytest.raises(udfvm.UnknownUDFError):
        pc.call_function("total", [numbers])


def test_expressions() -> None:
    dataset = ds.dataset(pa.table({"a": [1, 2], "b": [0.5, None], "s": ["x", "y"]}))
    a, b = ds.field("a"), ds.field("b")
    made = dataset.to_table(
        columns={
            "none": total.expr(),
            "one": total.expr(a),
            "three": total.expr(a, b, 10),
            "default": scaled.expr(a),
            "text": joined.expr("-", ds.field("s"), "z"),
        }
    )
    assert made.to_pydict() == {
        "none": [0.0, 0.0],
        "one": [1.0, 2.0],
        "three": [11.5, None],
        "default": [2.0, 4.0],
        "text": ["x-z", "y-z"],
    }
    assert dataset.to_table(filter=total.expr(a, a) > 3).num_rows == 1


def test_map() -> None:
    table = pa.table({"a": [1.0, 2.0, None], "b": [0.5, 0.25, 1.0], "n": [1, 2, 3]})
    assert total.map(table, columns=["a", "b"])["total"].to_pylist() == [1.5, 2.25, None]
    assert total.map(table, columns="b")["total"].to_pylist() == [0.5, 0.25, 1.0]
    assert total.map(table, columns={"xs": ["a", "a", "b"]})["total"].to_pylist()[1] == 4.25
    assert total.map(table, columns={"xs": "b"})["total"].to_pylist() == [0.5, 0.25, 1.0]
    for columns in (["n"], {"n": "n"}):
        assert scaled.map(table, columns=columns, keep=[]).to_pydict() == {"scaled": [2, 4, 6]}
    by_name = {"n": "n", "scale": "b", "xs": ["a"]}
    assert scaled.map(table, columns=by_name)["scaled"].to_pylist() == [1.5, 2.5, None]
    assert added.map(table, columns=["b", "b"])["added"].to_pylist() == [1.0, 0.5, 2.0]
    with pytest.raises(udfvm.OptionError, match=r"'total': map\(\).*kep="):
        total.map(table, columns=["a"], kep=[])
    with pytest.raises(udfvm.OptionError, match=r"which columns \*xs are: pass columns="):
        total.map(table)
    with pytest.raises(udfvm.OptionError, match=r"'ys'; the parameters are n, scale, xs$"):
        scaled.map(table, columns={"ys": ["a"]})
    with pytest.raises(udfvm.OptionError, match="names 'z', and the source has no column"):
        total.map(table, columns=["a", "z"])
    with pytest.raises(udfvm.OptionError, match="no column for parameter 'n'"):
        scaled.map(table, columns={"xs": ["a"]})
