"""Batches of scalar and vectorised functions: one value for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from udfvm.call.dispatch import Calls
from udfvm.codec.any_columns import joined_parts, nulls
from udfvm.codec.containers import Container
from udfvm.errors import CallError, OutputLimitError, TypeMappingError
from udfvm.pipelines.columns import Arguments, sliced
from udfvm.pipelines.failures import Failure, OnError, call_rows, deadline_of_rows, located
from udfvm.pipelines.mapping import Made, nanoseconds


class ScalarMapping:
    """A scalar or vectorised function in a pipeline.

    Args:
        calls: the function's calls, as of the beginning of the pipeline.
        timeout_per_row: seconds that a row has; None for the deadline of the function.
    """

    is_table: Final = False

    def __init__(self, calls: Calls, timeout_per_row: float | None) -> None:
        declaration = calls.declaration
        self.name = declaration.name
        self.fields = [declaration.result.type.field(declaration.name)]
        self._calls = calls
        self._may_cut = declaration.host_functions is None
        self._timeout_per_row = timeout_per_row

    def map_batch(
        self, arguments: Arguments, batch: pa.RecordBatch, first_row: int, on_error: OnError
    ) -> Iterator[Made]:
        """Calls the function with the rows of a batch (see ``mapping.Mapped``)."""
        given, rows = arguments.of(batch), batch.num_rows
        if on_error != "raise":
            yield from self._without_failures(given, rows, first_row, on_error)
            return
        try:
            parts = self._call(given, rows)
        except OutputLimitError as error:
            if rows == 1 or not self._may_cut:
                raise located(error, first_row, rows) from None
            parts = self._in_parts(given, rows, first_row)
        except (CallError, TypeMappingError) as error:
            raise located(error, first_row, rows) from None
        yield from self._made(parts, None, rows)

    def _in_parts(self, given: Sequence[Any], rows: int, first_row: int) -> list[pa.Array]:
        """Calls with rows whose result is too large for one call."""

        def call(start: int, count: int) -> list[pa.Array]:
            return self._call(sliced(given, start, count), count)

        parts: list[pa.Array] = []
        for part, result in call_rows(rows, call):
            if isinstance(result, (CallError, TypeMappingError)):
                raise located(result, first_row + part.start, 1) from None
            parts += result
        return parts

    def _without_failures(
        self, given: Sequence[Any], rows: int, first_row: int, on_error: OnError
    ) -> Iterator[Made]:
        def call(start: int, count: int) -> list[pa.Array]:
            return self._call(sliced(given, start, count), count)

        parts: list[pa.Array] = []
        good: list[bool] = []
        failure: Failure | None = None
        for part, result in call_rows(rows, call):
            if not isinstance(result, (CallError, TypeMappingError)):
                good += [True] * part.rows
                parts += result
                continue
            good += [False] * part.rows
            failure = failure or located(result, first_row + part.start, 1)
            if on_error == "null":
                parts.append(nulls(1, self.fields[0].type))
        failed = good.count(False)
        chosen = None
        if on_error != "null" and failed:
            chosen = [row for row, each in enumerate(good) if each]
        yield from self._made(parts, chosen, rows, failed, failure)

    def _made(
        self,
        parts: Sequence[pa.Array],
        chosen: list[int] | None,
        rows: int,
        failed: int = 0,
        failure: Failure | None = None,
    ) -> Iterator[Made]:
        """Yields parts of the result of so many rows, together if one column has all values.
        ``chosen`` are the rows that it has, None for all.
        """
        *others, last = joined_parts(parts, self.fields[0].type)
        if not others:
            yield Made([last], chosen, rows, failed, failure)
            return
        chosen = list(range(rows)) if chosen is None else chosen
        start = 0
        for part in others:
            yield Made([part], chosen[start : start + len(part)], 0)
            start += len(part)
        yield Made([last], chosen[start:], rows, failed, failure)

    def _call(self, given: Sequence[Any], rows: int) -> list[pa.Array]:
        calls = self._calls
        if self._timeout_per_row is not None:
            calls = calls.snapshot(nanoseconds(self._timeout_per_row * rows))
        with deadline_of_rows(self._timeout_per_row):
            if calls.declaration.result.type.exact is None:
                return [calls.call_columns(given, Container.ARRAY)]
            made: pa.ChunkedArray = calls.call_columns(given, Container.PARTS)
            return made.chunks
