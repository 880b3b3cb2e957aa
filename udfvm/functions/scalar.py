"""Scalar and vectorised functions: one value for each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from udfvm.errors import Error, SignatureError, hides_frames
from udfvm.functions.defaults import check_defaults
from udfvm.functions.function import Function
from udfvm.functions.options import ScalarPythonOptions
from udfvm.functions.program import Interface
from udfvm.functions.python import PythonProgram
from udfvm.keywords import checks_keywords
from udfvm.static_typing import TYPE_CHECKING, Any
from udfvm.types.signatures import refuse_generators, signature_of

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from udfvm.call.pool import Pool
    from udfvm.limits import Limits
    from udfvm.pipelines.columns import Columns
    from udfvm.pipelines.failures import OnError
    from udfvm.pipelines.progress import Progress

_InputTypes = Sequence[object] | Mapping[str, object] | None


class ScalarFunction(Function):
    """A function that returns one value for each row.

    ``udfvm.udf``, ``udfvm.from_c``, ``udfvm.from_elf`` and ``udfvm.from_wasm`` make them.

    >>> import numpy as np
    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half(3.0)
    1.5
    >>> half(np.array([3.0, 5.0]))
    array([1.5, 2.5])
    """

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Calls the function with values or with arrays.

        Args:
            arguments, keywords: one argument for each parameter. Python values make one call.
                Columns (of pandas, polars, pyarrow, numpy, or anything with Arrow's PyCapsule
                interface) make one call for the batch; values among them are repeated. An
                elementwise function takes several calls for a batch or result that is larger than
                128 MiB, and where many rows take more than 4 ms: as many micro-VMs as there are
                processors compute then.

        Returns:
            A Python value for values. For columns, what the first of these is that an argument is:
            a Series, Index or array of pandas, with its index and name; a Series of polars; a
            ``ChunkedArray``; an ``Array``, also for other producers of Arrow data; a numpy array. A
            null argument makes the result null without a call of the function, unless the
            parameter's annotation allows None.

        Raises:
            TypeMappingError: an argument does not have the declared type, or Series of pandas have
                different indexes.
            UDFError: the function raised; the error has the guest's type, message and traceback.
            CallError: the call failed in another way, for example by reaching a limit.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> half(x=3.0)
        1.5
        """
        try:
            if keywords or len(arguments) != self._arity:
                arguments = self._bind(arguments, keywords)
            return self._calls.call(arguments)
        except Error as error:
            error.drop_frames()
            raise

    @hides_frames
    def expr(self, *arguments: Any, **keywords: Any) -> pc.Expression:
        """Returns a pyarrow expression that calls the function.

        Projections and filters of datasets, ``pyarrow.acero`` and ``Table.filter`` take it. It
        registers the function in pyarrow, for as long as the process lives, under a name that is
        never replaced.

        Args:
            arguments, keywords: one expression, such as ``pyarrow.dataset.field("x")``, or value
                for each parameter. Expressions are cast to the declared types as
                ``Expression.cast`` does by default: a cast that would lose data is an error, and
                text is parsed.

        Raises:
            TypeMappingError: a value does not have its parameter's type.
            SignatureError: the function has no parameters.
            BuildError: the image cannot be built.

        >>> import pyarrow as pa, pyarrow.dataset as ds
        >>> @udfvm.udf
        ... def speed(distance: float, hours: float) -> float | None:
        ...     return distance / hours if hours else None
        >>> flights = ds.dataset(pa.table({"distance": [300, 100], "hours": [2, 0]}))
        >>> fast = speed.expr(ds.field("distance"), ds.field("hours"))
        >>> flights.to_table(columns={"speed": fast}).to_pydict()
        {'speed': [150.0, None]}
        >>> flights.to_table(filter=fast > 100).num_rows
        1
        """
        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        from udfvm.functions.arrow_registry import expression

        return expression(self, arguments)

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
        """Calls the function with all rows of a source, in batches, on several micro-VMs at once.

        The source is read, and results are written, while micro-VMs compute. Only a few batches are
        in memory at a time, whatever the size of the source. Ctrl-C ends the calls.

        Args:
            source: a pyarrow ``Table``, ``RecordBatch``, ``RecordBatchReader``, ``Dataset``,
                ``Scanner`` or ``ParquetFile``; the path of a Parquet file, or of a folder of them,
                a pattern or several paths; record batches; a DataFrame of pandas or polars; a
                dict of columns; or any object with ``__arrow_c_stream__``.
            columns: the source's column for each parameter: names in order, or by parameter.
                Default: columns with the parameters' names; a parameter without a column has its
                default.
            keep: columns of the source that the result has, too. Default: all. The index of a
                pandas frame stays in any case.
            output: where the result goes. It has the kept columns and, last, a column with the
                function's name. None or ``pyarrow.Table`` returns a table;
                ``pyarrow.RecordBatchReader`` returns a reader, which computes as it is read; a path
                writes a file, which appears when it is whole: Parquet, or by its suffix Arrow
                (``.arrow``, ``.feather``) or CSV (``.csv``); an object with ``write_batch`` gets
                the batches.
            threads: how many micro-VMs compute at once, at most as many as the pool has. Default:
                the number of processors.
            progress: None shows a bar on a terminal and in notebooks, and nothing elsewhere. False
                shows nothing. A function gets a ``udfvm.Progress`` a few times a second.
            on_error: what happens where a row fails: "raise" raises its error, "null" makes its
                result null, "skip" leaves the row out. With the last two, rows of a batch that
                failed are called again, without the row that failed, and ``FailedRowsWarning``
                says at the end how many failed, and the first error.
            timeout_per_row: seconds that a row has on average: a batch of n rows has n times as
                much. Default: each batch has the function's ``timeout``.

        Returns:
            The table or reader. For a path or writer a ``udfvm.Progress`` that says what was done.

        Raises:
            SignatureError: the function is vectorised and not elementwise, so that its rows cannot
                be cut into batches.
            OptionError: an option has a value that it cannot have, or names no column.
            SourceError: the source cannot be read; SourceNotFoundError: its file is not there.
            OutputFileError: the file of ``output`` cannot be written.
            TypeMappingError: a column has a type or value that the parameter does not take.
            CallError: a row failed; ``row`` is its index in the source.

        >>> import pyarrow as pa
        >>> @udfvm.udf
        ... def speed(distance: float, hours: float) -> float:
        ...     return distance / hours
        >>> flights = pa.table({"distance": [300.0, 100.0], "hours": [2.0, 0.0]})
        >>> speed.map(flights, on_error="null").column("speed").to_pylist()
        [150.0, None]
        >>> speed.map(flights, keep=["hours"], on_error="skip").to_pydict()
        {'hours': [2.0], 'speed': [150.0]}
        """
        from udfvm.pipelines.mapping import MapOptions, batch_size, checked_timeout, map_source
        from udfvm.pipelines.rows import ScalarMapping

        if not self.elementwise:
            raise SignatureError(
                f"UDF {self.name!r}: map() cuts its rows into batches, and a vectorised function"
                " sees one batch at a time: declare elementwise=True, if it works row by row"
            )
        row_timeout = checked_timeout(self.name, timeout_per_row)
        options = MapOptions(columns, keep, output, threads, progress, on_error, row_timeout)
        return map_source(
            ScalarMapping(self._calls.snapshot(), row_timeout),
            self._map_parameters(),
            source,
            options,
            batch_size(self.limits.timeout_ns, row_timeout),
            self.pool.size,
        )


class ScalarProgram(PythonProgram):
    """A Python function that returns one value for each row, or a column if it is vectorised."""

    options = ScalarPythonOptions
    repeated: int | None = None  # how many arguments a parameter ``*args`` stands for

    def __init__(
        self,
        function: Callable[..., Any],
        sample: object,
        *,
        vectorized: bool,
        elementwise: bool | None,
        input_types: _InputTypes,
        output_type: object,
    ) -> None:
        super().__init__(function, sample)
        self._vectorized = bool(vectorized)
        self._elementwise = not vectorized if elementwise is None else bool(elementwise)
        self._input_types = input_types
        self._output_type = output_type

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Reads the annotations and the declared types."""
        if not (self._elementwise or self._vectorized):
            raise SignatureError(
                f"UDF {name!r}: elementwise=False is for vectorised functions: others are called"
                " row by row"
            )
        refuse_generators(self.function, name)
        signature = signature_of(
            self.function,
            name,
            vectorized=self._vectorized,
            input_types=self._input_types,
            output_type=self._output_type,
            hints=self.hints(self.function, name),
            may_repeat=True,
            repeated=self.repeated,
        )
        check_defaults(name, self.function, signature)
        if self.sample is not None:
            from udfvm.functions.samples import checked_sample

            self.sample = checked_sample(name, signature.parameters, self.sample)
        return Interface(
            "vectorized" if self._vectorized else "scalar",
            signature,
            self._vectorized,
            self._elementwise,
        )
