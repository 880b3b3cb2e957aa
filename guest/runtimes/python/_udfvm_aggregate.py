"""Aggregates: an instance of the user's class for each group that is being computed.

``_udfvm_agent.Aggregate`` answers most requests, in C. Here are states, columns that are Arrow
streams, and parameters that are instances of classes.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import _udfvm_agent
import cloudpickle
from _udfvm_agent import ANSWER_FINISH, ANSWER_MERGE, ANSWER_NONE, ANSWER_STATE, STATUS_OK
from _udfvm_column_batch import Batches
from _udfvm_layouts import AGGREGATE
from _udfvm_records import AggregateWithRecords, with_records
from _udfvm_report import report
from _udfvm_slots import column_slot, result_slot

_GROUP: Final = (column_slot("int64", False), column_slot("bool", True))


class Aggregate:
    """The groups of one call.

    Attributes:
        native: answers what C can answer; None if that is nothing.
    """

    native: _udfvm_agent.Aggregate | None

    def __init__(
        self,
        cls: type[Any] | AggregateWithRecords,
        metadata: Mapping[str, Any],
        schemas: tuple[bytes, bytes],
    ) -> None:
        """``schemas`` are the messages of those of the parameters and of the result."""
        self._shapes: Sequence[Any] = ()  # of parameters that are instances of classes
        if isinstance(cls, AggregateWithRecords):
            cls, self._shapes = cls
        self._class = cls
        self._groups: dict[int, Any] = {}
        self._batches = Batches(metadata, schemas, arguments=_GROUP)
        self._columns = self._batches.of(0)
        self._states = _udfvm_agent.ColumnBatch(
            (*_GROUP, column_slot("binary", False)), (result_slot("binary", False),)
        )
        self._row = -1
        self._deterministic = False
        self.native = None if self._shapes else self._in_c()

    def _in_c(self) -> _udfvm_agent.Aggregate | None:
        without, streams = self._batches.without_streams, self._batches.streams
        return _udfvm_agent.Aggregate(self._class, self._groups, without, without is not streams)

    def answer(self) -> tuple[int, int]:
        """Answers AGGREGATE."""
        self._row = -1
        self._deterministic = _udfvm_agent.begin_row()
        try:
            number, answer, flags = AGGREGATE.unpack_from(_udfvm_agent.input())
            self._columns = self._batches.of(flags)
            if answer == ANSWER_MERGE:
                self._merge()
            else:
                self._take_rows()
            return STATUS_OK, self._answer(number, answer)
        except BaseException as exception:  # noqa: BLE001 - the caller gets whatever the class raises
            return report(exception, self._row)

    def run(self, rows: Sequence[Sequence[Any]]) -> None:
        """Computes the value of a group of its own, for warming up."""
        group = self._class()
        for row in rows:
            group.step(*row)
        group.finish()

    def _answer(self, number: int, answer: int) -> int:
        self._row = -1
        if answer in (ANSWER_NONE, ANSWER_MERGE):
            return self._columns.write(0, [], 0)
        group = self._group(number)
        if answer == ANSWER_STATE:
            del self._groups[number]
            return self._states.write(1, [[cloudpickle.dumps(group.__getstate__())]], 0)
        value = self._each(group.finish)()
        if answer == ANSWER_FINISH:
            del self._groups[number]
        return self._columns.write(1, [[value]], 0)

    def _group(self, number: int) -> Any:
        group = self._groups.get(number)
        if group is None:
            group = self._groups[number] = self._each(self._class)()
        return group

    def _each(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the method, with clocks and randomness of its own for each row if the call is
        deterministic.
        """
        if not self._deterministic:
            return method

        def begun(*row: Any) -> Any:
            _udfvm_agent.begin_row()
            return method(*row)

        return begun

    def _taking(self, group: Any, inverse: bool | None) -> Callable[..., Any]:
        """Returns the method that takes a row."""
        method: Callable[..., Any] = group.inverse if inverse else group.step
        if self._shapes:
            method = with_records(method, self._shapes)
        return method if not self._deterministic else self._each(method)

    def _take_rows(self) -> None:
        _, (numbers, inverses, *arguments) = self._columns.read(AGGREGATE.size)
        start = 0
        for (number, inverse), run in itertools.groupby(zip(numbers, inverses, strict=True)):
            end = start + sum(1 for _ in run)
            group = self._group(number)
            self._apply(
                self._taking(group, inverse),
                [column[start:end] for column in arguments],
                start,
                end - start,
            )
            start = end

    def _apply(
        self, method: Callable[..., object], arguments: Sequence[list[Any]], start: int, rows: int
    ) -> None:
        iterators: list[Iterator[Any]] = [iter(column) for column in arguments]
        try:
            if len(iterators) == 1:
                for value in iterators[0]:
                    method(value)
            elif iterators:
                for row in zip(*iterators, strict=True):
                    method(*row)
            else:
                for _ in range(rows):
                    method()
        except BaseException:
            if iterators:
                self._row = start + rows - operator.length_hint(iterators[-1]) - 1
            raise

    def _merge(self) -> None:
        rows, (numbers, _, states) = self._states.read(AGGREGATE.size)
        for row in range(rows):
            other = object.__new__(self._class)
            _restore(other, cloudpickle.loads(states[row]))
            mine = self._groups.get(numbers[row])
            if mine is None:
                self._groups[numbers[row]] = other
            else:
                mine.merge(other)


def _restore(instance: Any, state: Any) -> None:
    """Does the opposite of object.__getstate__, as copyreg does."""
    if hasattr(instance, "__setstate__"):
        instance.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    for name, value in itertools.chain((attributes or {}).items(), (slots or {}).items()):
        setattr(instance, name, value)
