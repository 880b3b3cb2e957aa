"""Aggregates: classes with ``step`` and ``finish`` that run in micro-VMs."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Unpack, overload

from udfvm.checks import check_switch, shown
from udfvm.errors import CallError, Error, SignatureError, TypeMappingError, hides_frames
from udfvm.functions.defaults import check_defaults
from udfvm.functions.function import Function
from udfvm.functions.group import Group, group_of, group_of_all, group_of_halves
from udfvm.functions.options import ELSEWHERE, PythonOptions, parsed_options
from udfvm.functions.program import Interface
from udfvm.functions.python import PythonProgram, check_init, check_method
from udfvm.functions.samples import checked_group
from udfvm.keywords import checks_keywords, checks_options
from udfvm.texts import listed
from udfvm.types.signatures import signature_of
from udfvm.types.unions import null_count

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.call.dispatch import Calls
    from udfvm.call.pool import Pool
    from udfvm.limits import Limits
    from udfvm.pipelines.aggregating import OnErrorOfGroup
    from udfvm.pipelines.columns import Columns
    from udfvm.pipelines.progress import Progress

_ENOUGH_FOR_TWO: Final = 1 << 18  # rows from which on a second micro-VM is worth it


class AggregateFunction(Function):
    """An aggregate. ``udfvm.aggregate`` makes it.

    >>> import numpy as np
    >>> @udfvm.aggregate
    ... class Total:
    ...     def __init__(self):
    ...         self.sum = 0.0
    ...     def step(self, x: float) -> None:
    ...         self.sum += x
    ...     def finish(self) -> float:
    ...         return self.sum
    >>> Total
    <aggregate UDF total(x: double) -> double>
    >>> Total(np.array([1.0, 2.5]))
    3.5
    """

    @property
    def has_inverse(self) -> bool:
        """True if it can take rows out again, so that it can serve moving windows."""
        return self._declaration.has_inverse

    @property
    def has_merge(self) -> bool:
        """True if its groups can be merged, so that two micro-VMs can share many rows."""
        return self._declaration.has_merge

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Returns the aggregate of all rows of some arrays.

        This is one call in one fresh micro-VM. If the class has ``merge``, two micro-VMs that run
        at once share many rows.

        Args:
            arguments, keywords: one column for each parameter of ``step``: of pandas, polars,
                pyarrow, numpy, or anything with Arrow's PyCapsule interface; values among them are
                repeated.

        Raises:
            TypeMappingError: an argument does not have the declared type, or none is an array.
            UDFError: a method of the class raised.
            CallError: the call failed in another way, for example by reaching a limit.

        >>> import pyarrow as pa
        >>> @udfvm.aggregate
        ... class Longest:
        ...     def __init__(self):
        ...         self.found = ""
        ...     def step(self, word: str) -> None:
        ...         self.found = max(self.found, word, key=len)
        ...     def finish(self) -> str:
        ...         return self.found
        >>> Longest(pa.array(["to", "be", "question"]))
        'question'
        """
        try:
            return self._value_of(self._columns(arguments, keywords), Group.finish)
        except Error as error:
            error.drop_frames()
            raise

    def _columns(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        """Returns an argument for each parameter. Raises TypeMappingError if none is a column."""
        from udfvm.codec.containers import Container, container_of

        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        if all(container_of(argument) is Container.SCALAR for argument in arguments):
            found = listed([type(each).__name__ for each in arguments] or ["none"], "and")
            raise TypeMappingError(
                f"UDF {self.name!r}: an aggregate is called with columns; got {found}: pass at"
                " least one column, such as numpy.array(...) or pyarrow.array(...) of a list"
            )
        return arguments

    def _value_of(self, arguments: Sequence[Any], finish: Callable[[Group], Any]) -> Any:
        """Returns what ``finish`` makes of the group of all rows of arrays."""
        from udfvm.codec.arguments import columns_of

        self._calls.follow()
        columns, _ = columns_of(self.name, self.parameters, arguments, vectorized=self.vectorized)
        table, valid = self._table(columns)
        with rows_that_count(valid):
            shared = self.has_merge and table.num_rows >= _ENOUGH_FOR_TWO
            with (group_of_halves if shared else group_of_all)(self._calls, table) as group:
                return finish(group)

    @checks_keywords
    def map(
        self,
        source: Any,
        *,
        columns: Columns = None,
        threads: int | None = None,
        progress: bool | Callable[[Progress], object] | None = None,
        on_error: OnErrorOfGroup = "raise",
        timeout_per_row: float | None = None,
    ) -> Any:
        """Returns the aggregate of all rows of a source, which is read in batches.

        If the class has ``merge``, several micro-VMs take rows at once. Their states are merged in
        the order of the rows. Otherwise one micro-VM takes all rows.

        Args:
            source, columns, threads, progress: as for ``ScalarFunction.map``.
            on_error: what happens to a row that fails: "raise" raises its error, "skip" leaves the
                row out, which needs ``merge``, and warns (``FailedRowsWarning``).
            timeout_per_row: seconds for each row, on average, of batches that have 2 s at most.
                Default: each batch has the function's ``timeout``.

        Raises:
            OptionError: an option has a value that it cannot have, or names no column.
            SourceError: the source cannot be read; SourceNotFoundError: its file is not there.
            OutputFileError: the file of ``output`` cannot be written.
            TypeMappingError: a column has a type or value that the parameter does not take.
            CallError: a call failed; ``row`` is the index of the row in the source, if it is known.

        >>> import pyarrow as pa
        >>> @udfvm.aggregate
        ... class Total:
        ...     def __init__(self):
        ...         self.sum = 0
        ...     def step(self, x: int) -> None:
        ...         self.sum += x
        ...     def merge(self, other) -> None:
        ...         self.sum += other.sum
        ...     def finish(self) -> int:
        ...         return self.sum
        >>> Total.map(pa.table({"x": range(100_000)}))
        4999950000
        """
        from udfvm.pipelines.aggregating import Aggregated, AggregateOptions, aggregate_source
        from udfvm.pipelines.failures import deadline_of_rows
        from udfvm.pipelines.mapping import batch_size, checked_timeout, nanoseconds

        row_timeout = checked_timeout(self.name, timeout_per_row)
        size = batch_size(self.limits.timeout_ns, row_timeout)
        calls = self._calls.snapshot(nanoseconds(row_timeout and row_timeout * size.maximum))
        state_of = functools.partial(self._state_of, calls) if self.has_merge else None
        begin = functools.partial(self._begin, calls)
        with deadline_of_rows(row_timeout):
            return aggregate_source(
                Aggregated(self.name, begin, state_of, self.pool.size),
                self._map_parameters(),
                source,
                AggregateOptions(columns, threads, progress, on_error, row_timeout),
                size,
            )

    @contextmanager
    def _begin(self, calls: Calls) -> Iterator[_FedByColumns]:
        with group_of(calls) as group:
            yield _FedByColumns(self, group)

    def _state_of(self, calls: Calls, columns: Sequence[Any]) -> bytes | None:
        """Returns the state of a group of some rows; None if none of them counts. Failures have
        their row in these.
        """
        with self._begin(calls) as group:
            return group.state() if group.feed(columns) else None

    def _table(self, columns: Sequence[Any]) -> tuple[pa.Table, Any]:
        """Returns the rows without a null where none may be, and a mask of them, None for all."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.table(columns, names=list(map(str, range(len(columns)))))
        valid: Any = None
        for column, parameter in zip(table.columns, self.parameters, strict=True):
            if not parameter.nullable and null_count(column):
                valid = column.is_valid() if valid is None else pc.and_(valid, column.is_valid())
        return (table, None) if valid is None else (table.filter(valid), valid)


class _FedByColumns:
    """A group that takes columns, whose rows with a null may have to be left out."""

    def __init__(self, function: AggregateFunction, group: Group) -> None:
        self._function = function
        self.merge, self.state, self.finish = group.merge, group.state, group.finish
        self.finish_column = group.finish_column
        self._feed = group.feed

    def feed(self, columns: Sequence[Any]) -> int:
        """Takes rows; returns how many count. Failures have their row in these."""
        table, valid = self._function._table(columns)
        with rows_that_count(valid):
            self._feed(table, 0)
        return int(table.num_rows)


class AggregateProgram(PythonProgram):
    """A class with ``step`` and ``finish``."""

    function: type[Any]

    def __init__(
        self,
        function: type[Any],
        sample: object,
        *,
        vectorized: bool,
        input_types: Sequence[object] | Mapping[str, object] | None,
        output_type: object,
    ) -> None:
        super().__init__(function, sample)
        self._vectorized = check_switch("udfvm.aggregate: vectorized", vectorized)
        self._input_types = input_types
        self._output_type = output_type

    @property
    def default_name(self) -> object:
        """The name of the class, in lower case."""
        return self.function.__name__.lower()

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Reads the annotations of ``step`` and ``finish``."""
        cls: Any = self.function
        for method in ("step", "finish"):
            if not inspect.isfunction(getattr(cls, method, None)):
                raise SignatureError(
                    f"UDF {name!r}: an aggregate is a class with step(self, ...) and"
                    f" finish(self); it has no {method}()"
                )
        step, finish = types.MethodType(cls.step, cls), types.MethodType(cls.finish, cls)
        signature = signature_of(
            step,
            name,
            vectorized=self._vectorized,
            input_types=self._input_types,
            output_type="bool",
            output_only=True,
            hints=self.hints(step, name),
        )
        check_defaults(name, step, signature)
        self.sample = checked_group(name, signature.parameters, self.sample)
        result = signature_of(
            finish,
            name,
            vectorized=False,
            input_types=None,
            output_type=self._output_type,
            hints=self.hints(finish, name),
        )
        if result.parameters:
            raise SignatureError(f"UDF {name!r}: finish() takes no arguments but self")
        check_init(name, cls)
        check_method(name, cls, "inverse", len(signature.parameters))
        check_method(name, cls, "merge", 1)
        return Interface(
            "aggregate",
            signature.with_result_of(result),
            vectorized=self._vectorized,
            elementwise=not self._vectorized,
            has_inverse=hasattr(cls, "inverse"),
            has_merge=hasattr(cls, "merge"),
        )


@contextmanager
def rows_that_count(valid: Any) -> Iterator[None]:
    """Makes failures count their row among all rows, not among those that count."""
    try:
        yield
    except (CallError, TypeMappingError) as error:
        if error.row is not None and valid is not None:
            error.locate(_index_of(error.row, valid))
        raise


def _index_of(row: int, valid: Any) -> int:
    """Returns the index among all rows of one of the rows that count."""
    import pyarrow.compute as pc

    indices: Any = pc.indices_nonzero(valid)
    return int(indices[row].as_py())


@overload
def aggregate(cls: type[Any], /) -> AggregateFunction: ...
@overload
def aggregate(
    cls: None = None,
    /,
    *,
    vectorized: bool = False,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    output_type: object = None,
    sample: Sequence[tuple[object, ...] | Mapping[str, object]] | None = None,
    **options: Unpack[PythonOptions],
) -> Callable[[type[Any]], AggregateFunction]: ...
@checks_options("udfvm.aggregate", PythonOptions, elsewhere=ELSEWHERE)
def aggregate(
    cls: type[Any] | None = None,
    /,
    *,
    vectorized: bool = False,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    output_type: object = None,
    sample: Sequence[tuple[object, ...] | Mapping[str, object]] | None = None,
    **options: Unpack[PythonOptions],
) -> AggregateFunction | Callable[[type[Any]], AggregateFunction]:
    """Declares a class an aggregate, for SQL (window functions included) and Python.

    Each group is an instance, made without arguments. All groups of one execution of a statement
    live in one micro-VM, and end with it. The class has these methods:

    - ``step(self, ...)`` takes a row. Rows with a NULL in a parameter that does not allow None are
      left out.
    - ``finish(self)`` returns the group's value. A window function calls it again and again while
      rows come and go.
    - ``inverse(self, ...)``, if defined, takes the oldest row out again. A window cannot move
      without it.
    - ``merge(self, other)``, if defined, adds what another instance has seen.

    Args:
        cls: the class.
        vectorized: True if ``step`` and ``inverse`` take columns, as a vectorised UDF does.
        input_types: types of the parameters of ``step``. Default: the annotations.
        output_type: type of the result of ``finish``. Default: the annotation.
        sample: the arguments of ``step`` for the rows of one group, a list of what ``udfvm.udf``
            takes.
        options: ``name`` (default: the class's name in lower case), ``memory``, ``timeout``
            (seconds for each exchange with the micro-VM, which may be of many rows),
            ``max_output``, ``max_log``, ``log``, ``files``, ``deterministic``, ``packages``,
            ``pool``, ``host_functions``, ``host_calls``, ``build_timeout``, ``data``: as for
            ``udfvm.udf``.

    Returns:
        The aggregate; without ``cls``, a decorator that makes one.

    Raises:
        SignatureError: the class cannot be an aggregate as it is declared.

    >>> import numpy as np
    >>> @udfvm.aggregate
    ... class Spread:
    ...     def __init__(self):
    ...         self.low, self.high = float("inf"), float("-inf")
    ...     def step(self, value: float) -> None:
    ...         self.low, self.high = min(self.low, value), max(self.high, value)
    ...     def finish(self) -> float | None:
    ...         return self.high - self.low if self.high >= self.low else None
    >>> Spread(np.array([3.0, 8.5, 5.0]))
    5.5
    """

    @hides_frames
    def decorate(target: type[Any]) -> AggregateFunction:
        if not isinstance(target, type):
            advice = ": for a function, use @udfvm.udf" if callable(target) else ""
            raise SignatureError(f"@udfvm.aggregate decorates classes; got {shown(target)}{advice}")
        types: dict[str, Any] = {"input_types": input_types, "output_type": output_type}
        program = AggregateProgram(target, sample, vectorized=vectorized, **types)
        return AggregateFunction(program, **parsed_options(target.__name__, options))

    return decorate if cls is None else decorate(cls)
