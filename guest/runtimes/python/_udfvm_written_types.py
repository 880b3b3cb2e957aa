"""What the types in source text mean, as far as their text tells: nothing of it is evaluated.

A type is the name of an Arrow type, whether it allows None, and the container that a vectorised
function has for its columns.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from _udfvm_inference import Unknown
from _udfvm_names import (
    ARRAY_CLASSES,
    CLASSES,
    CLASSES_OF_MODULES,
    INTEGERS,
    INTERVAL,
    JSON_NAME,
    NUMPY_CLASSES,
)


class Written(NamedTuple):
    """What a type in the text means. ``type`` is empty if it does not say which values."""

    type: str
    nullable: bool = False
    container: str = ""


_PLAIN: Final = {
    **CLASSES,
    **CLASSES_OF_MODULES,
    "None": "null",
    "dict": JSON_NAME,
    "list": JSON_NAME,
}
#: What functions of pyarrow make that take no arguments.
_OF_PYARROW: Final = {
    **INTEGERS,
    "float16": "halffloat",
    "float32": "float",
    "float64": "double",
    "bool_": "bool",
    "string": "string",
    "utf8": "string",
    "string_view": "string_view",
    "large_string": "large_string",
    "large_utf8": "large_string",
    "binary": "binary",
    "binary_view": "binary_view",
    "large_binary": "large_binary",
    "date32": "date32[day]",
    "date64": "date64[ms]",
    "month_day_nano_interval": INTERVAL,
    "null": "null",
}
#: Those that take a unit, and perhaps a time zone.
_WITH_UNITS: Final = ("timestamp", "duration", "time32", "time64")
_DECIMALS: Final = ("decimal32", "decimal64", "decimal128", "decimal256")
_CONTAINERS: Final = {
    "numpy.ndarray": "numpy",
    "numpy.typing.NDArray": "numpy",
    "pandas.Series": "pandas",
    "polars.Series": "polars",
}


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Returns what the names mean that a module imports, wherever it does: dotted names."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                names[each.asname or top] = each.name if each.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                names[each.asname or each.name] = f"{node.module}.{each.name}"
    return names


def dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """Returns the dotted name that an expression is, with imports resolved; else an empty text."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def annotated(node: ast.expr, names: Mapping[str, str]) -> Written:
    """Returns what an annotation means. Raises Unknown."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return Written("null", True)
        if isinstance(node.value, str):
            return annotated(_parsed(node), names)
        raise Unknown(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _either(node, [node.left, node.right], names)
    if isinstance(node, ast.Subscript):
        return _generic(node, names)
    return _named(node, names)


def _named(node: ast.expr, names: Mapping[str, str]) -> Written:
    name = dotted(node, names)
    if name in _PLAIN:
        return Written(_PLAIN[name])
    module, _, last = name.rpartition(".")
    if name in _CONTAINERS:
        return Written("", container=_CONTAINERS[name])
    if module == "pyarrow" and last.endswith("Array") and last != "ChunkedArray":
        return Written(ARRAY_CLASSES.get(last, ""), container="arrow")
    element = last.removesuffix("_")
    if module == "numpy" and element in NUMPY_CLASSES:
        return Written(NUMPY_CLASSES[element])
    raise Unknown(node)


def given(node: ast.expr, names: Mapping[str, str]) -> Written:
    """Returns what a type in ``input_types=`` and the like means: an annotation, a type of pyarrow,
    or the name of a type. Raises Unknown.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return Written(node.value)
    if isinstance(node, ast.Call):
        return Written(_made_by_pyarrow(node, names))
    return annotated(node, names)


def _parsed(node: ast.Constant) -> ast.expr:
    try:
        tree = ast.parse(str(node.value), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        raise Unknown(node) from None
    return tree.body


def _either(node: ast.expr, parts: Sequence[ast.expr], names: Mapping[str, str]) -> Written:
    """Returns the one type beside None."""
    found = [annotated(part, names) for part in parts]
    others = [each for each in found if each.type != "null" or each.container]
    if len(others) != 1:
        raise Unknown(node)
    return others[0]._replace(nullable=others[0].nullable or len(others) < len(found))


def _generic(node: ast.Subscript, names: Mapping[str, str]) -> Written:
    origin = dotted(node.value, names).removeprefix("typing.")
    inner = node.slice
    several = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
    if origin == "Optional":
        return annotated(inner, names)._replace(nullable=True)
    if origin == "Union":
        return _either(node, several, names)
    if origin == "Annotated":
        return _with_metadata(node, several, names)
    return _nested(node, origin, several, names)


def _with_metadata(
    node: ast.expr, several: Sequence[ast.expr], names: Mapping[str, str]
) -> Written:
    """Returns the meaning of ``Annotated[T, ...]``, with the type of pyarrow in the metadata."""
    found = annotated(several[0], names)
    types = [
        each
        for each in several[1:]
        if isinstance(each, ast.Call) and dotted(each.func, names).startswith("pyarrow.")
    ]
    if len(types) > 1:
        raise Unknown(node)
    return found._replace(type=_made_by_pyarrow(types[0], names)) if types else found


def _nested(
    node: ast.Subscript, origin: str, several: Sequence[ast.expr], names: Mapping[str, str]
) -> Written:
    inner = node.slice
    if origin in ("list", "List") and len(several) == 1:
        return Written(f"list<item: {_value(inner, names)}>")
    if origin in ("dict", "Dict") and len(several) == 2:
        return Written(f"map<{_value(several[0], names)}, {_value(several[1], names)}>")
    if origin == "numpy.typing.NDArray":
        return Written(annotated(inner, names).type, container="numpy")
    if origin == "numpy.ndarray" and len(several) == 2 and isinstance(several[1], ast.Subscript):
        return Written(annotated(several[1].slice, names).type, container="numpy")
    raise Unknown(node)


def _value(node: ast.expr, names: Mapping[str, str]) -> str:
    """Returns the type of values in a list or mapping."""
    found = annotated(node, names)
    if found.container or not found.type:
        raise Unknown(node)
    return found.type


def _made_by_pyarrow(node: ast.Call, names: Mapping[str, str]) -> str:
    """Returns the name of the type that a call such as ``pyarrow.timestamp("us")`` makes."""
    module, _, last = dotted(node.func, names).rpartition(".")
    if module != "pyarrow" or node.keywords:
        raise Unknown(node)
    if last in ("list_", "large_list") and len(node.args) == 1:
        return f"{last.rstrip('_')}<item: {given(node.args[0], names).type}>"
    if last == "map_" and len(node.args) == 2:
        key, value = (given(each, names).type for each in node.args)
        return f"map<{key}, {value}>"
    values = [each.value for each in node.args if isinstance(each, ast.Constant)]
    if len(values) == len(node.args) and (name := _with_arguments(last, values)):
        return name
    raise Unknown(node)


def _with_arguments(function: str, values: Sequence[object]) -> str:
    """Returns the name of the type that a function of pyarrow makes of literals; an empty text for
    others.
    """
    if not values:
        return _OF_PYARROW.get(function, "")
    if all(isinstance(each, str) for each in values) and function in _WITH_UNITS:
        unit, *zone = map(str, values)
        return f"{function}[{unit}{''.join(f', tz={each}' for each in zone)}]"
    if any(type(each) is not int for each in values):
        return ""
    if function == "binary" and len(values) == 1:
        return f"fixed_size_binary[{values[0]}]"
    if function in _DECIMALS:
        precision, scale = (*values, 0)[:2]
        return f"{function}({precision}, {scale})"
    return ""
