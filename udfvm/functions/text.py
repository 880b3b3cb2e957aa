"""Declaring functions of source text: nothing on the host evaluates, imports or parses it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final, Unpack

from udfvm.call.pool import pool_of
from udfvm.checks import check_switch, options_of, shown
from udfvm.errors import OptionError, SignatureError, hides_frames
from udfvm.functions.function_names import checked_name
from udfvm.functions.options import ELSEWHERE, ScalarPythonOptions, parsed_options
from udfvm.functions.program import Interface
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.source import (
    Declared,
    Description,
    Source,
    SourceProgram,
    describe,
    python_signature,
)
from udfvm.keywords import checks_options, nearest, option_names
from udfvm.types.annotations import given_type, is_json
from udfvm.types.arrow_types import JSON, Parameter, ResultType
from udfvm.types.signature_text import parse_signature
from udfvm.types.signatures import Signature

_EXAMPLE: Final = "'(double) -> double'"


@checks_options("udfvm.from_source", ScalarPythonOptions, elsewhere=ELSEWHERE)
def from_source(
    source: str,
    signature: str | None = None,
    *,
    function: str | None = None,
    vectorized: bool = False,
    elementwise: bool | None = None,
    sample: tuple[object, ...] | Mapping[str, object] | None = None,
    **options: Unpack[ScalarPythonOptions],
) -> ScalarFunction:
    """Makes a function of Python source text a UDF, without running or parsing it on the host.

    A micro-VM parses the text when the function is declared. It runs the text, as a module, when
    the image is built: at the first call, or at ``prepare()``.

    Args:
        source: the text of a module: imports, constants, functions.
        signature: the types, such as ``"(double, text?) -> double"``: those of
            ``udfvm.udf(input_types=)`` and the names of SQL, and ``json`` as a result. ``?`` lets
            None in, and any result may be None. Parameters without a name have that of the source.
            Default: the annotations in the source, of bool, int, float, str, bytes and dates.
        function: which function of the source it is. Default: the one that ``name=`` names, or
            else the last that the source defines.
        vectorized: True if it takes columns, arrays of pyarrow, and returns a column.
        elementwise: as for ``udfvm.udf``.
        sample: as for ``udfvm.udf``.
        options: ``name``, ``memory``, ``timeout``, ``max_output``, ``max_log``, ``log``, ``files``,
            ``deterministic``, ``isolation``, ``packages``, ``pool``, ``host_functions``,
            ``host_calls``, ``build_timeout``, ``data``: as for ``udfvm.udf``. The source calls host
            functions by their names.

    Returns:
        The UDF.

    Raises:
        UDFError: the text is no Python, or has no function; ``guest_type`` is then ``SyntaxError``,
            or ``NameError``, and ``guest_traceback`` shows the line. Building the image raises what
            the text raises as it runs.
        SignatureError: the signature cannot be read, or neither it nor annotations say a type.

    >>> half = udfvm.from_source("def half(x): return x / 2", "(double) -> double")
    >>> half(3.0)
    1.5
    """
    provisional = checked_name(options.get("name") or function or "source")
    parsed = parsed_options(provisional, options)
    with options_of("udfvm.from_source"):
        check_switch("vectorized", vectorized)
        if elementwise is not None:
            check_switch("elementwise", elementwise)
    _check_text(provisional, "source", source)
    module = Source("module", source, function or "")
    pool = pool_of(provisional, options.get("pool"))
    described = describe(
        module, provisional, parsed["limits"], pool, has_result=signature is not None
    )
    name = options.get("name") or described.name
    if signature is None:
        declared = _annotated(name, described)
    else:
        names = [each for each, _ in described.parameters]
        declared = parse_signature(name, signature, compiled=False, names=names)
        declared = declared._replace(result=declared.result._replace(nullable=True))
    if vectorized and not declared.parameters:
        raise SignatureError(f"UDF {name!r}: a vectorised function needs at least one parameter")
    interface = Interface(
        "vectorized" if vectorized else "scalar",
        declared,
        vectorized,
        not vectorized if elementwise is None else elementwise,
    )
    if not (interface.elementwise or vectorized):
        raise SignatureError(f"UDF {name!r}: elementwise=False is for vectorised functions")
    program = SourceProgram(
        module._replace(entry=described.name), described.name, interface, sample
    )
    return ScalarFunction(program, **parsed)


@hides_frames
def expression(
    text: str,
    parameters: Mapping[str, object] | None = None,
    /,
    *,
    result: object = None,
    **keywords: Any,
) -> ScalarFunction:
    """Makes a Python expression a UDF, without evaluating or parsing it on the host.

    A micro-VM parses the text when the function is declared. The expression may use its parameters,
    Python's builtins, and modules of the standard library such as ``math`` and ``re``, by name.

    Args:
        text: the expression, such as ``"a / b * 100"``.
        parameters: the types of parameters, by name, in their order: as in ``input_types=`` of
            ``udfvm.udf``. Parameters with the names of options must be here.
        result: the type of the result. Default: the type that the text has by the rules of
            ``docs/text.md``. The result may always be None.
        keywords: further parameters, ``a=float``; and the options of ``udfvm.udf``: ``name``
            (default: "expression"), ``memory``, ``timeout``, ``max_output``, ``max_log``, ``log``,
            ``files``, ``deterministic``, ``isolation``, ``packages``, ``pool``, ``host_functions``,
            ``host_calls``, ``build_timeout``, ``data``.

    Returns:
        The UDF.

    Raises:
        UDFError: the text is no expression, or does not tell its type; ``guest_type`` is
            ``SyntaxError`` or ``TypeError``.
        SignatureError: a parameter or ``result`` has no type.
        OptionError: a keyword is neither an option nor a parameter.

    >>> percent = udfvm.expression("a / b * 100", a=float, b=float)
    >>> percent(3.0, 60.0)
    5.0
    """
    known = option_names(ScalarPythonOptions)
    options = {key: value for key, value in keywords.items() if key in known}
    types = {**(parameters or {}), **{k: v for k, v in keywords.items() if k not in known}}
    name = checked_name(options.get("name") or "expression")
    parsed = parsed_options(name, options)
    _check_text(name, "text", text)
    made = _parameters(name, types, known)
    python = functools.partial(python_signature, name, list(types))
    python()  # refuses names that parameters cannot have
    pool = pool_of(name, options.get("pool"))
    source = Source("expression", text)
    described = describe(source, name, parsed["limits"], pool, made, has_result=result is not None)
    signature = Signature(made, _result(name, result, described.result), python)
    program = SourceProgram(source, name, Interface("scalar", signature), None)
    return ScalarFunction(program, **parsed)


def _check_text(name: str, what: str, text: object) -> None:
    if not isinstance(text, str):
        raise OptionError(f"UDF {name!r}: {what} must be text, of a str; got {shown(text)}")


def _annotated(name: str, described: Description) -> Signature:
    """Returns the signature that annotations in the source say."""
    slots = [("the result", described.result), *described.parameters]
    missing = next((label for label, declared in slots if declared.type is None), None)
    if missing is not None:
        what = missing if missing == "the result" else f"parameter {missing!r}"
        raise SignatureError(
            f"UDF {name!r}: {what} has no type in the source: annotate it, or pass a signature,"
            f" such as {_EXAMPLE}"
        )
    made = tuple(
        Parameter(label, declared.type, declared.nullable, position=position)
        for position, (label, declared) in enumerate(described.parameters, 1)
        if declared.type is not None
    )
    labels = [label for label, _ in described.parameters]
    return Signature(
        made,
        _result(name, None, described.result),
        functools.partial(python_signature, name, labels),
    )


def _parameters(
    name: str, types: Mapping[str, object], options: Iterable[str]
) -> tuple[Parameter, ...]:
    made = []
    for position, (label, specification) in enumerate(types.items(), 1):
        try:
            found = given_type(specification)
            if found.type is None:
                raise ValueError("it has no type")
        except ValueError as error:
            close = nearest(label, options)
            meant = f" (or did you mean the option {close}=?)" if close else ""
            raise SignatureError(f"UDF {name!r}: parameter {label!r}{meant}: {error}") from error
        made.append(Parameter(label, found.type, found.nullable, position=position))
    return tuple(made)


def _result(name: str, given: object, told: Declared) -> ResultType:
    """Returns the type of a result that was given, or else is told by the text."""
    if given is None:
        if told.type is None:
            raise SignatureError(f"UDF {name!r}: the result has no type: pass result=")
        return ResultType(told.type, told.nullable)
    if is_json(given):
        return ResultType(JSON, True)
    try:
        found = given_type(given)
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: result=: {error}") from error
    if found.type is None:
        raise SignatureError(f"UDF {name!r}: result={shown(given)} is no type")
    return ResultType(found.type, True)
