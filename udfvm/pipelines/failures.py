"""Rows that fail: where they are in the whole input, and finding them in a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

from udfvm.errors import CallError, CallTimeoutError, HostFunctionError, TypeMappingError
from udfvm.tuples import NamedTuple

OnError = Literal["raise", "null", "skip"]
Failure = CallError | TypeMappingError

_Result = TypeVar("_Result")


class Part(NamedTuple):
    """Rows of a batch that were called at once: from ``start`` on, so many."""

    start: int
    rows: int


def call_rows(
    rows: int, call: Callable[[int, int], _Result]
) -> Iterator[tuple[Part, _Result | Failure]]:
    """Yields, in order, results of rows that were called together, and failures of single rows.

    Where the failed row is known, the rows before and behind it are called again. Where it is not,
    for example after a timeout, both halves are. No row is called together with one that failed.

    Args:
        rows: how many there are.
        call: calls with the rows from a start on, so many. Its failures say their row in these.

    Raises what is no failure of a row.
    """
    waiting = [Part(0, rows)] if rows else []
    while waiting:
        part = waiting.pop()
        try:
            yield part, call(part.start, part.rows)
        except (CallError, TypeMappingError) as failure:
            if not _is_of_rows(failure):
                raise
            row = failure.row
            if part.rows == 1:
                yield part, failure
            elif row is None or not 0 <= row < part.rows:
                half = part.rows // 2
                waiting.append(Part(part.start + half, part.rows - half))
                waiting.append(Part(part.start, half))
            else:
                behind = part.rows - row - 1
                if behind:
                    waiting.append(Part(part.start + row + 1, behind))
                waiting.append(Part(part.start + row, 1))
                if row:
                    waiting.append(Part(part.start, row))


def _is_of_rows(failure: Failure) -> bool:
    """Returns True if other rows may not fail."""
    if isinstance(failure, TypeMappingError):
        return failure.row is not None
    cause = failure.__cause__
    return (
        not isinstance(failure, HostFunctionError) or cause is None or isinstance(cause, Exception)
    )


@contextlib.contextmanager
def deadline_of_rows(timeout_per_row: float | None) -> Iterator[None]:
    """Calls within it have the deadline of their rows, if there is one: errors say so."""
    try:
        yield
    except CallTimeoutError as error:
        if timeout_per_row is not None:
            error.of_option("timeout_per_row")
        raise


def located(failure: Failure, first_row: int, rows: int) -> Failure:
    """Returns a failure that counts its row from the beginning of the input.

    ``first_row`` is the first of the ``rows`` that the call had. A failure whose row is not known
    gets a note that says which these were.
    """
    row = failure.row
    if row is None:
        if rows > 1 and isinstance(failure, CallError):
            failure.add_note(f"udfvm: in rows {first_row} to {first_row + rows - 1} of the input")
        elif rows == 1 and isinstance(failure, CallError):
            failure.locate(first_row)
        return failure
    failure.locate(first_row + row)
    return failure
