"""Functions in Ray Data: actors that call them with the batches of a dataset.

Where the execution of a dataset ends, Ray Data does not end what its actors do: it sets a flag, at
which the thread of an actor's task has to look. So that thread makes a call on another one, and
looks meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.checks import shown
from udfvm.engines.failures import copied, locate_in
from udfvm.engines.packages import load_package
from udfvm.errors import Error, OptionError, TypeMappingError, hides_frames
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.integration import (
    bound_arguments,
    check_functions,
    results_of_values,
    value_of_group,
)
from udfvm.functions.preparing import prepare
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.table import TableFunction
from udfvm.keywords import no_column
from udfvm.vmm import Cancellation

if TYPE_CHECKING:
    from udfvm.functions.function import Function

_ray: Final = load_package("ray", engine="ray", package="ray", oldest="2.60")

__all__ = ["actor"]

_LOOK: Final = 0.1  # seconds between two looks at the flag


def __dir__() -> list[str]:
    return sorted(__all__)


@hides_frames
def actor(
    function: Function, /, *columns: str, keep: Sequence[str] | None = None
) -> type[Callable[[Any], Iterator[Any]]]:
    """Makes a class of actors for Ray Data, which call a function with the batches of a dataset.
    ``function.ray`` does the same.

    An actor finds the function's image in the cache of its node, or builds it, when it starts:
    actors that share a cache build it once. Each batch is a call.

    Args:
        function: a function of any form. A vectorised one sees a batch at a time.
        columns: the column of the dataset for each parameter. None at all: columns with the
            parameters' names; a parameter without a column has its default.
        keep: columns of the dataset that the result has, too. Default: all; with an aggregate none.

    Returns:
        A class for ``dataset.map_batches(..., batch_format="pyarrow")``, with ``concurrency=`` or
        ``compute=ray.data.ActorPoolStrategy(...)``. A scalar function adds a column with its name.
        A table function has its columns, for each row that it yields. An aggregate has one row for
        a batch, in a column with its name: pass it to ``dataset.groupby(...).map_groups``, and
        ``keep=`` the keys.

    Raises:
        SignatureError: it is no function of micro-VMs.

    Executions raise what calls raise; the ``row`` of an error counts in its batch. Calls end with
    the execution that they are for, however it ends.
    """
    check_functions("udfvm.ray.actor", [function], None)
    kept = None if keep is None else [keep] if isinstance(keep, str) else list(keep)
    names = {"__module__": __name__, "__qualname__": function.name, "__doc__": function.__doc__}
    facts = {"function": function, "columns": list(columns), "keep": kept}
    return type(function.name, (_Actor,), {**names, **facts})


class _Actor:
    """What calls a function with batches, in the process of an actor.

    Attributes:
        function: the function.
        columns: names of the columns for its parameters; none for those with the same names.
        keep: names of the columns that results have, too; None for all, with aggregates for none.
    """

    function: Function
    columns: list[str]
    keep: list[str] | None

    def __init__(self) -> None:
        prepare(self.function)

    def __call__(self, batch: Any) -> Iterator[pa.Table]:
        """Yields the result of a batch. It is a generator, because Ray runs those on the thread of
        its task.
        """
        if not isinstance(batch, pa.Table):
            raise TypeMappingError(
                f"UDF {self.function.name!r}: actors take tables of pyarrow; got {shown(batch)}:"
                " pass batch_format='pyarrow' to map_batches"
            )
        yield _ended_with_task(lambda: self._result(batch))

    def _result(self, batch: pa.Table) -> pa.Table:
        function = self.function
        try:
            if isinstance(function, TableFunction):
                names = self.columns or None
                return function.map(batch, columns=names, keep=self.keep, threads=1, progress=False)
            columns, given = self._kept(batch), self._given(batch)
            if isinstance(function, AggregateFunction):
                columns = {name: column.slice(0, 1) for name, column in columns.items()}
                values = value_of_group(function, given)
            elif any(isinstance(each, pa.ChunkedArray) for each in given):
                assert isinstance(function, ScalarFunction)
                values = function(*given)
            else:
                values = results_of_values(function, given, batch.num_rows)
            return pa.table({**columns, function.name: values})
        except Error as error:
            locate_in(error, "batch")
            raise _of_user(error) from None

    def _given(self, batch: pa.Table) -> tuple[Any, ...]:
        """Returns an argument for each parameter."""
        function = self.function
        places = [self._column(batch, each) for each in self.columns]
        names = [each.name for each in function.parameters if each.name in batch.column_names]
        named = {} if places else {each: batch[each] for each in names}
        return bound_arguments(function, places, named)

    def _column(self, batch: pa.Table, name: str) -> Any:
        if name in batch.column_names:
            return batch[name]
        absent = no_column("the dataset", name, batch.column_names)
        raise OptionError(f"UDF {self.function.name!r}: {absent}")

    def _kept(self, batch: pa.Table) -> dict[str, Any]:
        """Returns the columns that the result has, too."""
        function, keep = self.function, self.keep
        if keep is None:
            keep = [] if function.form == "aggregate" else batch.column_names
        if function.name in keep:
            raise OptionError(
                f"UDF {function.name!r}: the dataset has a column of that name, and so would the"
                " result: leave it out by keep=, or call with_options(name=...).ray"
            )
        return {name: self._column(batch, name) for name in keep}


def _of_user(error: Error) -> Error:
    """Returns an error like another that is also Ray's for code of users: others look like bugs of
    Ray in its log.
    """
    class_ = type(error)
    bases = (class_, _ray.exceptions.UserCodeException)
    body = {"__module__": class_.__module__, "__reduce__": lambda _: (_of_user, (error,))}
    return copied(type(class_.__name__, bases, body), error)


def _ended_with_task(call: Callable[[], pa.Table]) -> pa.Table:
    """Makes a call on another thread, which ends if Ray cancels the task of this one."""
    cancellation = Cancellation()
    results: list[pa.Table] = []
    failures: list[BaseException] = []

    def make() -> None:
        try:
            with cancellation.applies():
                results.append(call())
        except BaseException as error:  # noqa: BLE001 - the task raises it
            failures.append(error)

    thread = threading.Thread(target=make, name="udfvm-ray", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_LOOK)
            if _is_cancelled():
                cancellation.cancel()
    except BaseException:
        cancellation.cancel()
        raise
    finally:
        thread.join()
    if failures and cancellation:
        raise _ray.exceptions.TaskCancelledError
    if failures:
        raise failures[0]
    return results[0]


def _is_cancelled() -> bool:
    """Whether Ray cancelled the task of this thread."""
    context = _ray.get_runtime_context()
    return context.worker.mode == _ray.WORKER_MODE and bool(context.is_canceled())
