"""The meaning of annotations of parameters and results: types of Python, numpy and pyarrow."""

from __future__ import annotations

import sys

from udfvm.static_typing import Any, Final
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Container, Type, declared, is_arrow_type, named
from udfvm.types.forms import (
    arguments_of,
    is_form,
    is_made_by,
    is_typed_dict,
    is_union,
    origin_of,
)
from udfvm.types.names import ARRAY_CLASSES, NUMPY_CLASSES
from udfvm.types.records import Shape, fields_of, is_record
from udfvm.types.unknown_types import SEE_TYPES


class Annotation(NamedTuple):
    """The meaning of an annotation; None for each part that it leaves open."""

    type: Type | None
    nullable: bool
    container: Container | None
    shape: Shape = None  # the instances that it stands for


_OPEN: Final[dict[Any, str]] = {
    list: "list does not say the type of its values: write list[float], for example",
    dict: "dict does not say the types of its keys and values: write dict[str, float], for"
    " example, or a TypedDict",
}

NO_ANNOTATION: Final = Annotation(None, False, None)
_ANY: Final = Annotation(None, False, None)  # another object, since errors tell the two apart


def annotation_of(annotation: Any) -> Annotation:
    """Returns the meaning of an annotation of a parameter or result. Raises ValueError if it has
    none.
    """
    if is_form(annotation, "Any"):
        return _ANY
    origin = origin_of(annotation)
    if is_form(origin, "Annotated"):
        return _with_metadata(annotation)
    if is_made_by(annotation, "NewType"):
        return annotation_of(annotation.__supertype__)
    if is_made_by(annotation, "TypeAliasType") or is_made_by(origin, "TypeAliasType"):
        return annotation_of(_without_alias(annotation))
    if is_union(origin):
        alternatives = arguments_of(annotation)
        others = [alternative for alternative in alternatives if alternative is not type(None)]
        if len(others) != 1:
            raise ValueError(f"{annotation} allows more than one type: choose one ({SEE_TYPES})")
        inner = annotation_of(others[0])
        return inner._replace(nullable=inner.nullable or len(others) < len(alternatives))
    if annotation in (list, dict):
        raise ValueError(_OPEN[annotation])
    array = _from_array_class(annotation if origin is None else origin, arguments_of(annotation))
    found = array or _nested_of(annotation)
    if found is None and (better := _suggested(annotation)):
        raise ValueError(f"{annotation} is not a supported type: annotate {better} ({SEE_TYPES})")
    return found or Annotation(declared(annotation), False, None)


def _with_metadata(annotation: Any) -> Annotation:
    """Returns the meaning of ``Annotated[T, ...]``: that of ``T``, with the type of pyarrow that is
    in the metadata.
    """
    inner, *metadata = arguments_of(annotation)
    found = annotation_of(inner)
    types = list(filter(is_arrow_type, metadata))
    if not types:
        return found
    if len(types) > 1:
        raise ValueError(f"{annotation} has more than one type of pyarrow: choose one")
    if found.shape is not None:
        raise ValueError(f"{annotation}: annotate the fields of the class with types of pyarrow")
    return found._replace(type=declared(types[0]))


def _without_alias(annotation: Any) -> Any:
    """Returns what an annotation stands for where it is an alias, or a generic one with arguments:
    ``dict[str, int]`` for ``Table[int]``, declared as ``type Table[V] = dict[str, V]``.
    """
    while is_made_by(alias := origin_of(annotation) or annotation, "TypeAliasType"):
        given = dict(zip(alias.__type_params__, arguments_of(annotation), strict=False))
        parameters = getattr(alias.__value__, "__parameters__", ())
        chosen = tuple(given.get(each, each) for each in parameters)
        annotation = alias.__value__[chosen] if given and chosen else alias.__value__
    return annotation


def missing_type(annotation: Annotation, where: str) -> str:
    """Returns what an error says of a parameter or result whose annotation has no type."""
    if annotation is _ANY:
        return "is annotated Any, which is no type: annotate one"
    if where == "parameter 'self'":
        return "is a method's instance, and has no type: declare udfvm.udf(instance.method)"
    return "has no type: annotate it"


def given_type(specification: object) -> Annotation:
    """Returns the meaning of a type in ``input_types=``, ``output_type=`` or ``columns=``: whatever
    may be an annotation, a type of pyarrow or a name. Raises ValueError if it has none.
    """
    found = annotation_of(specification)
    return found._replace(type=found.type or declared(specification), container=None)


_PYTHON_OF_KIND: Final = {
    **dict.fromkeys("iu", "int"),
    "f": "float",
    "b": "bool",
    "U": "str",
    "S": "bytes",
    "M": "datetime.datetime",
    "m": "datetime.timedelta",
}


def _suggested(annotation: Any) -> str | None:
    """Returns what to annotate in the place of a class or form that has no type; None if nobody
    knows.
    """
    origin = origin_of(annotation) or annotation
    if is_form(origin, "Literal"):
        classes = {type(each).__name__ for each in arguments_of(annotation)}
        return f"{classes.pop()}, the type of its values" if len(classes) == 1 else None
    if not isinstance(origin, type):
        return None
    if origin.__module__ == "collections.abc" or origin in (tuple, set, frozenset):
        return "list[...], of the type of its items"
    library = origin.__module__.partition(".")[0]
    if library == "pandas":
        names = {"Timestamp": "datetime.datetime", "Timedelta": "datetime.timedelta"}
        return names.get(origin.__name__)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and issubclass(origin, numpy.generic):
        return _PYTHON_OF_KIND.get(numpy.dtype(origin).kind)
    return None


def _nested_of(annotation: object, outer: tuple[object, ...] = ()) -> Annotation | None:
    """Returns the meaning of ``list[T]``, ``dict[K, V]`` and of a class that stands for a struct;
    None for other annotations. ``outer`` are the classes around it.

    Raises ValueError if a part has no type.
    """
    arguments = arguments_of(annotation)
    if origin_of(annotation) is list and len(arguments) == 1:
        item = _held(arguments[0], outer)
        shape = None if item.shape is None else ("list", item.shape)
        return Annotation(named(f"list<item: {item.type}>"), False, None, shape)
    if origin_of(annotation) is dict and len(arguments) == 2:
        key, value = (_held(each, outer) for each in arguments)
        if key.shape is not None or key.nullable:
            raise ValueError(f"{arguments[0]} is not a supported type of keys")
        shape = None if value.shape is None else ("map", value.shape)
        return Annotation(named(f"map<{key.type}, {value.type}>"), False, None, shape)
    return _struct_of(annotation, outer) if is_record(annotation) else None


def _struct_of(cls: Any, outer: tuple[object, ...]) -> Annotation:
    if cls in outer:
        raise ValueError(f"{cls.__name__} contains itself: a struct must have a fixed depth")
    from udfvm.types.nested import quoted

    fields, shapes = [], {}
    for field in fields_of(cls):
        try:
            held = _held(field.annotation, (*outer, cls))
        except ValueError as error:
            raise ValueError(f"{cls.__name__}: field {field.name!r}: {error}") from error
        fields.append(f"{quoted(field.name)}: {held.type}")
        shapes[field.name] = held.shape, field.optional and not held.nullable
    make = dict if is_typed_dict(cls) else cls
    is_dict = make is dict and not any(shape or optional for shape, optional in shapes.values())
    shape = None if is_dict else ("record", make, shapes)
    return Annotation(named(f"struct<{', '.join(fields)}>"), False, None, shape)


def _held(annotation: Any, outer: tuple[object, ...]) -> Annotation:
    """Returns the meaning of the annotation of an element or field; it must have a type."""
    inner, nullable = _without_none(annotation)
    held = _nested_of(inner, outer) or annotation_of(inner)
    if held.type is None or held.container is not None:
        raise ValueError(f"{annotation} is not a supported type inside a list or struct")
    return held._replace(nullable=held.nullable or nullable)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Returns ``T`` of ``T | None``, and True if it was one."""
    if is_union(origin_of(annotation)):
        others = [each for each in arguments_of(annotation) if each is not type(None)]
        if len(others) == 1:
            return others[0], True
    return annotation, False


def _from_array_class(cls: object, arguments: tuple[Any, ...]) -> Annotation | None:
    if not isinstance(cls, type):
        return None
    numpy, pyarrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    if numpy is not None and issubclass(cls, numpy.ndarray):
        return Annotation(_numpy_element(arguments), False, Container.NUMPY)
    if pyarrow is not None and issubclass(cls, pyarrow.ChunkedArray):
        raise ValueError(
            "pyarrow.ChunkedArray is an array in pieces: annotate pyarrow.Array, as arguments"
            " and results are whole"
        )
    if pyarrow is not None and issubclass(cls, pyarrow.Array):
        if cls is not pyarrow.Array and cls.__name__ not in ARRAY_CLASSES:
            return Annotation(None, False, Container.ARROW)
        name = ARRAY_CLASSES.get(cls.__name__)
        return Annotation(named(name) if name else None, False, Container.ARROW)
    return _from_series_class(cls)


def _from_series_class(cls: type) -> Annotation | None:
    """Returns the meaning of the Series of a library that is loaded: no class can be another's."""
    for container in (Container.PANDAS, Container.POLARS):
        library: Any = sys.modules.get(container.value)
        if library is None or not hasattr(library, "Series"):
            continue
        if issubclass(cls, library.Series):
            return Annotation(None, False, container)
        if issubclass(cls, library.DataFrame):
            raise ValueError(
                f"{container.value}.DataFrame is a table: annotate {container.value}.Series, as"
                " arguments and results are columns"
            )
    return None


def _numpy_element(arguments: tuple[Any, ...]) -> Type | None:
    """Returns the type in ``ndarray[shape, dtype[T]]``; None if it is open."""
    if len(arguments) != 2:
        return None
    elements = arguments_of(arguments[1])
    if not elements or not isinstance(elements[0], type):
        return None
    name = elements[0].__name__.rstrip("_")
    return named(NUMPY_CLASSES[name]) if name in NUMPY_CLASSES else None


def is_json(annotation: object) -> bool:
    """Returns True if values of an annotation are dictionaries or lists: ``dict``, ``list[float]``,
    a class that stands for a struct.
    """
    annotation = _without_alias(annotation)
    origin = origin_of(annotation) or annotation
    return is_record(origin) or (isinstance(origin, type) and issubclass(origin, (dict, list)))


def has_nested_type(annotation: object) -> bool:
    """Returns True if ``list[T]``, ``dict[K, V]``, or a class that stands for a struct, has types
    for all parts.
    """
    try:
        return _nested_of(annotation) is not None
    except (ValueError, NameError):
        return False
