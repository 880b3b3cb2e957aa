"""Table functions over all rows of a source."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline_functions import upto

import udfvm
from udfvm.vmm import Cancellation

pytestmark = pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")


@udfvm.table_function(columns={"word": str, "at": int})
def words(text: str, skip: int = 0) -> Iterator[tuple[str, int]]:
    for at, word in enumerate(text.split()[skip:]):
        if word == "stop":
            raise ValueError("stopped")
        yield word, at


LINES = pa.table(
    {"line": range(4), "text": ["to be or", "", None, "not to be"], "first": [1, 0, 0, 2]}
)


def test_rows_are_repeated_for_each_row_that_they_give() -> None:
    made = words.map(LINES, keep=["line"])
    assert made.to_pydict() == {
        "line": [0, 0, 0, 3, 3, 3],
        "word": ["to", "be", "or", "not", "to", "be"],
        "at": [0, 1, 2, 0, 1, 2],
    }
    made = words.map(LINES, columns=["text", "first"], keep=[])
    assert made.to_pydict() == {"word": ["be", "or", "be"], "at": [0, 1, 0]}


def test_many_rows_keep_their_order() -> None:
    table = pa.table({"text": [f"{row} {row}b" * (row % 3) for row in range(3000)]})
    made = words.map(table, keep=[], threads=2)
    expected = [word for text in table["text"].to_pylist() for word in text.split()]
    assert made["word"].to_pylist() == expected


def test_a_row_may_give_many_rows(tmp_path: Path) -> None:
    target = tmp_path / "many.parquet"
    done = upto.map(pa.table({"count": [100_000, 0, 5]}), output=target)
    assert done.rows == 3
    made = pq.read_table(target)
    assert made["i"].to_pylist() == [*range(100_000), *range(5)]
    assert made["count"].to_pylist() == [100_000] * 100_000 + [5] * 5


@udfvm.table_function(columns={"i": int})
def fails_late(count: int) -> Iterator[int]:
    yield from range(count)
    if count > 10:
        raise ValueError("late")


@pytest.mark.parametrize("function", [upto, fails_late])
@pytest.mark.parametrize("counts", [[3, 300_000, 5], [300_000]])
def test_many_rows_for_one_come_in_several_batches(function: Any, counts: list[int]) -> None:
    """In order, and none of them twice, although the function may be called again."""
    seen: list[udfvm.Progress] = []
    source = pa.table({"count": counts})
    reader = function.map(
        source, output=pa.RecordBatchReader, on_error="null", progress=seen.append
    )
    batches = list(reader)
    assert max(batch.num_rows for batch in batches) < 150_000
    found = pa.Table.from_batches(batches).to_pylist()
    for count in counts:
        of_row = [each["i"] for each in found if each["count"] == count]
        if function is fails_late and count > 10:
            assert of_row.pop() is None and 131_072 <= len(of_row) <= count
            count = len(of_row)  # noqa: PLW2901
        assert of_row == list(range(count))
    assert [each["count"] for each in found] == sorted(
        (each["count"] for each in found), key=counts.index
    )
    assert seen[-1].rows == len(counts)
    assert seen[-1].failed == (function is fails_late)


def test_rows_that_fail() -> None:
    table = pa.table({"text": ["a", "b stop", "c"]})
    with pytest.raises(udfvm.UDFError, match="row 1: ValueError: stopped") as caught:
        words.map(table)
    assert caught.value.row == 1
    with pytest.warns(udfvm.FailedRowsWarning, match="1 of 3 rows .* row 1: ValueError: stopped"):
        assert words.map(table, on_error="skip")["word"].to_pylist() == ["a", "c"]
    with_null = words.map(table, on_error="null")
    assert with_null.to_pydict() == {
        "text": ["a", "b stop", "c"],
        "word": ["a", None, "c"],
        "at": [0, None, 0],
    }


def test_a_row_that_fails_among_many() -> None:
    texts = [f"{row}" if row % 5 else None for row in range(3000)]
    texts[2777] = "last stop"
    table = pa.table({"text": texts})
    with pytest.raises(udfvm.UDFError, match="row 2777: ValueError: stopped") as caught:
        words.map(table, threads=2)
    assert caught.value.row == 2777
    made = words.map(table, on_error="skip", threads=2)
    assert made["word"].to_pylist() == [f"{row}" for row in range(3000) if row % 5 and row != 2777]


_calls = itertools.count(1)


@udfvm.table_function(columns={"calls": int})
def counted(x: int) -> Iterator[int]:
    yield next(_calls)


def test_rows_of_a_batch_share_a_micro_vm() -> None:
    made = counted.map(pa.table({"x": range(2000)}))["calls"].to_pylist()
    assert made[:2] == [1, 2] and max(made) < 2000  # there are several batches


def test_host_functions_are_not_called_again_to_find_a_row() -> None:
    seen: list[int] = []

    def note(x: int) -> int:
        seen.append(x)
        return x

    @udfvm.table_function(columns={"x": int}, host_functions=[note], timeout=0.5)
    def noted(x: int) -> Iterator[int]:
        yield note(x)
        while x == 2:
            pass

    with pytest.raises(udfvm.CallTimeoutError) as caught:
        noted.map(pa.table({"x": [1, 2, 3]}), keep=[])
    assert seen == [1, 2]
    assert "rows 0 to 2 of the input" in caught.value.__notes__[0]


def test_arguments_that_do_not_fit() -> None:
    table = pa.table({"count": pa.array([1, 1 << 63, 2], pa.uint64())})
    with pytest.raises(udfvm.TypeMappingError, match=r"row 1: argument 'count'") as caught:
        upto.map(table)
    assert caught.value.row == 1
    assert upto.map(table, on_error="skip")["i"].to_pylist() == [0, 0, 1]
    with pytest.raises(udfvm.TypeMappingError, match=r"row 1: argument 'count' .*column 'n'"):
        upto.map(table.rename_columns(["n"]), columns="n")


@udfvm.table_function(columns={"x": int}, timeout=60)
def waits(x: int) -> Iterator[int]:
    while x == 2:
        pass
    yield x


def test_a_row_that_never_ends() -> None:
    table = pa.table({"n": [1, 2, 3]})
    made = waits.map(table, columns="n", on_error="skip", timeout_per_row=0.3)
    assert made.to_pydict() == {"n": [1, 3], "x": [1, 3]}


@udfvm.table_function(columns={"x": int}, timeout=None)
def endless(x: int) -> Iterator[int]:
    while True:
        yield x


ENDS = {
    "timeout": ({"timeout": 0.2}, {}, udfvm.CallTimeoutError, r"within 0\.2 s; raise timeout= "),
    "timeout_per_row": (
        {},
        {"timeout_per_row": 0.1},
        udfvm.CallTimeoutError,
        r"within 0\.1 s; raise timeout_per_row= ",
    ),
    "max_output": (
        {"max_output": "1MiB"},
        {},
        udfvm.OutputLimitError,
        "limit of 1 MiB; raise max_output= ",
    ),
}


@pytest.mark.parametrize(("options", "call", "error", "text"), ENDS.values(), ids=ENDS)
def test_limits_hold_for_all_that_a_row_yields(
    options: dict[str, Any], call: dict[str, Any], error: type[udfvm.CallError], text: str
) -> None:
    function = endless.with_options(**options, name="limited")
    source = pa.table({"n": [1, 2]})
    with pytest.raises(error, match=f"row 0: .*{text}") as caught:
        function.map(source, columns="n", **call)
    assert caught.value.row == 0
    done = function.map(source, columns="n", output=Nothing(), on_error="skip", **call)
    assert (done.rows, done.failed) == (2, 2)


class Nothing:
    """Drops what it is given."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        pass


def test_a_function_may_yield_for_ever_to_who_stops() -> None:
    with udfvm.Pool(size=2) as pool:
        function = endless.with_options(pool=pool)
        reader = function.map(pa.table({"n": range(100)}), columns="n", output=pa.RecordBatchReader)
        batches = list(itertools.islice(reader, 8))
        assert all(batch["n"][0].as_py() == batch["x"][-1].as_py() == 0 for batch in batches)
        assert pool.statistics().idle == 0
        del reader
        assert pool.statistics().idle == pool.statistics().live


def test_short_exchanges_after_a_cancellation_are_not_made() -> None:
    """Of a pipeline that has ended. Each ends before the core looks at the flag."""
    cancellation = Cancellation()
    with cancellation.applies():
        batches = endless.batches(1)
        assert next(batches).num_rows
        cancellation.cancel()
        with pytest.raises(KeyboardInterrupt):
            next(batches)
