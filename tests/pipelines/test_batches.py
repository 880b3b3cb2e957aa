"""Cutting a source into batches."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from udfvm.pipelines.batches import MAX_BYTES, MAX_ROWS, BatchSize, cut


@given(
    st.lists(st.integers(0, 5000), max_size=30),
    st.lists(st.tuples(st.integers(1, 70_000), st.floats(0, 10)), max_size=30),
)
def test_all_rows_come_in_order(sizes: list[int], measured: list[tuple[int, float]]) -> None:
    size = BatchSize()
    whole, source = [], []
    for count in sizes:
        rows = list(range(len(whole), len(whole) + count))
        whole += rows
        source.append(pa.record_batch({"x": pa.array(rows, pa.int64())}))
    found: list[int] = []
    for batch in cut(source, size):
        assert 0 < batch.num_rows <= max(1, size.rows) * 5 // 4 + 1
        found += batch.column(0).to_pylist()
        if measured:
            size.measured(*measured.pop())
            assert 1 <= size.rows <= MAX_ROWS
    assert found == whole


def test_batches_grow_as_far_as_they_are_fast() -> None:
    size = BatchSize(0.05)
    before = size.rows
    size.measured(before, 0.0001)
    assert size.rows == 4 * before
    for _ in range(10):
        size.measured(size.rows, 0.0001)
    assert size.rows == MAX_ROWS
    size.measured(10, 0.001)  # the rest of a batch says nothing
    assert size.rows == MAX_ROWS
    size.measured(MAX_ROWS, 50.0)
    assert size.rows == MAX_ROWS // 1000


def test_a_maximum_holds() -> None:
    size = BatchSize(maximum=20)
    size.measured(20, 0.0)
    assert size.rows == 20
    assert BatchSize(maximum=0).rows == 1


def test_rows_of_many_bytes_make_small_batches() -> None:
    size = BatchSize()
    while size.rows < MAX_ROWS:
        size.measured(size.rows, 0.0)
    large = pa.record_batch({"x": pa.array([b"x" * (MAX_BYTES // 3)] * 10)})
    assert [batch.num_rows for batch in cut([large], size)] == [2, 2, 2, 2, 2]
    small = [large.slice(row, 1) for row in range(10)]
    assert sum(batch.num_rows for batch in cut(small, size)) == 10
    assert all(batch.nbytes < 2 * MAX_BYTES for batch in cut(small, size))
