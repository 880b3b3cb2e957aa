"""Functions of every form find the files of ``data=``, whoever calls them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow
import udfvm.sqlite


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.bin"
    np.arange(10.0).tofile(path)
    return path


def at(index: int) -> float:
    return float(np.memmap("/data/numbers", "f8", "r")[index])


def at_each(index: np.ndarray) -> np.ndarray:
    picked: np.ndarray = np.memmap("/data/numbers", "f8", "r")[index]
    return picked


def all_from(index: int) -> Iterator[tuple[float]]:
    for number in np.memmap("/data/numbers", "f8", "r")[index:]:
        yield (float(number),)


class Picked:
    """The sum of the numbers that the rows of a group name."""

    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, index: int) -> None:
        self.sum += float(np.memmap("/data/numbers", "f8", "r")[index])

    def finish(self) -> float:
        return self.sum


def picked(*indices: int) -> float:
    return float(np.memmap("/data/numbers", "f8", "r")[list(indices)].sum())


def test_every_form(numbers: Path) -> None:
    data = {"numbers": numbers}
    vectorised = udfvm.udf(
        at_each, vectorized=True, input_types=["int64"], output_type="double", data=data
    )
    table = udfvm.table_function(columns={"number": float}, data=data)(all_from)
    aggregate = udfvm.aggregate(data=data)(Picked)
    assert udfvm.udf(at, data=data)(pa.array([3, None, 4])).to_pylist() == [3.0, None, 4.0]
    assert vectorised(np.array([9, 1])).tolist() == [9.0, 1.0]
    assert list(table(8)) == [(8.0,), (9.0,)]
    assert aggregate(pa.array([2, 3])) == 5.0
    assert udfvm.udf(picked, data=data)(1, 2, 3) == 6.0
    assert (
        udfvm.expression("len(open(p, 'rb').read())", p=str, result=int, data=data)("/data/numbers")
        == 80
    )


def test_sql_and_arrow(numbers: Path) -> None:
    function = udfvm.udf(at, data={"numbers": numbers})
    rows = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)"
    for connection in (apsw.Connection(":memory:"), sqlite3.connect(":memory:")):
        udfvm.sqlite.register(connection, function)
        assert list(connection.execute(f"{rows} SELECT sum(at(i)) FROM n")) == [(45.0,)]
        connection.close()
    udfvm.arrow.register(None, function)
    try:
        assert pc.call_function("at", [pa.array([1, 2])]).to_pylist() == [1.0, 2.0]
    finally:
        udfvm.arrow.unregister(None, "at")


def test_sql_goes_on_with_a_file_that_was_opened_anew(numbers: Path) -> None:
    function = udfvm.udf(at, data={"numbers": numbers})
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    assert connection.execute("SELECT at(3)").fetchall() == [(3.0,)]
    new = numbers.with_name("new")
    np.arange(10.0, 20.0).tofile(new)
    new.replace(numbers)
    assert connection.execute("SELECT at(3)").fetchall() == [(3.0,)]
    function.refresh()
    assert connection.execute("SELECT at(3)").fetchall() == [(13.0,)]
    with numbers.open("r+b") as file:
        file.truncate(8)
    with pytest.raises(apsw.SQLError, match="data file 'numbers' had 80 bytes") as caught:
        connection.execute("SELECT at(3)").fetchall()
    assert isinstance(caught.value.__cause__, udfvm.DataFileChangedError)


def test_sealed_functions_have_none(numbers: Path) -> None:
    from udfvm.sqlite import sealed

    with pytest.raises(udfvm.SealError, match="it has data files"):
        sealed.seal(udfvm.udf(at, data={"numbers": numbers}))
