"""Scalar and vectorised functions: a value for each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from udfvm.errors import SignatureError
from udfvm.functions.function import Function
from udfvm.functions.options import ScalarPythonOptions, parsed_options
from udfvm.functions.program import Interface
from udfvm.functions.python import PythonProgram
from udfvm.keywords import checks_options_of
from udfvm.types.signatures import hints_of, refuse_generators, signature_of

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from udfvm.call.pool import Pool
    from udfvm.limits import Limits

_InputTypes = Sequence[object] | Mapping[str, object] | None


class ScalarFunction(Function):
    """A function that returns a value for each row, and whose every call runs in a fresh micro-VM.
    Made by ``udfvm.udf``, ``udfvm.from_c``, ``udfvm.from_elf`` and ``udfvm.from_wasm``.

    Called with Python values it makes one call and returns a Python value. Called with arrays
    (pyarrow ``Array`` or ``ChunkedArray``, one-dimensional numpy arrays; values among them are
    repeated) it makes one call for the batch, or several where the function is elementwise and a
    batch or its result is larger than 128 MiB. It returns what it was given: ``ChunkedArray`` if
    any argument is one, else ``Array``, else numpy.

    A null argument makes the result null without a call of the function, unless the parameter's
    annotation allows None.

    A call raises ``UDFError`` where the function raised, with the guest's type, message and
    traceback; ``TypeMappingError`` for arguments that are not of the declared types; and the errors
    of the limits.
    """

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Calls the function with values, or with arrays; see the class."""
        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        return self._calls.call(arguments)

    def expr(self, *arguments: Any, **keywords: Any) -> pc.Expression:
        """A call of the function in an expression of pyarrow, for projections and filters of
        datasets, ``pyarrow.acero`` and ``Table.filter``.

        Arguments are expressions, such as ``pyarrow.dataset.field("x")``, and values. Expressions
        are cast to the declared types as ``Expression.cast`` does by default: what would lose
        something is an error, text is parsed. The function is registered in pyarrow for it, for as
        long as the process lives, under a name that nothing replaces.

        Raises ``TypeMappingError`` for a value that is not of its parameter's type,
        ``SignatureError`` for a function without parameters, and what building an image raises.

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


class ScalarProgram(PythonProgram):
    """A Python function that returns a value for each row, or, vectorised, a column for columns."""

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
        """What its annotations say, and the declared types."""
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
    sample: object = None,
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
    sample: object = None,
    **options: Unpack[ScalarPythonOptions],
) -> Callable[[Callable[..., object]], ScalarFunction]: ...
@checks_options_of(ScalarPythonOptions)
def udf(
    function: Callable[..., object] | None = None,
    /,
    *,
    vectorized: bool = False,
    elementwise: bool | None = None,
    input_types: _InputTypes = None,
    output_type: object = None,
    sample: object = None,
    **options: Unpack[ScalarPythonOptions],
) -> ScalarFunction | Callable[[Callable[..., object]], ScalarFunction]:
    """Makes a function a UDF, which runs in a fresh micro-VM for every call.

    Args:
        vectorized: the function takes columns and returns a column: pyarrow arrays, or numpy arrays
            for parameters annotated ``numpy.ndarray``. Its types come from ``input_types`` and
            ``output_type``, from annotations of element types (``x: float``), from
            ``numpy.typing.NDArray[numpy.float64]`` or from classes such as ``pyarrow.DoubleArray``.
            Arrays are read-only views of the batch. Rows with a null in a parameter that does not
            allow None are taken out before the call and are null in the result. Where None is
            allowed, numpy arrays have NaN (floats), NaT (times) or, in an array of objects, None.
        elementwise: each row of the result depends on the same row of the arguments alone. So it is
            for functions that are not vectorised; a vectorised function sees its whole batch in one
            call, however large, unless this says that large batches may be cut.
        input_types: a type for each parameter, in order or by name: pyarrow types, their names
            ("double", "int64", "string", "timestamp[us, tz=UTC]"), or Python types.
        output_type: the type of the result.
        sample: a tuple with the arguments of one call (values, or for vectorised functions arrays),
            or a mapping by parameter. The function runs on it a few times while its image is built,
            so that what it sets up on first use is in the image.
        name: the UDF's name; the function's, if not given.
        memory: guest memory, interpreter and packages included: bytes, or text such as "512MiB".
        timeout: wall-clock seconds that a call may take; None for no limit.
        max_output: bytes that the result of a call may have; None for as many as the memory.
        max_log: bytes that a call may write to its standard output and error; what comes after is
            cut, with a note in its place.
        log: where that goes when the call ends (in SQL, with every row): "forward", to this
            program's ``sys.stdout`` and ``sys.stderr``; "drop"; a ``logging.Logger``, which gets
            lines of standard output as INFO, of standard error as WARNING; or what is called with
            each chunk of text and "stdout" or "stderr". "strict" is "forward" where more than
            ``max_log`` ends the call with ``LogLimitError``. Control characters but newlines and
            tabs are written out. ``error.output`` of a failed call has it, too.
        files: a call may read files of the interpreter and of packages, as imports in the
            function's body do.
        deterministic: same arguments, same result: clock and randomness are fixed, and SQLite is
            told so.
        isolation: what a call is in SQL: "statement", one execution of a statement, whose rows
            share state; or "row".
        packages: modules to import into the base image, ahead of what the function is seen to use.
        pool: where VMs come from; the default pool, if not given.
        host_functions: functions of this process that the function may call: it refers to them as
            if they were in its reach, and each call leaves the micro-VM. Annotated with bool, int,
            float, str, bytes, ``| None``. Only these can be called, so what they do for any
            arguments of their types is what you allow. One that raises ends the call with
            ``HostFunctionError``.
        host_calls: how often a call may call them; more ends it with ``HostCallLimitError``.
        build_timeout: wall-clock seconds that building the image may take, for the base image and
            for loading the function each; None for no limit. More is a ``BuildError``.

    Raises ``SignatureError`` for a function that cannot be a UDF, saying what to do.

    >>> @udfvm.udf
    ... def score(dep_delay: float, distance: float) -> float | None:
    ...     return None if distance == 0 else dep_delay / distance * 100
    >>> score(12.0, 300.0)
    4.0
    """

    def decorate(target: Callable[..., object]) -> ScalarFunction:
        if isinstance(target, Function):
            raise SignatureError(f"UDF {target.name!r} is a UDF already")
        if not callable(target):
            raise SignatureError(f"@udfvm.udf decorates functions, not {type(target).__name__}")
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
