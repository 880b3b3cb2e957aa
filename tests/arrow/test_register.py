"""UDFs as functions of pyarrow.compute and in dataset expressions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import udfvm
import udfvm.arrow

_numbers = itertools.count()


@pytest.fixture
def name() -> Iterator[str]:
    """A name that no test has registered: pyarrow never forgets one."""
    yield f"udf_of_test_{next(_numbers)}"


def score(dep_delay: float, distance: float) -> float | None:
    """Delay by distance.

    In percent.
    """
    return None if distance == 0 else dep_delay / distance * 100


def _registered(name: str) -> udfvm.ScalarFunction:
    function = udfvm.udf(score, name=name)
    udfvm.arrow.register(function)
    return function


def test_call_function(name: str) -> None:
    _registered(name)
    delays, distances = pa.array([12.0, None, 1.0]), pa.array([300.0, 1.0, 0.0])
    assert pc.call_function(name, [delays, distances]).to_pylist() == [4.0, None, None]
    assert pc.call_function(name, [delays, pa.scalar(100.0)]).to_pylist() == [12.0, None, 1.0]
    chunked = pc.call_function(
        name, [pa.chunked_array([delays, delays]), pa.chunked_array([distances] * 2)]
    )
    assert chunked.to_pylist() == [4.0, None, None] * 2
    assert pc.get_function(name).arity == 2
    assert "Delay by distance." in pc.get_function(name)._doc.summary


def test_scalars_only(name: str) -> None:
    _registered(name)
    result = pc.call_function(name, [pa.scalar(12.0), pa.scalar(300.0)])
    assert (result.to_pylist() if isinstance(result, pa.Array) else [result.as_py()]) == [4.0]


def test_datasets(name: str, tmp_path: Path) -> None:
    _registered(name)
    table = pa.table(
        {
            "dep_delay": [12.0, -3.0, None, 8.0] * 500,
            "distance": [300, 100, 100, 0] * 500,
            "carrier": ["AA", "UA"] * 1000,
        }
    )
    pq.write_table(table, tmp_path / "flights.parquet", row_group_size=300)
    dataset = ds.dataset(tmp_path / "flights.parquet")
    expression = pc.Expression._call(
        name, [ds.field("dep_delay"), ds.field("distance").cast("double")]
    )
    projected = dataset.to_table(columns={"s": expression, "carrier": ds.field("carrier")})
    assert projected["s"].to_pylist() == [4.0, -3.0, None, None] * 500
    assert dataset.to_table(filter=expression > 0).num_rows == 500
    grouped = projected.group_by("carrier").aggregate([("s", "mean")]).sort_by("carrier")
    assert grouped["s_mean"].to_pylist() == [4.0, -3.0]


def test_vectorised(name: str) -> None:
    def longer(text, count):  # type: ignore[no-untyped-def]
        return pc.binary_repeat(text, count)

    function = udfvm.udf(
        longer, name=name, vectorized=True, input_types=["string", "int64"], output_type="string"
    )
    udfvm.arrow.register(function)
    assert pc.call_function(name, [pa.array(["a", None]), pa.array([3, 3])]).to_pylist() == [
        "aaa",
        None,
    ]


def test_errors_are_the_callers(name: str) -> None:
    def fails(x: int) -> int:
        raise ValueError(f"not {x}")

    udfvm.arrow.register(udfvm.udf(fails, name=name))
    with pytest.raises(udfvm.UDFError, match="ValueError: not 1"):
        pc.call_function(name, [pa.array([1])])


def test_registering_again(name: str) -> None:
    _registered(name)

    def other(dep_delay: float, distance: float) -> float:
        return dep_delay + distance

    udfvm.arrow.register(udfvm.udf(other, name=name))
    assert pc.call_function(name, [pa.array([1.0]), pa.array([2.0])]).to_pylist() == [3.0]

    def of_other_types(x: int) -> int:
        return x

    with pytest.raises(
        udfvm.SignatureError, match=f"{name}.*with other types.*double, double.*another name="
    ):
        udfvm.arrow.register(udfvm.udf(of_other_types, name=name))


def test_names_of_pyarrow_are_taken() -> None:
    with pytest.raises(
        udfvm.SignatureError, match=r"'add'.*pyarrow.compute has a function of that name"
    ):
        udfvm.arrow.register(udfvm.udf(score, name="add"))


def test_no_parameters() -> None:
    def constant() -> int:
        return 1

    with pytest.raises(udfvm.SignatureError, match="at least one parameter"):
        udfvm.arrow.register(udfvm.udf(constant))
