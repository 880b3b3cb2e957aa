"""Types of parameters and results: what annotations and Arrow types mean, and how their values cross the boundary.

A type has an Arrow form (batches) and, but for a few, a row form (calls of one row). It is known by the name that pyarrow prints for it,
so that declaring a function imports nothing; pyarrow is imported when the Arrow form is first asked for.
"""

from __future__ import annotations

import datetime
import enum
import functools
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Union

from udfvm.errors import SignatureError

if TYPE_CHECKING:
    import inspect

    import pyarrow as pa


class Kind(enum.Enum):
    """What a value is in Python; the value of each member is how an annotation spells it."""

    NULL = "None"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "str"
    BYTES = "bytes"
    DATE = "datetime.date"
    DATETIME = "datetime.datetime"


class RowType(enum.IntEnum):
    """What a value is in a call of one row (``enum udfvm_type`` of the ABI)."""

    NULL = 0
    INT64 = 1
    FLOAT64 = 2
    TEXT = 3
    BLOB = 4
    BOOL = 5


class Container(enum.Enum):
    """What a vectorised function receives for a column."""

    ARROW = "arrow"
    NUMPY = "numpy"


class Type(NamedTuple):
    """A type that can cross the boundary.

    ``name`` is as pyarrow prints it (``double``, ``timestamp[us, tz=UTC]``). ``row`` is None for types that only travel in batches.
    Dates and times are INT64 in a row: days, milliseconds (``date64``) or units of the timestamp since 1970.
    """

    name: str
    kind: Kind
    row: RowType | None

    @property
    def arrow(self) -> pa.DataType:
        """The pyarrow type."""
        return _arrow_type(self.name)

    @property
    def integer_range(self) -> tuple[int, int]:
        """Smallest and largest value of an integer type."""
        match = re.fullmatch(r"(u?)int(\d+)", self.name)
        if match is None:
            raise ValueError(f"{self.name} is not an integer type")
        bits = int(match[2])
        return (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    @property
    def timezone(self) -> str | None:
        """The time zone of a timestamp; None for one without, and for other types."""
        match = _TIMESTAMP.fullmatch(self.name)
        return match[2] if match else None

    @property
    def unit(self) -> str | None:
        """The unit of a timestamp: ``s``, ``ms``, ``us`` or ``ns``; None for other types."""
        match = _TIMESTAMP.fullmatch(self.name)
        return match[1] if match else None

    def __str__(self) -> str:
        return self.name


#: Of results that are dictionaries or lists: their JSON text. The guest makes it, and the host does not parse it.
JSON: Final = Type("json", Kind.TEXT, RowType.TEXT)


class Parameter(NamedTuple):
    """A parameter of a UDF. A null argument for one that is not nullable makes the result null without calling the function."""

    name: str
    type: Type
    nullable: bool
    container: Container = Container.ARROW


class ResultType(NamedTuple):
    """The result of a UDF. Nullable: the function may return None."""

    type: Type
    nullable: bool


_VARIADIC: Final = 0x04 | 0x08              # co_flags of functions with *args or **kwargs
_TIMESTAMP: Final = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")

_KINDS: Final = {
    "null": (Kind.NULL, None),
    "bool": (Kind.BOOL, RowType.BOOL),
    **{f"int{bits}": (Kind.INT, RowType.INT64) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (Kind.INT, RowType.INT64) for bits in (8, 16, 32)},
    "uint64": (Kind.INT, None),
    "float": (Kind.FLOAT, RowType.FLOAT64),
    "double": (Kind.FLOAT, RowType.FLOAT64),
    "string": (Kind.TEXT, RowType.TEXT),
    "large_string": (Kind.TEXT, RowType.TEXT),
    "binary": (Kind.BYTES, RowType.BLOB),
    "large_binary": (Kind.BYTES, RowType.BLOB),
    "date32[day]": (Kind.DATE, RowType.INT64),
    "date64[ms]": (Kind.DATE, RowType.INT64),
}

_ALIASES: Final = {
    "boolean": "bool",
    "float32": "float",
    "float64": "double",
    "str": "string",
    "utf8": "string",
    "large_utf8": "large_string",
    "bytes": "binary",
    "date": "date32[day]",
    "date32": "date32[day]",
    "date64": "date64[ms]",
    "datetime": "timestamp[us]",
}

_PYTHON_TYPES: Final[dict[object, str]] = {
    bool: "bool",
    int: "int64",
    float: "double",
    str: "string",
    bytes: "binary",
    datetime.date: "date32[day]",
    datetime.datetime: "timestamp[us]",
}

_ARROW_ARRAYS: Final = {
    "NullArray": "null",
    "BooleanArray": "bool",
    "Int8Array": "int8",
    "Int16Array": "int16",
    "Int32Array": "int32",
    "Int64Array": "int64",
    "UInt8Array": "uint8",
    "UInt16Array": "uint16",
    "UInt32Array": "uint32",
    "UInt64Array": "uint64",
    "FloatArray": "float",
    "DoubleArray": "double",
    "StringArray": "string",
    "LargeStringArray": "large_string",
    "BinaryArray": "binary",
    "LargeBinaryArray": "large_binary",
    "Date32Array": "date32[day]",
    "Date64Array": "date64[ms]",
}

_NUMPY_TYPES: Final = {
    "bool": "bool",
    **{name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    "float32": "float",
    "float64": "double",
    "str": "string",
    "bytes": "binary",
}

SUPPORTED: Final = (
    "bool, int, float, str, bytes, datetime.date, datetime.datetime, for results dict and list, each with `| None` where null is "
    "welcome; or, with input_types= and output_type=, the pyarrow types null, bool, int8..int64, uint8..uint64, float32, float64, "
    "string, large_string, binary, large_binary, date32, date64, timestamp (with a time zone or without)"
)


@functools.cache
def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name == JSON.name:
        return pa.string()
    match = _TIMESTAMP.fullmatch(name)
    return pa.timestamp(match[1], tz=match[2]) if match else pa.type_for_alias(name)


@functools.cache
def named(name: str) -> Type:
    """The type of a name, or of one of its aliases: ``"double"``, ``"float64"``, ``"timestamp[ms, tz=UTC]"``.

    Raises ValueError for a name that is no supported type.
    """
    name = name.strip()
    name = _ALIASES.get(name, name)
    if _TIMESTAMP.fullmatch(name):
        return Type(name, Kind.DATETIME, RowType.INT64)
    if name not in _KINDS:
        raise ValueError(f"{name!r} is not a supported type; supported are {SUPPORTED}")
    return Type(name, *_KINDS[name])


def declared(specification: object) -> Type:
    """The type of an entry of ``input_types`` or of ``output_type``: a pyarrow type, a name, or a Python type.

    Raises ValueError for anything else.
    """
    if isinstance(specification, str):
        return named(specification)
    if specification is None or specification is type(None):
        return named("null")
    if isinstance(specification, type) and specification in _PYTHON_TYPES:
        return named(_PYTHON_TYPES[specification])
    if _is_arrow_type(specification):
        if str(specification).startswith("dictionary"):
            raise ValueError(f"{specification} is an encoding: declare the type of its values (encoded columns are accepted)")
        return named(str(specification))
    raise ValueError(f"{specification!r} is not a supported type; supported are {SUPPORTED}")


def _is_arrow_type(value: object) -> bool:
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(value, pyarrow.DataType)


class Annotation(NamedTuple):
    """What an annotation says; None where it says nothing."""

    type: Type | None
    nullable: bool
    container: Container | None


_NOTHING: Final = Annotation(None, False, None)


def annotation_of(annotation: object) -> Annotation:
    """What an annotation of a parameter or result says. Raises ValueError for one without a meaning here."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return annotation_of(typing.get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        alternatives = typing.get_args(annotation)
        others = [alternative for alternative in alternatives if alternative is not type(None)]
        if len(others) != 1:
            raise ValueError(f"{annotation} allows more than one type; use one of {SUPPORTED}")
        inner = annotation_of(others[0])
        return inner._replace(nullable=inner.nullable or len(others) < len(alternatives))
    array = _from_array_class(annotation if origin is None else origin, typing.get_args(annotation))
    return array or Annotation(declared(annotation), False, None)


def _from_array_class(cls: object, arguments: tuple[Any, ...]) -> Annotation | None:
    if not isinstance(cls, type):
        return None
    numpy, pyarrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    if numpy is not None and issubclass(cls, numpy.ndarray):
        return Annotation(_numpy_element(arguments), False, Container.NUMPY)
    if pyarrow is not None and issubclass(cls, pyarrow.ChunkedArray):
        raise ValueError("a function receives whole arrays: annotate pyarrow.Array in place of pyarrow.ChunkedArray")
    if pyarrow is not None and issubclass(cls, pyarrow.Array):
        if cls is not pyarrow.Array and cls.__name__ not in _ARROW_ARRAYS:
            return Annotation(None, False, Container.ARROW)
        name = _ARROW_ARRAYS.get(cls.__name__)
        return Annotation(named(name) if name else None, False, Container.ARROW)
    return None


def _numpy_element(arguments: tuple[Any, ...]) -> Type | None:
    """The type in ``ndarray[shape, dtype[T]]``; None where it is open."""
    if len(arguments) != 2:
        return None
    elements = typing.get_args(arguments[1])
    if not elements or not isinstance(elements[0], type):
        return None
    name = elements[0].__name__.rstrip("_")
    return named(_NUMPY_TYPES[name]) if name in _NUMPY_TYPES else None


class Signature(NamedTuple):
    """Parameters and result of a UDF, and what makes the Python signature that binds arguments to them."""

    parameters: tuple[Parameter, ...]
    result: ResultType
    python: Callable[[], inspect.Signature]


def signature_of(
    function: Callable[..., object],
    name: str,
    *,
    vectorized: bool,
    input_types: Sequence[object] | Mapping[str, object] | None,
    output_type: object,
    output_only: bool = False,
) -> Signature:
    """Reads the signature of a function that is to be a UDF. Raises SignatureError.

    ``output_only``: whatever its result is annotated, ``output_type`` is the result.
    """
    names = _parameter_names(function, name)
    hints = hints_of(function, name)
    if output_only:
        hints.pop("return", None)
    given = _given_inputs(name, names, input_types)
    parameters = []
    for parameter in names:
        where = f"parameter {parameter!r}"
        annotation = _read(name, where, hints, parameter)
        type_ = _combine(name, where, annotation.type, given.get(parameter), "input_types=")
        _check_container(name, where, annotation.container, vectorized)
        parameters.append(Parameter(parameter, type_, annotation.nullable, annotation.container or Container.ARROW))
    if vectorized and not parameters:
        raise SignatureError(f"UDF {name!r}: a vectorised function needs at least one parameter")
    result = _result(name, hints, output_type, vectorized)
    return Signature(tuple(parameters), result, functools.cache(lambda: _python_signature(function, name)))


def _parameter_names(function: Callable[..., object], name: str) -> list[str]:
    """Names of the parameters. Raises SignatureError for those that cannot be passed by position.

    Ordinary functions are read from their code, which is all that ``inspect`` would do: its import takes longer than a call.
    """
    plain = type(function) is types.FunctionType and not hasattr(function, "__wrapped__") and not hasattr(function, "__signature__")
    if plain and not function.__code__.co_kwonlyargcount and not function.__code__.co_flags & _VARIADIC:
        return list(function.__code__.co_varnames[: function.__code__.co_argcount])
    return list(_python_signature(function, name).parameters)


def _python_signature(function: Callable[..., object], name: str) -> inspect.Signature:
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise SignatureError(f"UDF {name!r}: {error}; wrap it in a function with named parameters") from error
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SignatureError(
                f"UDF {name!r}: parameter {parameter} cannot be passed by position; use ordinary parameters, one for each argument"
            )
    return signature


def hints_of(function: Callable[..., object], name: str) -> dict[str, object]:
    """The annotations of a function, evaluated. Raises SignatureError."""
    target = function
    if hasattr(function, "__wrapped__"):
        import inspect

        target = inspect.unwrap(function)
    closure = getattr(target, "__closure__", None) or ()
    free = getattr(getattr(target, "__code__", None), "co_freevars", ())
    local = {}
    for variable, cell in zip(free, closure, strict=False):
        try:
            local[variable] = cell.cell_contents
        except ValueError:                       # not assigned yet: the name of the function that is being decorated
            continue
    if not getattr(target, "__annotations__", None):
        return {}
    try:
        return typing.get_type_hints(target, localns=local, include_extras=True)
    except (NameError, SyntaxError, TypeError, AttributeError) as error:
        raise SignatureError(
            f"UDF {name!r}: an annotation cannot be evaluated ({error}); annotations must use names that exist at module level when "
            "the function is defined"
        ) from error


def _given_inputs(name: str, parameters: list[str], given: Sequence[object] | Mapping[str, object] | None) -> dict[str, Type]:
    if given is None:
        return {}
    if isinstance(given, str) or not isinstance(given, (Sequence, Mapping)):
        raise SignatureError(f"UDF {name!r}: input_types= must be a list with one type for each parameter, not {given!r}")
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in parameters]
        if unknown:
            raise SignatureError(f"UDF {name!r}: input_types= names {unknown[0]!r}, which is not a parameter; there are {parameters}")
        pairs = dict(given)
    else:
        if len(given) != len(parameters):
            raise SignatureError(f"UDF {name!r}: input_types= has {len(given)} types for {len(parameters)} parameters {parameters}")
        pairs = dict(zip(parameters, given, strict=True))
    types_ = {}
    for parameter, specification in pairs.items():
        try:
            types_[parameter] = declared(specification)
        except ValueError as error:
            raise SignatureError(f"UDF {name!r}: input type of parameter {parameter!r}: {error}") from error
    return types_


def _read(name: str, where: str, hints: Mapping[str, object], key: str) -> Annotation:
    if key not in hints:
        return _NOTHING
    try:
        return annotation_of(hints[key])
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: {where}: annotation {error}") from error


def _combine(name: str, where: str, annotated: Type | None, given: Type | None, option: str) -> Type:
    if given is None and annotated is None:
        raise SignatureError(f"UDF {name!r}: {where} has no type: annotate it, or pass {option}. Types are {SUPPORTED}")
    if given is not None and annotated is not None and given.kind is not annotated.kind:
        raise SignatureError(
            f"UDF {name!r}: {where} is annotated {annotated.kind.value} but {option} says {given}: make the two agree, or drop one"
        )
    return given or typing.cast(Type, annotated)


def _check_container(name: str, where: str, container: Container | None, vectorized: bool) -> None:
    if container is not None and not vectorized:
        raise SignatureError(f"UDF {name!r}: {where} is annotated as an array: a function over arrays needs @udfvm.udf(vectorized=True)")


def _is_json(annotation: object) -> bool:
    """Whether values of an annotation are dictionaries or lists: ``dict``, ``list[float]``, a ``TypedDict``."""
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, (dict, list))


def _json_result(annotation: object) -> ResultType | None:
    """The result that ``dict``, ``list[...]``, or either ``| None`` stands for; None for other annotations."""
    union = typing.get_origin(annotation) in (Union, types.UnionType)
    alternatives = typing.get_args(annotation) if union else (annotation,)
    others = [alternative for alternative in alternatives if alternative is not type(None)]
    if not others or not all(map(_is_json, others)):
        return None
    return ResultType(JSON, len(others) < len(alternatives))


def _result(name: str, hints: Mapping[str, object], output_type: object, vectorized: bool) -> ResultType:
    where = "the result"
    if not vectorized and output_type is None and (json := _json_result(hints.get("return"))) is not None:
        return json
    annotation = _read(name, where, hints, "return")
    if annotation.type is not None and annotation.type.kind is Kind.NULL:
        if output_type is None:
            raise SignatureError(f"UDF {name!r}: the result is annotated None: annotate what the function returns, or pass output_type=")
        annotation = _NOTHING
    given = None
    if output_type is not None:
        try:
            given = declared(output_type)
        except ValueError as error:
            raise SignatureError(f"UDF {name!r}: output_type=: {error}") from error
    type_ = _combine(name, where, annotation.type, given, "output_type=")
    _check_container(name, where, annotation.container, vectorized)
    return ResultType(type_, annotation.nullable or vectorized or "return" not in hints)
