"""Batches that are larger than a window, or whose results are: cut into as few calls as will do,
where a function works row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from udfvm.codec.window import TooLargeForWindowError
from udfvm.errors import CallTimeoutError, OutputLimitError
from udfvm.static_typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from udfvm.call.runtime import RuntimeKeeper

    class Sliceable(Protocol):
        """Rows: a record batch, a table, columns of numbers."""

        @property
        def num_rows(self) -> int:
            """Returns the number of rows."""

        def slice(self, start: int, count: int) -> Self:
            """Returns some of the rows, without a copy."""


_Result = TypeVar("_Result")

MANY_ROWS: Final = 1 << 13  # fewer are one call, whatever a row costs


_Rows = TypeVar("_Rows", bound="Sliceable")


TooLarge = TooLargeForWindowError | OutputLimitError


def call_in_chunks(
    whole: _Rows,
    call: Callable[[_Rows, int, TooLarge | None], _Result],
    *,
    cut: bool,
    cut_results: bool,
) -> list[_Result]:
    """Calls with all rows, in as few chunks as fit the windows. Returns the results in the order of
    the rows.

    Args:
        whole: the rows.
        call: makes one call. It gets some of the rows and the index of the first of them. If they
            did not fit, it also gets the error that says so, and finds larger windows for them.
        cut: True if the rows may be cut. If not, there is one call for all of them.
        cut_results: True if rows whose result is too large (OutputLimitError) may be cut too: not
            if the user set the limit.

    Raises what ``call`` raises.
    """
    results = []
    waiting = [(0, whole.num_rows)]
    while waiting:
        start, count = waiting.pop()
        rows = whole.slice(start, count)
        try:
            results.append(call(rows, start, None))
        except CallTimeoutError as error:
            error.of_rows(whole.num_rows)
            raise
        except TooLargeForWindowError as error:
            if not cut or count == 1:
                results.append(call(rows, start, error))
                continue
            step = max(1, count // error.parts)
            waiting += [
                (first, min(step, start + count - first))
                for first in range(start, start + count, step)
            ][::-1]
        except OutputLimitError as error:
            if not cut or count == 1 or not cut_results:
                results.append(call(rows, start, error))
                continue
            half = count // 2
            waiting += [(start + half, count - half), (start, half)]
    return results


def all_rows(
    call: Callable[..., _Result], calls: RuntimeKeeper, whole: Any, copy: Any, first_row: int
) -> list[_Result]:
    """Calls a function with rows of which the first has this index, in as few chunks as fit.

    ``call`` gets the function's calls, what copies the result, and what ``call_in_chunks`` passes,
    with the index of the first row among all.
    """
    declaration = calls.declaration
    parts = calls
    batch: ExitStack | None = None  # once it is cut: its parts have one report

    def call_part(rows: Any, start: int, failure: TooLarge | None) -> _Result:
        nonlocal parts, batch
        if batch is None and rows.num_rows < whole.num_rows:
            batch = ExitStack()
            parts = batch.enter_context(calls.batch())
        return call(parts, copy, rows, first_row + start, failure)

    try:
        return call_in_chunks(
            whole,
            call_part,
            cut=declaration.elementwise,
            cut_results=not declaration.limits.max_output,
        )
    finally:
        if batch is not None:
            batch.close()
