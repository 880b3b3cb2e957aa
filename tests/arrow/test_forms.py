"""Aggregates, vector functions and tabular functions of pyarrow.compute."""

from __future__ import annotations

import decimal
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """A name that no test has registered."""
    return f"form_of_test_{next(_numbers)}"


class _Spread:
    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")

    def step(self, x: float) -> None:
        self.low, self.high = min(self.low, x), max(self.high, x)

    def finish(self) -> float | None:
        return self.high - self.low if self.high >= self.low else None


class _Joined:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def step(self, text: str | None, count: int) -> None:
        self.parts.append((text or "-") * count)

    def finish(self) -> str:
        return " ".join(sorted(self.parts))


class _Failing:
    def step(self, x: float) -> None:
        if x > 2:
            raise ValueError(f"{x} is too much")

    def finish(self) -> float:
        return 1.0


TABLE = pa.table(
    {
        "k": ["a", "b", "a", "b", "c"],
        "x": [1.0, 2.0, 3.5, None, None],
        "t": ["p", "q", None, "r", "s"],
        "n": [1, 2, 3, 4, 5],
    }
)

# ---- Aggregates ----


def test_aggregates(name: str) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Spread, name=name))
    assert pc.get_function(name).kind == "scalar_aggregate"
    assert pc.get_function(f"hash_{name}").kind == "hash_aggregate"
    assert pc.call_function(name, [TABLE["x"]]).as_py() == 2.5
    assert pc.call_function(name, [pa.array([3, 5, 4], pa.int16())]).as_py() == 2.0
    for threads in (False, True):
        grouped = TABLE.group_by("k", use_threads=threads).aggregate([("x", name)])
        assert grouped.sort_by("k").to_pydict() == {
            "k": ["a", "b", "c"],
            f"x_{name}": [2.5, 0, None],
        }
    assert TABLE.group_by([]).aggregate([("x", name), ("x", "sum")]).to_pydict() == {
        f"x_{name}": [2.5],
        "x_sum": [6.5],
    }


def test_aggregates_of_many_batches(name: str) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Spread, name=name))
    values = np.random.default_rng(0).random(300_000)
    keys = np.arange(300_000) % 7
    table = pa.table({"k": keys, "x": values})
    parts = pa.concat_tables([table.slice(first, 20_000) for first in range(0, 300_000, 20_000)])
    grouped = parts.group_by("k").aggregate([("x", name)]).sort_by("k")
    expected = [np.ptp(values[keys == key]) for key in range(7)]
    assert grouped[f"x_{name}"].to_pylist() == expected


def test_aggregates_of_several_columns_and_of_text(name: str) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Joined, name=name))
    grouped = TABLE.group_by("k").aggregate([(["t", "n"], name)]).sort_by("k")
    assert grouped[f"t_n_{name}"].to_pylist() == ["--- p", "qq rrrr", "sssss"]
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    value = pc.call_function(name, [TABLE["t"], TABLE["n"]], memory_pool=pool)
    assert value.as_py() == "--- p qq rrrr sssss" and pool.max_memory() > 0


NUMBERS = pa.array([1, 2, 4, None, None])


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    "column",
    [
        NUMBERS.cast(pa.int8()),
        NUMBERS.cast(pa.uint32()),
        NUMBERS.cast(pa.float32()),
        NUMBERS.cast(pa.float16()),
        NUMBERS.cast(pa.float64()).dictionary_encode(),
        NUMBERS.cast(pa.int16()).dictionary_encode(),
        pa.chunked_array([NUMBERS.cast(pa.int8())[:3], NUMBERS.cast(pa.int8())[3:]]),
    ],
    ids=lambda column: str(column.type),
)
def test_aggregates_cast_columns_of_groups(name: str, threads: bool, column: Any) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Spread, name=name))
    table = pa.table({"k": TABLE["k"], "x": column})
    grouped = table.group_by("k", use_threads=threads).aggregate([("x", name)]).sort_by("k")
    assert grouped.to_pydict() == {"k": ["a", "b", "c"], f"x_{name}": [3.0, 0.0, None]}
    whole = table.group_by([], use_threads=threads).aggregate([("x", name), ("x", name)])
    assert whole[0].to_pylist() == whole[1].to_pylist() == [3.0]


@pytest.mark.parametrize("type_", [pa.large_string(), pa.string_view()])
def test_aggregates_cast_text_and_numbers_of_groups(name: str, type_: pa.DataType) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Joined, name=name))
    table = TABLE.set_column(2, "t", TABLE["t"].cast(type_))
    table = table.set_column(3, "n", table["n"].cast(pa.int8()))
    for each in (table, table.set_column(2, "t", table["t"].cast(pa.string()).dictionary_encode())):
        grouped = each.group_by("k").aggregate([(["t", "n"], name)]).sort_by("k")
        assert grouped[f"t_n_{name}"].to_pylist() == ["--- p", "qq rrrr", "sssss"]


def test_aggregates_widen_decimals_of_groups(name: str) -> None:
    class Largest:
        found = None

        def step(self, x: decimal.Decimal) -> None:
            self.found = x if self.found is None else max(x, self.found)

        def finish(self) -> decimal.Decimal | None:
            return self.found

    digits = pa.decimal128(20, 4)
    udfvm.arrow.register(
        None, udfvm.aggregate(Largest, name=name, input_types=[digits], output_type=digits)
    )
    for type_ in (pa.decimal128(5, 2), pa.decimal64(9, 4), pa.int8()):
        table = pa.table({"k": TABLE["k"], "x": pa.array(NUMBERS.to_pylist(), type_)})
        grouped = table.group_by("k").aggregate([("x", name)]).sort_by("k")
        assert grouped[f"x_{name}"].type == digits
        assert grouped[f"x_{name}"].to_pylist() == [4, 2, None]


def test_aggregates_refuse_columns_that_would_lose_something(name: str) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Joined, name=name))
    table = TABLE.set_column(3, "n", TABLE["n"].cast(pa.uint64()))
    large = table.set_column(3, "n", pa.array([1 << 63] * 5, pa.uint64()))
    assert table.group_by("k").aggregate([(["t", "n"], name)]).num_rows == 3
    with pytest.raises(pa.ArrowInvalid, match="not in range"):
        large.group_by("k").aggregate([(["t", "n"], name)])
    with pytest.raises(pa.ArrowNotImplementedError, match="no kernel matching input types"):
        TABLE.group_by("k").aggregate([(["t", "x"], name)])


@pytest.mark.parametrize("threads", [False, True])
def test_errors_of_aggregates(name: str, threads: bool) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Failing, name=name))
    with pytest.raises(udfvm.UDFError, match=f"{name}', row 1 of its group: ValueError: 3.5 is"):
        TABLE.group_by("k", use_threads=threads).aggregate([("x", name)])
    with pytest.raises(udfvm.UDFError, match=r"ValueError: 3\.5 is too much"):
        pc.call_function(name, [TABLE["x"]])


def test_aggregates_without_rows(name: str) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Spread, name=name))
    assert TABLE.slice(0, 0).group_by("k").aggregate([("x", name)]).num_rows == 0
    with pytest.raises(pa.ArrowInvalid, match="empty inputs"):  # pyarrow asks no function then
        pc.call_function(name, [TABLE["x"].slice(0, 0)])


def test_aggregates_are_unregistered_and_replaced(name: str) -> None:
    udfvm.arrow.register(None, udfvm.aggregate(_Spread, name=name))
    udfvm.arrow.unregister(None, name)
    with pytest.raises(udfvm.UnknownUDFError, match="was unregistered"):
        TABLE.group_by("k").aggregate([("x", name)])
    udfvm.arrow.register(None, udfvm.aggregate(_Joined, name=name))
    assert pc.call_function(name, [TABLE["t"], TABLE["n"]]).as_py().startswith("---")
    grouped = TABLE.group_by("k").aggregate([(["t", "n"], name)])
    assert grouped[f"t_n_{name}"].to_pylist()[0] == "--- p"


# ---- Vector functions ----


def ranked(x: np.ndarray) -> np.ndarray:
    return x.argsort().argsort()


def test_vector_functions_see_whole_columns(name: str) -> None:
    function = udfvm.udf(
        ranked, name=name, vectorized=True, input_types=["double"], output_type="int64"
    )
    udfvm.arrow.register(None, function)
    assert pc.get_function(name).kind == "vector"
    assert pc.call_function(name, [pa.array([3.0, 1.0, 2.0])]).to_pylist() == [2, 0, 1]
    for chunks in ([[3.0, 1.0], [2.0]], [[], [3.0], [1.0, 2.0]], [[3.0, 1.0, 2.0]]):
        chunked = pa.chunked_array(chunks, pa.float64())
        assert pc.call_function(name, [chunked]).to_pylist() == [2, 0, 1]
    narrow = pa.chunked_array([[30, 10], [20]], pa.int8())
    assert pc.call_function(name, [narrow]).to_pylist() == [2, 0, 1]
    assert pc.call_function(name, [pa.chunked_array([], pa.float64())]).to_pylist() == []
    assert pc.call_function(name, [pa.scalar(3.0)]).to_pylist() == [0]


def test_elementwise_functions_are_scalar_functions(name: str) -> None:
    function = udfvm.udf(
        lambda x: x * 2,
        name=name,
        vectorized=True,
        elementwise=True,
        input_types=["double"],
        output_type="double",
    )
    udfvm.arrow.register(None, function)
    assert pc.get_function(name).kind == "scalar"


# ---- Tabular functions ----


class Row(NamedTuple):
    i: int
    text: str | None


def _rows(count: int = 100) -> Iterator[Row]:
    for i in range(count):
        if i == 5000:
            raise ValueError("there are too many")
        yield Row(i, f"row {i}" if i % 3 else None)


def test_tabular_functions(name: str) -> None:
    udfvm.arrow.register(None, udfvm.table_function(_rows, name=name))
    for _ in range(2):
        reader = pc.call_tabular_function(name)
        assert reader.schema.names == ["i", "text"]
        table = reader.read_all()
        assert table["i"].to_pylist() == list(range(100))
        assert table["text"].to_pylist()[:4] == [None, "row 1", "row 2", None]


def test_the_vm_of_a_tabular_function_goes_back(name: str) -> None:
    with udfvm.Pool(size=1) as pool:
        udfvm.arrow.register(None, udfvm.table_function(_rows, name=name, pool=pool))
        for _ in range(3):
            reader = pc.call_tabular_function(name)
            assert reader.read_next_batch().num_rows == 64
            del reader


def test_errors_of_tabular_functions(name: str) -> None:
    def many(count: int = 6000) -> Iterator[Any]:
        return _rows(count)

    function = udfvm.table_function(many, name=name, columns={"i": int, "text": str})
    udfvm.arrow.register(None, function)
    with pytest.raises(udfvm.UDFError, match="ValueError: there are too many"):
        pc.call_tabular_function(name).read_all()


def test_tabular_functions_have_no_arguments(name: str) -> None:
    def upto(count: int, step: int = 1) -> Iterator[int]:
        yield from range(0, count, step)

    function = udfvm.table_function(upto, name=name, columns={"i": int})
    with pytest.raises(udfvm.SignatureError, match=f"{name}.*no arguments, and 'count' has no def"):
        udfvm.arrow.register(None, function)
