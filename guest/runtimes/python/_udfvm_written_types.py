"""What the types in source text mean, as far as their text tells: nothing of it is evaluated.

A type is the name of an Arrow type, whether it allows None, and the container that a vectorised
function has for its columns.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from _udfvm_inference import Unknown


class Written(NamedTuple):
    """What a type in the text means. ``type`` is empty if it does not say which values."""

    type: str
    nullable: bool = False
    container: str = ""


_PLAIN: Final = {
    "bool": "bool",
    "int": "int64",
    "float": "double",
    "str": "string",
    "bytes": "binary",
    "None": "null",
    "dict": "json",
    "list": "json",
    "datetime.date": "date32[day]",
    "datetime.datetime": "timestamp[us]",
    "datetime.time": "time64[us]",
    "datetime.timedelta": "duration[us]",
    "decimal.Decimal": "decimal128(38, 18)",
    "pyarrow.MonthDayNano": "month_day_nano_interval",
}
_SIZED: Final = {
    name: name
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}
_NUMPY: Final = {
    **_SIZED,
    "float32": "float",
    "float64": "double",
    "bool": "bool",
    "bool_": "bool",
    "str_": "string",
    "bytes_": "binary",
}
_OF_PYARROW: Final = {
    **_SIZED,
    "float32": "float",
    "float64": "double",
    "bool_": "bool",
    "string": "string",
    "utf8": "string",
    "large_string": "large_string",
    "binary": "binary",
    "large_binary": "large_binary",
    "date32": "date32[day]",
    "date64": "date64[ms]",
    "timestamp": "timestamp",
    "duration": "duration",
    "time32": "time32",
    "time64": "time64",
    "null": "null",
}
_ARRAYS: Final = {
    "Array": "",
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
}
_CONTAINERS: Final = {
    "numpy.ndarray": "numpy",
    "numpy.typing.NDArray": "numpy",
    "pandas.Series": "pandas",
    "polars.Series": "polars",
    "pyarrow.Array": "arrow",
    **{f"pyarrow.{name}": "arrow" for name in _ARRAYS},
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
        held = _ARRAYS.get(last, "") if module == "pyarrow" else ""
        return Written(held, container=_CONTAINERS[name])
    if module == "numpy" and last in _NUMPY:
        return Written(_NUMPY[last])
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
        return annotated(several[0], names)
    return _nested(node, origin, several, names)


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
    name = _OF_PYARROW.get(last, "")
    units = [each.value for each in node.args if isinstance(each, ast.Constant)]
    if not name or len(units) != len(node.args) or not all(isinstance(u, str) for u in units):
        raise Unknown(node)
    if not units:
        return name
    unit, *zone = map(str, units)
    return f"{name}[{unit}{''.join(f', tz={each}' for each in zone)}]"
