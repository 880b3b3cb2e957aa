"""Signatures of Python functions: what annotations and declared types say about parameters and
results.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping, Sequence

from udfvm.checks import shown
from udfvm.errors import SignatureError
from udfvm.static_typing import TYPE_CHECKING, Final, cast
from udfvm.texts import counted, listed
from udfvm.tuples import NamedTuple
from udfvm.types.annotations import (
    NO_ANNOTATION,
    Annotation,
    annotation_of,
    given_type,
    has_nested_type,
    is_json,
    missing_type,
)
from udfvm.types.arrow_types import (
    JSON,
    Container,
    Kind,
    Parameter,
    ResultType,
    Type,
)
from udfvm.types.forms import arguments_of, is_typed_dict, is_union, origin_of
from udfvm.types.hints import annotated_function, hints_of
from udfvm.types.records import is_record
from udfvm.types.unknown_types import SEE_TYPES

if TYPE_CHECKING:
    import inspect

_GENERATOR: Final = 0x20  # co_flags of generators
_ASYNC: Final = 0x80 | 0x200  # co_flags of coroutines and asynchronous generators
_VARIADIC: Final = 0x04 | 0x08  # co_flags of functions with *args or **kwargs


class Signature(NamedTuple):
    """The parameters and result of a UDF. ``python`` returns the Python signature that binds
    arguments.
    """

    parameters: tuple[Parameter, ...]
    result: ResultType
    python: Callable[[], inspect.Signature]

    def with_result_of(self, other: Signature) -> Signature:
        """Returns the signature with the result of another."""

        def python() -> inspect.Signature:
            returned = other.python().return_annotation
            return self.python().replace(return_annotation=returned)

        return self._replace(result=other.result, python=python)


def signature_of(
    function: Callable[..., object],
    name: str,
    *,
    vectorized: bool,
    input_types: Sequence[object] | Mapping[str, object] | None,
    output_type: object,
    output_only: bool = False,
    hints: Mapping[str, object] | None = None,
    may_repeat: bool = False,
    repeated: int | None = None,
) -> Signature:
    """Reads the signature of a function that becomes a UDF. Raises SignatureError.

    ``hints`` are its evaluated annotations, if they are known. With ``may_repeat`` it may have a
    parameter ``*args``. That is one parameter here, or as many as ``repeated`` says: ``args[0]``
    and so on. With ``output_only`` the result is
    ``output_type``, whatever the annotation is. A result annotated ``list[T]`` or as a
    ``TypedDict`` is a list or struct if all parts have a type; otherwise it is JSON.
    """
    _refuse_async(function, name)
    names = _parameter_names(function, name, may_repeat)
    hints = dict(hints_of(function, name) if hints is None else hints)
    if output_only:
        hints.pop("return", None)
    given = _given_inputs(name, [each.removeprefix("*") for each in names], input_types)
    parameters = []
    for position, parameter in enumerate(names, 1):
        where, key = f"parameter {parameter!r}", parameter.removeprefix("*")
        annotation = _read(name, where, hints, key)
        declared = given.get(key, NO_ANNOTATION)
        type_ = _combine(name, where, annotation, declared.type, "input_types=", vectorized)
        if annotation.container is Container.POLARS:
            _refuse_lacking(name, where, type_)
        parameters.append(
            Parameter(
                parameter,
                type_,
                annotation.nullable or declared.nullable,
                annotation.container or Container.ARROW,
                position,
                None if vectorized else annotation.shape or declared.shape,
            )
        )
    if repeated is not None:
        parameters[-1:] = _repeated(parameters[-1], repeated)
    if vectorized and not parameters:
        raise SignatureError(f"UDF {name!r}: a vectorised function needs at least one parameter")
    result = _result(name, hints, output_type, vectorized)
    return Signature(
        tuple(parameters),
        result,
        functools.cache(lambda: _python_signature(function, name, may_repeat)),
    )


def _refuse_lacking(name: str, where: str, type_: Type) -> None:
    """Raises SignatureError for a type that a Series of polars cannot have."""
    from udfvm.types.polars_types import is_lacking

    if is_lacking(type_.arrow):
        raise SignatureError(
            f"UDF {name!r}: {where} is annotated as a polars Series, but is declared {type_}, which"
            " polars cannot hold: annotate pyarrow.Array or numpy.ndarray"
        )


def _repeated(parameter: Parameter, count: int) -> list[Parameter]:
    """Returns the parameters that a parameter ``*args`` stands for."""
    name = parameter.name.removeprefix("*")
    return [
        parameter._replace(name=f"{name}[{index}]", position=parameter.position + index)
        for index in range(count)
    ]


def takes_any_number(function: Callable[..., object], name: str) -> bool:
    """Returns True for a function that has a parameter ``*args``. Raises SignatureError for
    parameters that no UDF has.
    """
    return any(each.startswith("*") for each in _parameter_names(function, name, may_repeat=True))


def refuse_generators(function: Callable[..., object], name: str) -> None:
    """Raises SignatureError for generators and coroutines: their result never has the declared
    type.
    """
    if getattr(getattr(annotated_function(function), "__code__", None), "co_flags", 0) & _GENERATOR:
        raise SignatureError(
            f"UDF {name!r}: the function yields: return a value, or declare it with"
            " @udfvm.table_function"
        )


def _refuse_async(function: Callable[..., object], name: str) -> None:
    flags = getattr(getattr(annotated_function(function), "__code__", None), "co_flags", 0)
    if flags & _ASYNC:
        raise SignatureError(
            f"UDF {name!r}: the function is async, and nothing would await it: write an ordinary"
            " function"
        )


def _parameter_names(
    function: Callable[..., object], name: str, may_repeat: bool = False
) -> list[str]:
    """Returns the names of the parameters; that of ``*args`` with the star. Raises SignatureError
    for those that cannot be passed by position.

    Ordinary functions are read from their code, as ``inspect`` would do it: importing that takes
    longer than a call.
    """
    is_ordinary = (
        type(function) is types.FunctionType
        and not hasattr(function, "__wrapped__")
        and not hasattr(function, "__signature__")
    )
    if (
        is_ordinary
        and not function.__code__.co_kwonlyargcount
        and not function.__code__.co_flags & _VARIADIC
    ):
        return list(function.__code__.co_varnames[: function.__code__.co_argcount])
    return [
        f"*{each.name}" if each.kind is each.VAR_POSITIONAL else each.name
        for each in _python_signature(function, name, may_repeat).parameters.values()
    ]


def _python_signature(
    function: Callable[..., object], name: str, may_repeat: bool
) -> inspect.Signature:
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise SignatureError(
            f"UDF {name!r}: {error}; wrap it in a function with named parameters"
        ) from error
    bound: Mapping[str, object] = {}
    # An argument that a partial passes by keyword is no parameter any more.
    if isinstance(function, functools.partial):
        bound = function.keywords
        signature = signature.replace(
            parameters=[each for each in signature.parameters.values() if each.name not in bound]
        )
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            raise SignatureError(
                f"UDF {name!r}: parameter {parameter.name!r} is keyword-only, and SQL and Arrow"
                " pass arguments by position: move it before the *"
            )
        if parameter.kind is parameter.VAR_KEYWORD or (
            parameter.kind is parameter.VAR_POSITIONAL and not may_repeat
        ):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise SignatureError(
                f"UDF {name!r}: {stars}{parameter.name} takes any number of arguments, and"
                f" {'a UDF' if stars == '**' else 'a table function or aggregate'} has a fixed"
                " number: write a parameter for each"
            )
    return signature


def _given_inputs(
    name: str, parameters: list[str], given: Sequence[object] | Mapping[str, object] | None
) -> dict[str, Annotation]:
    if given is None:
        return {}
    if isinstance(given, str) or not isinstance(given, (Sequence, Mapping)):
        raise SignatureError(
            f"UDF {name!r}: input_types= must be a list with one type for each parameter; got"
            f" {shown(given)}"
        )
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in parameters]
        if unknown:
            raise SignatureError(
                f"UDF {name!r}: input_types= names {shown(unknown[0])}, which is not a parameter;"
                f" {_described(parameters)}"
            )
        pairs = dict(given)
    else:
        if len(given) != len(parameters):
            raise SignatureError(
                f"UDF {name!r}: input_types= has {counted(len(given), 'type')};"
                f" {_described(parameters)}"
            )
        pairs = dict(zip(parameters, given, strict=True))
    types_ = {}
    for parameter, specification in pairs.items():
        try:
            types_[parameter] = given_type(specification)
        except ValueError as error:
            raise SignatureError(
                f"UDF {name!r}: input type of parameter {parameter!r}: {error}"
            ) from error
    return types_


def _described(parameters: list[str]) -> str:
    """Returns a sentence about the parameters of a function."""
    if not parameters:
        return "the function has no parameters"
    names = listed(map(repr, parameters), "and")
    return f"the function has {counted(len(parameters), 'parameter')}: {names}"


def _read(name: str, where: str, hints: Mapping[str, object], key: str) -> Annotation:
    if key not in hints:
        return NO_ANNOTATION
    try:
        return annotation_of(hints[key])
    except (ValueError, NameError) as error:
        raise SignatureError(f"UDF {name!r}: {where}: annotation {error}") from error


_ELEMENTS: Final = {
    Container.NUMPY: (
        "a numpy array without the type of its elements: annotate"
        " numpy.typing.NDArray[numpy.float64] (or numpy.int64, numpy.bool_, numpy.str_, ...),"
        " or pass"
    ),
    Container.ARROW: (
        "a pyarrow array without the type of its elements: annotate pyarrow.DoubleArray (or"
        " Int64Array, StringArray, ...), or pass"
    ),
    Container.PANDAS: "a pandas Series, which does not say the type of its elements: pass",
    Container.POLARS: "a polars Series, which does not say the type of its elements: pass",
}


def _combine(
    name: str, where: str, annotation: Annotation, given: Type | None, option: str, vectorized: bool
) -> Type:
    """Returns the type of a parameter or of the result. Raises SignatureError."""
    annotated, container = annotation.type, annotation.container
    if container is not None and not vectorized:
        raise SignatureError(
            f"UDF {name!r}: {where} is annotated as an array: a function over arrays needs"
            " @udfvm.udf(vectorized=True)"
        )
    if given is None and annotated is None and container is not None:
        raise SignatureError(
            f"UDF {name!r}: {where} is annotated as {_ELEMENTS[container]} {option}"
        )
    if given is None and annotated is None:
        missing = missing_type(annotation, where)
        raise SignatureError(f"UDF {name!r}: {where} {missing}, or pass {option} ({SEE_TYPES})")
    if given is not None and annotated is not None and given.kind is not annotated.kind:
        raise SignatureError(
            f"UDF {name!r}: {where} is annotated {annotated.kind.value} but {option} says {given}:"
            " make the two agree, or drop one"
        )
    return given or cast(Type, annotated)


def _json_result(annotation: object) -> ResultType | None:
    """Returns the JSON result that ``dict``, ``list[...]``, or either ``| None`` stands for; None
    for other annotations. It is JSON only if a part has no type.
    """
    union = is_union(origin_of(annotation))
    alternatives = arguments_of(annotation) if union else (annotation,)
    others = [alternative for alternative in alternatives if alternative is not type(None)]
    if (
        not others
        or not all(map(is_json, others))
        or (len(others) == 1 and has_nested_type(others[0]))
        or any(is_record(each) and not is_typed_dict(each) for each in others)
    ):
        return None
    return ResultType(JSON, len(others) < len(alternatives))


def _result(
    name: str, hints: Mapping[str, object], output_type: object, vectorized: bool
) -> ResultType:
    where = "the result"
    if (
        not vectorized
        and output_type is None
        and (json := _json_result(hints.get("return"))) is not None
    ):
        return json
    annotation = _read(name, where, hints, "return")
    if annotation.type is not None and annotation.type.kind is Kind.NULL:
        if output_type is None:
            raise SignatureError(
                f"UDF {name!r}: the result is annotated None: annotate what the function returns,"
                " or pass output_type="
            )
        annotation = NO_ANNOTATION
    given = None
    if output_type is not None:
        try:
            given = given_type(output_type).type
        except ValueError as error:
            raise SignatureError(f"UDF {name!r}: output_type=: {error}") from error
    type_ = _combine(name, where, annotation, given, "output_type=", vectorized)
    return ResultType(type_, annotation.nullable or vectorized or "return" not in hints)
