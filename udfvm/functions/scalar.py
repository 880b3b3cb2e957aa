"""Scalar and vectorised functions: one value for each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from udfvm.checks import check_switch, options_of, shown
from udfvm.errors import SignatureError
from udfvm.functions.defaults import check_defaults
from udfvm.functions.function import Function
from udfvm.functions.options import ScalarPythonOptions, parsed_options
from udfvm.functions.program import Interface
from udfvm.functions.python import PythonProgram
from udfvm.functions.samples import checked_sample
from udfvm.keywords import checks_options
from udfvm.types.signatures import hints_of, refuse_generators, signature_of

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from udfvm.call.pool import Pool
    from udfvm.limits import Limits
    from udfvm.pipelines.columns import Columns
    from udfvm.pipelines.failures import OnError
    from udfvm.pipelines.progress import Progress

_InputTypes = Sequence[object] | Mapping[str, object] | None


class ScalarFunction(Function):
    """A function that returns one value for each row. Every call runs in a fresh micro-VM.

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
        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        return self._calls.call(arguments)

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
            source: a pyarrow ``Table``, ``RecordBatch``, ``RecordBatchReader``, ``Dataset`` or
                ``Scanner``; the path of a Parquet file, or of a folder of them; a DataFrame of
                pandas or polars; or any object with ``__arrow_c_stream__``.
            columns: the source's column for each parameter: names in order, or by parameter.
                Default: columns with the parameters' names; a parameter without a column has its
                default.
            keep: columns of the source that the result has, too. Default: all.
            output: where the result goes. It has the kept columns and, last, a column with the
                function's name. None or ``pyarrow.Table`` returns a table;
                ``pyarrow.RecordBatchReader`` returns a reader, which computes as it is read; a path
                writes a Parquet file, which appears when it is whole; an object with
                ``write_batch`` gets the batches.
            threads: how many micro-VMs compute at once, at most as many as the pool has. Default:
                the number of processors.
            progress: None shows a bar on a terminal and in notebooks, and nothing elsewhere. False
                shows nothing. A function gets a ``udfvm.Progress`` a few times a second.
            on_error: what happens where a row fails: "raise" raises its error, "null" makes its
                result null, "skip" leaves the row out. With the last two, rows of a batch that
                failed are called again, without the row that failed.
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
            self._arguments_of,
            source,
            options,
            batch_size(self.limits.timeout_ns, row_timeout),
            self.pool.size,
        )


class ScalarProgram(PythonProgram):
    """A Python function that returns one value for each row, or a column if it is vectorised."""

    options = ScalarPythonOptions

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
        self._hints: dict[str, object] | None = None  # that travel with it

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
            hints=self._hints,
        )
        check_defaults(name, self.function, signature)
        self.sample = checked_sample(name, signature.parameters, self.sample)
        if self._hints is None and any(each.shape for each in signature.parameters):
            # Classes in annotations that are text are known here, and not where it arrives.
            self._hints = hints_of(self.function, name)
        return Interface(
            "vectorized" if self._vectorized else "scalar",
            signature,
            self._vectorized,
            self._elementwise,
        )


@overload
def udf(
    function: Callable[..., object],
    /,
    *,
    vectorized: bool = False,
    elementwise: bool | None = None,
    input_types: _InputTypes = None,
    output_type: object = None,
    sample: tuple[object, ...] | Mapping[str, object] | None = None,
    **options: Unpack[ScalarPythonOptions],
) -> ScalarFunction: ...
@overload
def udf(
    function: None = None,
    /,
    *,
    vectorized: bool = False,
    elementwise: bool | None = None,
    input_types: _InputTypes = None,
    output_type: object = None,
    sample: tuple[object, ...] | Mapping[str, object] | None = None,
    **options: Unpack[ScalarPythonOptions],
) -> Callable[[Callable[..., object]], ScalarFunction]: ...
@checks_options("udfvm.udf", ScalarPythonOptions)
def udf(
    function: Callable[..., object] | None = None,
    /,
    *,
    vectorized: bool = False,
    elementwise: bool | None = None,
    input_types: _InputTypes = None,
    output_type: object = None,
    sample: tuple[object, ...] | Mapping[str, object] | None = None,
    **options: Unpack[ScalarPythonOptions],
) -> ScalarFunction | Callable[[Callable[..., object]], ScalarFunction]:
    """Declares a function a UDF: every call of it runs in a fresh micro-VM.

    Works as a decorator, with or without options, and as a function.

    Args:
        function: the Python function.
        vectorized: True if the function takes columns and returns a column. It gets pyarrow
            arrays, or what its parameters are annotated as: ``numpy.ndarray``, ``pandas.Series``,
            ``polars.Series``. It may return any of these. The types come from ``input_types`` and
            ``output_type``, from annotations of element types (``x: float``), from
            ``numpy.typing.NDArray[numpy.float64]`` or from classes such as
            ``pyarrow.DoubleArray``. Columns are read-only views of the batch. Rows with a null in a
            parameter that does not allow None are taken out before the call and are null in the
            result. Where None is allowed, numpy arrays have NaN (floats), NaT (times) or None
            (arrays of objects).
        elementwise: True if each row of the result depends on the same row of the arguments alone,
            so that large batches may be cut. Functions that are not vectorised always are. A
            vectorised function is not by default: it sees its whole batch, however large, in one
            call.
        input_types: the parameters' types, in order or by name: pyarrow types (or others with
            ``__arrow_c_schema__``), their names ("double", "int64", "string", "timestamp[us,
            tz=UTC]"), or Python types. Default: the annotations.
        output_type: the type of the result. Default: the annotation.
        sample: the arguments of one call: a tuple of values (arrays for vectorised functions), or a
            mapping by parameter. The function runs on them a few times while its image is built, so
            that the image has what the function sets up on first use. What it raises then, building
            the image raises.
        name: the UDF's name. Default: the function's.
        memory: guest memory, interpreter and packages included: bytes, or text such as "1GiB".
            Default: 512 MiB.
        timeout: wall-clock seconds that a call may take; None for no limit. Default: 10.
        max_output: bytes that the result of a call may have; None for as many as the memory.
            Default: None.
        max_log: bytes that a call may write to its standard output and error. The rest is cut, and
            a note takes its place. Default: 64 KiB.
        log: what happens to that output when the call ends (in SQL, after every row). Default:
            "forward", which writes it to this program's ``sys.stdout`` and ``sys.stderr``. "drop"
            drops it. A ``logging.Logger`` gets lines of standard output as INFO and of standard
            error as WARNING. A callable gets each chunk of text and "stdout" or "stderr". "strict"
            is "forward", but more than ``max_log`` bytes end the call with ``LogLimitError``.
            Control characters except newlines and tabs are written out. ``error.output`` of a
            failed call has the output, too.
        files: True if a call may read files of the interpreter and of packages, as imports in the
            function's body do. Default: True.
        deterministic: True if the same arguments must give the same result: clock and randomness
            are fixed, and SQLite may reuse results. Default: False.
        isolation: what one call is in SQL: "statement", an execution of a statement, whose rows
            share state; or "row". Default: "statement".
        packages: modules to import into the base image, besides those that the function is seen to
            use. Default: none.
        pool: the pool that VMs come from. Default: the default pool.
        host_functions: functions of this process that the function may call by their names. Each
            such call leaves the micro-VM. Their parameters and results are annotated bool, int,
            float, str or bytes, or one of these ``| None``. The function can call nothing else, so
            what they do for any arguments of their types is what you allow. One that raises ends
            the call with ``HostFunctionError``. Default: none.
        host_calls: how many host functions a call may call; more end it with
            ``HostCallLimitError``. Default: 10000.
        build_timeout: wall-clock seconds that each step of building the image (the base image, and
            loading the function) may take; None for no limit. More raise ``BuildError``. Default:
            300.

    Returns:
        The UDF; without ``function``, a decorator that makes one.

    Raises:
        SignatureError: the function cannot be a UDF as it is declared; the text says what to do.

    >>> @udfvm.udf
    ... def score(dep_delay: float, distance: float) -> float | None:
    ...     return None if distance == 0 else dep_delay / distance * 100
    >>> score(12.0, 300.0)
    4.0
    """

    with options_of("udfvm.udf"):
        check_switch("vectorized", vectorized)
        if elementwise is not None:
            check_switch("elementwise", elementwise)

    def decorate(target: Callable[..., object]) -> ScalarFunction:
        if isinstance(target, Function):
            raise SignatureError(
                f"UDF {target.name!r} is a UDF already: for other options, call its with_options()"
            )
        if not callable(target):
            raise SignatureError(f"@udfvm.udf decorates functions; got {shown(target)}")
        if isinstance(target, type) and output_type is None:
            raise SignatureError(
                f"@udfvm.udf decorates functions; got the class {target.__name__}: decorate a"
                " function, or for a class with step() and finish() use @udfvm.aggregate"
            )
        program = ScalarProgram(
            target,
            sample,
            vectorized=vectorized,
            elementwise=elementwise,
            input_types=input_types,
            output_type=output_type,
        )
        return ScalarFunction(program, **parsed_options(getattr(target, "__name__", "?"), options))

    return decorate if function is None else decorate(function)
