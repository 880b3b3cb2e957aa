"""Pipelines of aggregates: one value of all rows of a source.

An aggregate that has ``merge`` sees the rows in parts, each in a VM of its own. Their states are
merged in order, into that of the first part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from udfvm.errors import CallError, TypeMappingError
from udfvm.pipelines.batches import MAX_ROWS, BatchSize, cut
from udfvm.pipelines.columns import Arguments, Columns
from udfvm.pipelines.failures import located
from udfvm.pipelines.mapping import checked_threads, numbered
from udfvm.pipelines.progress import Counter, display_of
from udfvm.pipelines.sources import open_source
from udfvm.pipelines.workers import in_order

_FIRST_ROWS: Final = 1 << 12


class Group(Protocol):
    """The group that all rows belong to."""

    def feed(self, columns: Sequence[pa.Array]) -> int:
        """Takes rows; returns how many count. Failures have their row in these."""

    def merge(self, state: bytes) -> object:
        """Takes the state of another group."""

    def finish(self) -> Any:
        """Returns the value."""


def aggregate_source(
    name: str,
    arguments: Callable[[pa.Schema, Columns], Arguments],
    source: object,
    *,
    columns: Columns,
    threads: int | None,
    progress: Any,
    begin: Callable[[], contextlib.AbstractContextManager[Group]],
    state_of: Callable[[Sequence[pa.Array]], bytes | None] | None,
    max_vms: int,
) -> Any:
    """Returns the aggregate of a source.

    Args:
        name: the aggregate's name.
        arguments: finds its arguments among the columns of the source.
        source: where the rows are.
        columns: names of columns, as for ``arguments_of``.
        threads: how many VMs take rows at once, as for ``map``.
        progress: what shows progress, as for ``map``.
        begin: takes a VM for the group; the context gives it back.
        state_of: returns the state of a group of some rows, None if none of them counts. None if
            states cannot be merged.
        max_vms: how many VMs there may be.
    """
    count = min(checked_threads(name, threads, max_vms), max_vms - 1)  # one has the group
    opened = open_source(name, source)
    found = arguments(opened.schema, columns)
    read = opened.read(list(dict.fromkeys(each for each in found.columns if each is not None)))
    counter = Counter(display_of(progress, name), opened.rows)

    def apply(work: tuple[int, pa.RecordBatch], do: Callable[[Sequence[pa.Array]], Any]) -> Any:
        first_row, batch = work
        try:
            return batch.num_rows, do(found.cast(found.of(batch)))
        except (CallError, TypeMappingError) as error:
            raise located(error, name, found.parameters, first_row, batch.num_rows) from None

    size = BatchSize(maximum=_FIRST_ROWS, first=_FIRST_ROWS)
    works = numbered(cut(read, size))
    try:
        with begin() as group:
            for work in works:
                rows, fed = apply(work, group.feed)
                counter.add(rows, 0)
                size.rows = MAX_ROWS
                if fed and state_of is not None and count > 1:
                    break  # the group has begun: the states of others can be merged into it
            if state_of is not None and count > 1:
                state = state_of
                states = in_order(works, lambda work: apply(work, state), count, counter.look)
                with contextlib.closing(states):
                    for rows, found_state in states:
                        if found_state is not None:
                            group.merge(found_state)
                        counter.add(rows, 0)
            return group.finish()
    finally:
        counter.close()
