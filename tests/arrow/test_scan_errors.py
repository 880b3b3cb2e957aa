"""An error ends a scan of a dataset whose expressions call UDFs: Arrow calls them for every batch
that it has begun, also afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from scan_functions import number, text

import udfvm
import udfvm.arrow
from udfvm.functions import arrow_registry

pytestmark = pytest.mark.skipif(not arrow_registry.HAS_KERNELS, reason="kernels were not built")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = pa.cpu_count()
    pa.set_cpu_count(2)
    yield
    pa.set_cpu_count(before)


@pytest.fixture(scope="module", autouse=True)
def _seen() -> None:
    """Columns of numbers go to a VM without Python code, once one was seen."""
    assert number(pa.array([2, 3])).to_pylist() == [2, 3]


def batches(function: Any, values: list[int]) -> ds.Dataset:
    rows = [value if function is number else str(value) for value in values]
    return ds.dataset(pa.Table.from_batches([pa.record_batch({"x": [row]}) for row in rows]))


@pytest.mark.parametrize("function", [number, text])
@pytest.mark.parametrize(
    ("values", "threads"),
    [([1, *[0] * 20], False), ([1, *[0] * 20], True), ([0, 1, *[0] * 20], True)],
    ids=["one after the other", "by threads", "while another runs"],
)
def test_an_error_ends_the_other_calls(function: Any, values: list[int], threads: bool) -> None:
    """None of them takes until its deadline."""
    columns = {"y": function.expr(ds.field("x"))}
    with pytest.raises(udfvm.UDFError, match="ValueError: one"):
        batches(function, values).to_table(columns=columns, use_threads=threads)
    assert function.pool.statistics().idle == function.pool.statistics().live


def test_an_error_ends_the_calls_of_other_functions_of_the_scan() -> None:
    """It is in the second column; the calls for the first would go on."""
    columns = {"first": number.expr(pc.if_else(ds.field("x") == 1, 2, 0))}
    columns["second"] = number.expr(ds.field("x"))
    with pytest.raises(udfvm.UDFError, match="ValueError: one"):
        batches(number, [1, *[3] * 20]).to_table(columns=columns, use_threads=False)


def test_another_scan_begins_anew() -> None:
    """Also of the same scanner, and while the error is kept."""
    asked: list[int] = []

    def fails(x: int) -> bool:
        asked.append(x)
        return len(asked) == 1

    @udfvm.udf(host_functions=[fails])
    def asking(x: int) -> int:
        if fails(x):
            raise ValueError("first")
        return x

    dataset = batches(number, list(range(10)))
    scanner = dataset.scanner(columns={"y": asking.expr(ds.field("x"))}, use_threads=False)
    with pytest.raises(udfvm.UDFError, match="ValueError: first") as kept:
        scanner.to_table()
    assert asked == [0]
    assert scanner.to_table()["y"].to_pylist() == list(range(10))
    assert kept.value.guest_message == "first"


def test_calls_of_no_scan_know_nothing_of_each_other() -> None:
    udfvm.arrow.register(None, number, name="number_of_no_scan")
    for value, expected in ((1, None), (2, [2]), (1, None), (3, [3])):
        columns = [pa.chunked_array([[value], [value]])]
        if expected is None:
            with pytest.raises(udfvm.UDFError, match="ValueError: one"):
                pc.call_function("number_of_no_scan", columns)
        else:
            assert pc.call_function("number_of_no_scan", columns).to_pylist() == expected * 2
