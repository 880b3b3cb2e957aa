"""Declaring scalar and vectorised functions in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from udfvm.checks import check_switch, options_of, shown
from udfvm.errors import SignatureError, hides_frames
from udfvm.functions.function import Function
from udfvm.functions.options import ELSEWHERE, ScalarPythonOptions, parsed_options
from udfvm.functions.scalar import ScalarFunction, ScalarProgram
from udfvm.keywords import checks_options
from udfvm.static_typing import Unpack, overload
from udfvm.types.signatures import takes_any_number

_InputTypes = Sequence[object] | Mapping[str, object] | None


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
@checks_options("udfvm.udf", ScalarPythonOptions, elsewhere=ELSEWHERE)
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
    """Declares a function a UDF: every call of it from Python starts from a fresh state.

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
        max_output: bytes that the buffers of a call's result may have; None for as many as the
            memory. Default: None.
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
            such call leaves the micro-VM. Their parameters and results are annotated as those of
            the functions themselves. The function can call nothing else, so what they do for any
            arguments of their types is what you allow. One that raises ends the call with
            ``HostFunctionError``. Default: none.
        host_calls: how many host functions a call may call; more end it with
            ``HostCallLimitError``. Default: 10000.
        build_timeout: wall-clock seconds that each step of building the image (the base image, and
            loading the function) may take; None for no limit. More raise ``BuildError``. The first
            call of a function without ``sample`` may take as long, as long as it imports. Default:
            300.
        data: files of this machine that the function finds as ``/data/NAME``, by name, such as
            ``{"model": "model.bin"}``. They are mapped read-only, and their memory is shared by all
            VMs: see docs/data.md. Default: none.

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

    @hides_frames
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
        name = getattr(target, "__name__", "?")
        kind, program = ScalarFunction, ScalarProgram
        if takes_any_number(target, str(options.get("name") or name)):
            from udfvm.functions.variadic import VariadicFunction, VariadicProgram

            kind, program = VariadicFunction, VariadicProgram
        made = program(
            target,
            sample,
            vectorized=vectorized,
            elementwise=elementwise,
            input_types=input_types,
            output_type=output_type,
        )
        return kind(made, **parsed_options(name, options))

    return decorate if function is None else decorate(function)
