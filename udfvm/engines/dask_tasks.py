"""What tasks of Dask call: functions with a partition of a frame, or with a block of an array.

The objects here go to workers, with their function. Their token names the tasks: Dask computes
tasks of one name once. So it is random, unless the function is deterministic.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from udfvm.codec.pandas_columns import Backend, series_of
from udfvm.engines.failures import locate_in
from udfvm.errors import Error, SignatureError, hides_frames
from udfvm.functions.engine_calls import call_of_engine
from udfvm.functions.integration import results_of_values

if TYPE_CHECKING:
    from udfvm.functions.scalar import ScalarFunction
    from udfvm.functions.table import TableFunction


class _Task:
    """What a task calls.

    Attributes:
        __name__: the name that Dask shows.
    """

    def __init__(self, function: Any, *facts: Any) -> None:
        self.__name__ = function.name
        self._function = function
        self._token = _token(function, facts)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__qualname__, self._token


class Values(_Task):
    """Calls a function that has a value for each row with the columns of a partition."""

    _function: ScalarFunction

    def __init__(
        self,
        function: ScalarFunction,
        arguments: Sequence[Any],
        places: Sequence[int],
        meta: Any,
        *,
        of_index: bool,
    ) -> None:
        """``places`` are those of the arguments that are parts of collections of Dask, in the order
        in which a task has them; the others are values. ``meta`` is the result without rows.
        ``of_index``: a task has one part more, before these, whose index the result has.
        """
        self._values = [None if place in places else each for place, each in enumerate(arguments)]
        self._places = list(places)
        self._name, self._dtype = meta.name, meta.dtype
        self._of_index = of_index
        super().__init__(function, self._values, places, meta.name, str(meta.dtype))

    @hides_frames
    def __call__(self, *parts: Any) -> Any:
        index = parts[0].index
        given = list(self._values)
        columns = parts[1:] if self._of_index else parts
        for place, part in zip(self._places, columns, strict=True):
            given[place] = part
        function = self._function
        with _calls(of="partition"):
            if self._of_index:
                values = results_of_values(function, given, len(index))
                made = series_of(function.name, values, Backend.NUMPY)
                made.index = index
            else:
                made = function(*given)
        return _cast(made.rename(self._name), self._dtype)


class Rows(_Task):
    """Calls a table function for each row of a partition."""

    _function: TableFunction

    def __init__(
        self, function: TableFunction, columns: Sequence[str], keep: Sequence[str], meta: Any
    ) -> None:
        self._columns, self._keep = list(columns), list(keep)
        self._dtypes = dict(meta.dtypes)
        super().__init__(function, self._columns, self._keep)

    @hides_frames
    def __call__(self, part: Any) -> Any:
        from udfvm.engines.pandas import OfFrame

        with _calls(of="partition"):
            frame = OfFrame(part).table(self._function, *self._columns, keep=self._keep)
        for name, dtype in self._dtypes.items():
            frame[name] = _cast(frame[name], dtype)
        return frame


class Block(_Task):
    """Calls a function with blocks of arrays."""

    _function: ScalarFunction

    def __init__(
        self, function: ScalarFunction, arguments: Sequence[Any], places: Sequence[int], dtype: Any
    ) -> None:
        self._values = [None if place in places else each for place, each in enumerate(arguments)]
        self._places = list(places)
        self._dtype = dtype
        super().__init__(function, self._values, places, str(dtype))

    @hides_frames
    def __call__(self, *blocks: Any) -> Any:
        import numpy as np

        blocks = tuple(np.broadcast_arrays(*blocks))
        given = list(self._values)
        for place, block in zip(self._places, blocks, strict=True):
            given[place] = np.ascontiguousarray(block).ravel()
        with _calls(of="block"):
            made = self._function(*given)
        return made.astype(self._dtype, copy=False).reshape(blocks[0].shape)


def _cast(series: Any, dtype: Any) -> Any:
    """Returns a Series as of a dtype: of what it is with nulls, perhaps. Each partition has
    categories of its own.
    """
    is_category = type(dtype).__name__ == "CategoricalDtype"
    return series if is_category or series.dtype == dtype else series.astype(dtype)


def _token(function: Any, facts: tuple[Any, ...]) -> str:
    if function.limits.deterministic:
        from dask.tokenize import tokenize

        with contextlib.suppress(SignatureError):  # which schedulers of this process do not need
            return str(tokenize(pickle.dumps(function), facts))
    return uuid.uuid4().hex


@contextlib.contextmanager
def _calls(*, of: str) -> Iterator[None]:
    """Within it this thread makes the calls of a task. ``of`` is what rows count in."""
    calls = None
    if "distributed.worker" in sys.modules:
        from udfvm.engines.dask_workers import calls_of_task

        calls = calls_of_task()
    try:
        with calls or call_of_engine("dask", raises=True):
            yield
    except Error as error:
        locate_in(error, of)
        raise
