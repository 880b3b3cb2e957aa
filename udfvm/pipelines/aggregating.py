"""Pipelines of aggregates: one value of all rows of a source.

An aggregate that has ``merge`` sees the rows in parts, each in a VM of its own. Their states are
merged in order, into that of the first part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final, Literal, Protocol, get_args

import pyarrow as pa

from udfvm.checks import check_choice
from udfvm.errors import CallError, OptionError, TypeMappingError
from udfvm.pipelines.batches import BatchSize, cut
from udfvm.pipelines.columns import Arguments, Columns, Parameters, sliced
from udfvm.pipelines.failures import Failure, Part, call_rows, deadline_of_rows, located
from udfvm.pipelines.mapping import checked_threads, numbered
from udfvm.pipelines.progress import Counter, display_of
from udfvm.pipelines.sources import open_source
from udfvm.pipelines.workers import in_order
from udfvm.tuples import NamedTuple

OnErrorOfGroup = Literal["raise", "skip"]

_VMS_TO_SKIP: Final = 2  # one has the group, and another finds the rows that do not fail


class Group(Protocol):
    """The group that all rows belong to."""

    def feed(self, columns: Sequence[pa.Array]) -> int:
        """Takes rows; returns how many count. Failures have their row in these."""

    def merge(self, state: bytes) -> object:
        """Takes the state of another group."""

    def finish(self) -> Any:
        """Returns the value."""


class AggregateOptions(NamedTuple):
    """Options of ``map`` of an aggregate, as users write them."""

    columns: Columns
    threads: int | None
    progress: Any
    on_error: OnErrorOfGroup
    timeout_per_row: float | None


class Aggregated(NamedTuple):
    """An aggregate, as pipelines know it.

    Attributes:
        name: its name.
        begin: takes a VM for the group; the context gives it back.
        state_of: returns the state of a group of some rows, None if none of them counts. Several
            threads call it at once. None if states cannot be merged.
        max_vms: how many VMs there may be.
    """

    name: str
    begin: Callable[[], contextlib.AbstractContextManager[Group]]
    state_of: Callable[[Sequence[pa.Array]], bytes | None] | None
    max_vms: int


class _Done(NamedTuple):
    """A part of the input: the states of its rows that did not fail, where these are, and how the
    first other one failed.
    """

    batch: pa.RecordBatch
    states: list[bytes | None]
    good: list[Part]
    failure: Failure | None = None

    @property
    def failed(self) -> int:
        return int(self.batch.num_rows) - sum(part.rows for part in self.good)


def aggregate_source(
    aggregate: Aggregated,
    parameters: Parameters,
    source: object,
    options: AggregateOptions,
    size: BatchSize,
) -> Any:
    """Returns the aggregate of a source.

    Args:
        aggregate: what is called.
        parameters: its parameters.
        source: where the rows are.
        options: what the caller said.
        size: how large batches are.
    """
    name, begin, state_of, max_vms = aggregate
    threads = min(checked_threads(name, options.threads, max_vms), max_vms - 1)
    skips = _check_on_error(aggregate, options.on_error) == "skip"
    opened = open_source(name, source, parameters.wanted(options.columns), with_index=False)
    found = parameters.among(options.columns, opened.schema)
    read = opened.read(list(dict.fromkeys(each for each in found.columns if each is not None)))
    counter = Counter(name, display_of(options.progress, name), opened.rows)
    group_of_parts = state_of is not None and (threads > 1 or skips)

    def state_of_rows(columns: Sequence[pa.Array]) -> bytes | None:
        assert state_of is not None
        with deadline_of_rows(options.timeout_per_row):
            return state_of(columns)

    def states(work: tuple[int, pa.RecordBatch]) -> _Done:
        return _states(found, work, state_of_rows, size, skips=skips)

    def all_states(work: tuple[int, pa.RecordBatch]) -> Generator[_Done]:
        yield states(work)

    works = numbered(cut(read, size))
    try:
        with begin() as group:
            for work in works:
                failed, failure = 0, None
                if skips:
                    done = states(work)
                    failed, failure = done.failed, done.failure
                    work = (work[0], _good(done))  # noqa: PLW2901
                fed = _fed(found, work, group, size)
                counter.add(work[1].num_rows + failed, failed, failure)
                if fed and group_of_parts:
                    break  # the group has begun: the states of others can be merged into it
            if group_of_parts:
                parts = in_order(works, all_states, max(1, threads), counter.look)
                with contextlib.closing(parts):
                    for done in parts:
                        for state in done.states:
                            if state is not None:
                                group.merge(state)
                        counter.add(done.batch.num_rows, done.failed, done.failure)
            value = group.finish()
        counter.warn("were left out")
        return value
    finally:
        counter.close()


def _check_on_error(aggregate: Aggregated, on_error: object) -> object:
    """Returns ``on_error``. Raises OptionError for a value that the aggregate cannot have."""
    option = f"UDF {aggregate.name!r}: on_error"
    check_choice(option, on_error, get_args(OnErrorOfGroup))
    if on_error == "skip" and aggregate.state_of is None:
        raise OptionError(
            f"{option}='skip' needs an aggregate with merge(): a row that fails takes the rows with"
            " it that its group has seen"
        )
    if on_error == "skip" and aggregate.max_vms < _VMS_TO_SKIP:
        raise OptionError(f"{option}='skip' needs a pool of at least {_VMS_TO_SKIP} VMs")
    return on_error


def _fed(
    arguments: Arguments, work: tuple[int, pa.RecordBatch], group: Group, size: BatchSize
) -> int:
    """Gives a group rows. Returns how many count."""
    first_row, batch = work
    with _located(arguments, first_row, batch.num_rows), size.measuring(batch.num_rows):
        return group.feed(arguments.cast(arguments.of(batch)))


def _states(
    arguments: Arguments,
    work: tuple[int, pa.RecordBatch],
    state_of: Callable[[Sequence[pa.Array]], bytes | None],
    size: BatchSize,
    *,
    skips: bool,
) -> _Done:
    first_row, batch = work
    given, rows = arguments.of(batch), batch.num_rows
    done = _Done(batch, [], [])

    def call(start: int, count: int) -> bytes | None:
        return state_of(arguments.cast(sliced(given, start, count)))

    if not skips:
        with _located(arguments, first_row, rows), size.measuring(rows):
            return _Done(batch, [call(0, rows)], [Part(0, rows)])
    for part, result in call_rows(rows, call):
        if not isinstance(result, (CallError, TypeMappingError)):
            done.states.append(result)
            done.good.append(part)
        elif done.failure is None:
            done = done._replace(failure=located(result, first_row + part.start, 1))
    return done


def _good(done: _Done) -> pa.RecordBatch:
    """Returns the rows that did not fail."""
    parts = [done.batch.slice(part.start, part.rows) for part in done.good]
    return pa.concat_batches([done.batch.slice(0, 0), *parts])


@contextlib.contextmanager
def _located(arguments: Arguments, first_row: int, rows: int) -> Iterator[None]:
    """Makes failures count their row from the beginning of the input, and name columns."""
    try:
        with arguments.naming_columns():
            yield
    except (CallError, TypeMappingError) as error:
        raise located(error, first_row, rows) from None
