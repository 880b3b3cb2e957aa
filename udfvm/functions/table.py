"""Table functions: functions that yield rows and run in micro-VMs."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack, overload

from udfvm.call.guest_exceptions import guest_exception
from udfvm.checks import shown
from udfvm.errors import Error, SignatureError, TypeMappingError, hides_frames
from udfvm.functions.defaults import check_defaults
from udfvm.functions.function import Function
from udfvm.functions.options import ELSEWHERE, PythonOptions, parsed_options
from udfvm.functions.program import Interface
from udfvm.functions.python import PythonProgram
from udfvm.functions.samples import checked_sample
from udfvm.functions.table_columns import declared_columns
from udfvm.keywords import checks_keywords, checks_options
from udfvm.layouts import FETCH
from udfvm.load.declaration import Column
from udfvm.protocol import REPLY_ARROW, REQUEST_FETCH, REQUEST_TABLE
from udfvm.types.arrow_types import ResultType, named
from udfvm.types.signatures import signature_of

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.call.dispatch import Calls
    from udfvm.call.pool import Pool
    from udfvm.limits import Limits
    from udfvm.pipelines.columns import Columns
    from udfvm.pipelines.failures import OnError
    from udfvm.pipelines.progress import Progress
    from udfvm.pipelines.tables import Fetched

_FIRST_FETCH: Final = 64  # rows; each fetch asks for twice as many as the one before
_MAX_FETCH: Final = 1 << 14

_Columns: TypeAlias = "Mapping[str, object] | pa.Schema"


class TableFunction(Function):
    """A function that returns a table. ``udfvm.table_function`` and ``udfvm.from_wasm`` make them.

    A call fetches some rows at a time, when they are asked for. Its micro-VM is in use until the
    last row, or until the iterator is closed.

    >>> @udfvm.table_function(columns={"i": int, "square": int})
    ... def squares(count: int):
    ...     for i in range(count):
    ...         yield i, i * i
    >>> squares
    <table UDF squares(count: int64) -> (i: int64, square: int64)>
    >>> list(squares(3))
    [(0, 0), (1, 1), (2, 4)]
    """

    @property
    def columns(self) -> tuple[Column, ...]:
        """Names and types of the columns.

        >>> @udfvm.table_function(columns={"i": int})
        ... def upto(count: int):
        ...     yield from range(count)
        >>> [(column.name, str(column.type)) for column in upto.columns]
        [('i', 'int64')]
        """
        return self._declaration.columns

    def _result_text(self) -> str:
        return f"({', '.join(f'{each.name}: {each.type}' for each in self.columns)})"

    def __call__(self, *arguments: Any, **keywords: Any) -> Generator[tuple[Any, ...]]:
        """Calls the function and yields its rows as tuples.

        Args:
            arguments, keywords: one value for each parameter.

        Raises:
            TypeMappingError: an argument does not have the declared type.
            UDFError: the function raised; the rows before the exception are yielded first.
            CallError: the call failed in another way, for example by reaching a limit.

        >>> @udfvm.table_function(columns={"i": int})
        ... def upto(count: int):
        ...     yield from range(count)
        >>> list(upto(3))
        [(0,), (1,), (2,)]
        """
        from udfvm.codec.python_values import python_values

        try:
            for batch in self.batches(*arguments, **keywords):
                columns = zip(self.columns, batch.columns, strict=True)
                yield from zip(
                    *(
                        python_values(self.name, values, f"column {each.name!r}")
                        for each, values in columns
                    ),
                    strict=True,
                )
        except Error as error:
            error.drop_frames()
            raise

    def batches(self, *arguments: Any, **keywords: Any) -> Generator[pa.RecordBatch]:
        """Calls the function and yields its rows as record batches of at most 16,384 rows.

        Takes the same arguments as a call, and raises the same errors.

        >>> @udfvm.table_function(columns={"i": int})
        ... def upto(count: int):
        ...     yield from range(count)
        >>> [batch.num_rows for batch in upto.batches(100)]
        [64, 36]
        """
        try:
            yield from self._batches(arguments, keywords)
        except Error as error:
            error.drop_frames()
            raise

    def _batches(
        self, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Generator[pa.RecordBatch]:
        from udfvm.codec.arguments import columns_of
        from udfvm.codec.containers import Container, container_of

        self._calls.follow()
        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        if any(container_of(argument) is not Container.SCALAR for argument in arguments):
            raise TypeMappingError(
                f"UDF {self.name!r}: a table function takes values, not arrays: map() calls it for"
                " each row of a source"
            )
        columns, _ = columns_of(self.name, self.parameters, arguments, vectorized=False)
        fetched = self._fetch(self._calls, columns, 1)
        try:
            for _, batch in fetched:
                yield batch
        finally:
            fetched.close()  # which gives its micro-VM back

    @checks_keywords
    def map(
        self,
        source: Any,
        *,
        columns: Columns = None,
        keep: Sequence[str] | None = None,
        output: Any = None,
        threads: int | None = None,
        progress: bool | Callable[[Progress], object] | None = None,
        on_error: OnError = "raise",
        timeout_per_row: float | None = None,
    ) -> Any:
        """Calls the function with each row of a source, on several micro-VMs at once.

        Works as ``ScalarFunction.map``, except that a row of the source gives as many rows as the
        function yields for it. Kept columns are repeated. A row with a null in a parameter that
        does not allow None gives none. The rows of a batch share a micro-VM.

        What the function yields is handed over in batches of some 131,072 rows or 16 MiB, also what
        it yields for a single row. It runs no further ahead of who takes them than a few of these.
        With ``output=pyarrow.RecordBatchReader`` a function may yield for ever.

        Args:
            source, columns, keep, output, threads, progress: as for ``ScalarFunction.map``. The
                result has the kept columns and, last, those of the function. Progress counts rows
                of the source: those for which the function has ended.
            on_error: what happens where the function fails for a row: "raise" raises the error,
                "null" gives one row of nulls, "skip" gives none, and both end with a
                ``FailedRowsWarning``. Of a row that fails late, the batches that were handed over
                stay.
            timeout_per_row: seconds that the function computes for a row of the source, on average
                of a batch, all that it yields included. Default: its ``timeout``, for a batch.
                ``max_output`` bounds what it yields for a row.

        Returns:
            As ``ScalarFunction.map``.

        Raises:
            OptionError: an option has a value that it cannot have, or names no column.
            SourceError: the source cannot be read; SourceNotFoundError: its file is not there.
            OutputFileError: the file of ``output`` cannot be written.
            TypeMappingError: a column has a type or value that the parameter does not take.
            CallError: the function failed; ``row`` is the index of the row in the source.

        >>> import pyarrow as pa
        >>> @udfvm.table_function(columns={"word": str})
        ... def words(text: str):
        ...     yield from text.split()
        >>> lines = pa.table({"line": [1, 2], "text": ["to be", "or"]})
        >>> words.map(lines, keep=["line"]).to_pydict()
        {'line': [1, 1, 2], 'word': ['to', 'be', 'or']}
        """
        from udfvm.pipelines.mapping import (
            MapOptions,
            batch_size,
            checked_timeout,
            map_source,
            nanoseconds,
        )
        from udfvm.pipelines.tables import TableMapping

        row_timeout = checked_timeout(self.name, timeout_per_row)
        calls = self._calls.snapshot(None)

        def fetch(given: Sequence[pa.Array], rows: int) -> Fetched:
            if row_timeout is None:
                return self._fetch(calls, given, rows, "timeout")
            of_rows = calls.snapshot(nanoseconds(row_timeout * rows))
            return self._fetch(of_rows, given, rows, "timeout_per_row")

        options = MapOptions(columns, keep, output, threads, progress, on_error, row_timeout)
        return map_source(
            TableMapping(
                self.name,
                self.columns,
                fetch,
                max_output=self.limits.max_output,
                may_repeat=self._declaration.host_functions is None,
            ),
            self._map_parameters(),
            source,
            options,
            batch_size(self.limits.timeout_ns, row_timeout),
            self.pool.size,
        )

    def _fetch(
        self,
        calls: Calls,
        columns: Sequence[pa.Array],
        sources: int,
        option: str | None = None,
    ) -> Generator[tuple[list[int], pa.RecordBatch]]:
        """Calls the function with so many rows, ``sources``, of columns of the declared types.
        Yields batches of its rows, and for each row the index of the one that it was made for.

        Each fetch of some rows has the deadline of the calls. With ``option`` all have it together,
        without the time between them; it is the name of what says so.
        """
        import pyarrow as pa

        from udfvm.call.deadlines import Deadline
        from udfvm.codec.column_batches import checked_sources, decode, encode, widened
        from udfvm.functions.table_parts import declared_parts

        types = [named("int64"), *(column.type for column in self.columns)]
        schema = pa.schema([column.type.field(column.name) for column in self.columns])
        request, rows, source = REQUEST_TABLE, 0, 0
        limit = min(max(_FIRST_FETCH, sources), _MAX_FETCH)
        payload = encode(
            [
                widened(column, parameter.type)
                for column, parameter in zip(columns, self.parameters, strict=True)
            ],
            sources,
        )
        runtime, vm = calls.take_vm()
        deadline = None if option is None else Deadline(calls, runtime, option)
        try:
            more = True
            while more:
                head = FETCH.pack(limit, REPLY_ARROW)
                limits = deadline.left() if deadline else runtime.limits
                vm.tell(sources if request == REQUEST_TABLE else 0)
                with deadline or contextlib.nullcontext():
                    reply = vm.call(request, head + payload, limits, self.name)
                data = bytes(reply.data)
                if reply.status:
                    raise guest_exception(data, self.name, parameters=self.parameters)
                batch, more = decode(self.name, data, types, limit)
                if batch.num_rows:
                    made_for = checked_sources(self.name, batch.column(0), source, sources)
                    source = made_for[-1]
                    start = 0
                    for made in declared_parts(self.name, self.columns, batch.columns[1:], rows):
                        part = pa.RecordBatch.from_arrays(made, schema=schema)
                        yield made_for[start : start + part.num_rows], part
                        start += part.num_rows
                    rows += batch.num_rows
                request, payload, limit = REQUEST_FETCH, b"", min(2 * limit, _MAX_FETCH)
        finally:
            runtime.pool.give(vm)


class TableProgram(PythonProgram):
    """A Python function that yields rows."""

    def __init__(
        self,
        function: Callable[..., Any],
        sample: object,
        *,
        columns: _Columns | None,
        input_types: Sequence[object] | Mapping[str, object] | None,
    ) -> None:
        super().__init__(function, sample)
        self._columns = columns
        self._input_types = input_types

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Reads the annotations and the declared columns."""
        hints = functools.partial(self.hints, self.function, name)
        columns = declared_columns(name, self._columns, hints)
        signature = signature_of(
            self.function,
            name,
            vectorized=False,
            input_types=self._input_types,
            output_type="bool",
            output_only=True,
            hints=hints(),
        )
        check_defaults(name, self.function, signature)
        self.sample = checked_sample(name, signature.parameters, self.sample)
        result = ResultType(columns[0].type, columns[0].nullable)
        return Interface("table", signature._replace(result=result), columns=columns)


@overload
def table_function(function: Callable[..., Iterable[Any]], /) -> TableFunction: ...
@overload
def table_function(
    function: None = None,
    /,
    *,
    columns: _Columns | None = None,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    sample: tuple[object, ...] | Mapping[str, object] | None = None,
    **options: Unpack[PythonOptions],
) -> Callable[[Callable[..., Any]], TableFunction]: ...
@checks_options("udfvm.table_function", PythonOptions, elsewhere=ELSEWHERE)
def table_function(
    function: Callable[..., Any] | None = None,
    /,
    *,
    columns: _Columns | None = None,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    sample: tuple[object, ...] | Mapping[str, object] | None = None,
    **options: Unpack[PythonOptions],
) -> TableFunction | Callable[[Callable[..., Any]], TableFunction]:
    """Declares a function that yields rows a table function, for SQL and Python.

    A call takes one micro-VM until its last row. The function runs only as far as rows are asked
    for. When the caller has enough rows, the micro-VM is restored in the middle of the function:
    code behind a ``yield`` may never run, ``finally`` blocks included.

    A row is a tuple or list, or a mapping by column; with one column it is the value itself. The
    function may also yield or return many rows at once: a table of pyarrow, pandas or polars, any
    other with Arrow's PyCapsule interface, or a mapping of lists, arrays or Series by column. It
    may return a list of rows. If it raises, the rows before the exception are yielded first.

    Args:
        function: the Python function.
        columns: a type for each column by name: Python types, pyarrow types, or names of types; or
            a ``pyarrow.Schema``. Any value may be None. Not needed if the result is annotated
            ``Iterator[Row]``, where ``Row`` is a ``typing.NamedTuple``.
        input_types: as for ``udfvm.udf``.
        sample: the arguments of one call, as for ``udfvm.udf``.
        options: ``name``, ``memory``, ``timeout`` (seconds for each fetch of some rows;
            in ``map`` for all), ``max_output`` (of each fetch, which has fewer rows if need be; in
            ``map`` of all), ``max_log``, ``log``, ``files``, ``deterministic``, ``packages``,
            ``pool``, ``host_functions``, ``host_calls``, ``build_timeout``, ``data``: as for
            ``udfvm.udf``.

    Returns:
        The table function; without ``function``, a decorator that makes one.

    Raises:
        SignatureError: the function cannot be a table function as it is declared.

    >>> @udfvm.table_function(columns={"word": str, "at": int})
    ... def words(text: str):
    ...     position = 0
    ...     for word in text.split():
    ...         position = text.index(word, position)
    ...         yield word, position
    >>> list(words("to be or"))
    [('to', 0), ('be', 3), ('or', 6)]
    """

    @hides_frames
    def decorate(target: Callable[..., Any]) -> TableFunction:
        if not inspect.isroutine(target):
            raise SignatureError(f"@udfvm.table_function decorates functions; got {shown(target)}")
        program = TableProgram(target, sample, columns=columns, input_types=input_types)
        return TableFunction(program, **parsed_options(target.__name__, options))

    return decorate if function is None else decorate(function)
