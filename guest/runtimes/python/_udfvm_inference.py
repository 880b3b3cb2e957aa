"""What type an expression has, as far as its text tells, for those that are declared without one.

The rules are Python's own for numbers, text and bytes; docs/text.md lists them. A result that may
be None is one of the other type.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Final

from _udfvm_conversions import family
from _udfvm_names import CLASSES, CLASSES_OF_MODULES

NOTHING: Final = "none"  # of the constant None, which any type may be in place of
_NUMBERS: Final = ("bool", "int", "float")
_OF_FAMILIES: Final = {
    "bool": "bool",
    "integer": "int",
    "float": "float",
    "text": "str",
    "bytes": "bytes",
    "date": "date",
    "time": "datetime",
}
#: Arrow's names of what can be told.
ARROW: Final = {
    **CLASSES,
    "date": CLASSES_OF_MODULES["datetime.date"],
    "datetime": CLASSES_OF_MODULES["datetime.datetime"],
}


def _of_each(names: str, type_: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), type_)


_BUILTINS: Final = {
    **_of_each("len ord hash int", "int"),
    **_of_each("str repr ascii chr format hex oct bin", "str"),
    **_of_each("bool any all isinstance callable", "bool"),
    **_of_each("float", "float"),
    **_of_each("bytes", "bytes"),
}
_MATH: Final = {
    **_of_each("ceil comb factorial floor gcd isqrt lcm perm trunc", "int"),
    **_of_each("isclose isfinite isinf isnan", "bool"),
}
_METHODS: Final = {
    "str": {
        **_of_each(
            "capitalize casefold center expandtabs format join ljust lower lstrip removeprefix"
            " removesuffix replace rjust rstrip strip swapcase title translate upper zfill",
            "str",
        ),
        **_of_each(
            "endswith isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric"
            " isprintable isspace istitle isupper startswith",
            "bool",
        ),
        **_of_each("count find index rfind rindex", "int"),
        **_of_each("encode", "bytes"),
    },
    "bytes": {
        **_of_each("decode hex", "str"),
        **_of_each("endswith isalnum isalpha isascii isdigit startswith", "bool"),
        **_of_each("count find index rfind rindex", "int"),
        **_of_each(
            "join lower lstrip removeprefix removesuffix replace rstrip strip upper", "bytes"
        ),
    },
    "int": _of_each("bit_count bit_length", "int"),
    "float": _of_each("is_integer", "bool"),
    "date": {**_of_each("isoformat strftime", "str"), **_of_each("isoweekday weekday", "int")},
    "datetime": {
        **_of_each("isoformat strftime", "str"),
        **_of_each("isoweekday weekday", "int"),
        **_of_each("timestamp", "float"),
        **_of_each("date", "date"),
    },
}
_ATTRIBUTES: Final = {
    "date": _of_each("day month year", "int"),
    "datetime": _of_each("day hour microsecond minute month second year", "int"),
}
_DATES: Final = ("date", "datetime")


class Unknown(Exception):
    """The type of a part of an expression cannot be told."""

    def __init__(self, node: ast.AST, reason: str = "") -> None:
        super().__init__(reason)
        self.node = node
        self.reason = reason


def parameter_type(name: str) -> str:
    """Returns the type of a parameter here, by its name in Arrow; an empty text for others."""
    return _OF_FAMILIES.get(family(name), "")


def inferred(expression: ast.expr, parameters: Mapping[str, str]) -> str:
    """Returns the type of an expression, one of ``ARROW``. ``parameters`` has those of its names.

    Raises Unknown.
    """
    return _Inference(parameters).of(expression)


class _Inference:
    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    def of(self, node: ast.expr) -> str:
        rule = getattr(self, f"_{_RULES.get(type(node), 'other')}")
        found: str = rule(node)
        return found

    def _other(self, node: ast.expr) -> str:
        raise Unknown(node)

    def _constant(self, node: ast.Constant) -> str:
        name = NOTHING if node.value is None else type(node.value).__name__
        return name if name in ARROW or name == NOTHING else self._other(node)

    def _name(self, node: ast.Name) -> str:
        return self._parameters.get(node.id) or self._other(node)

    def _boolean(self, _: ast.expr) -> str:
        return "bool"

    def _text(self, _: ast.expr) -> str:
        return "str"

    def _unary(self, node: ast.UnaryOp) -> str:
        operand = self.of(node.operand)
        if isinstance(node.op, ast.Not):
            return "bool"
        if operand == "float" and not isinstance(node.op, ast.Invert):
            return "float"
        return "int" if operand in ("bool", "int") else self._other(node)

    def _binary(self, node: ast.BinOp) -> str:
        left, right = self.of(node.left), self.of(node.right)
        both = {left, right}
        if both <= set(_NUMBERS):
            return self._numbers(node, both)
        if isinstance(node.op, ast.Mod) and left in ("str", "bytes"):
            return left
        if isinstance(node.op, ast.Add) and left == right and left in ("str", "bytes"):
            return left
        if isinstance(node.op, ast.Mult) and both & {"str", "bytes"} and both & {"int", "bool"}:
            return (both & {"str", "bytes"}).pop()
        return self._other(node)

    def _numbers(self, node: ast.BinOp, both: set[str]) -> str:
        if isinstance(node.op, ast.Div):
            return "float"
        if isinstance(node.op, (ast.BitAnd, ast.BitOr, ast.BitXor)):
            return "bool" if both == {"bool"} else self._integers(node, both)
        if isinstance(node.op, (ast.LShift, ast.RShift)):
            return self._integers(node, both)
        if isinstance(node.op, ast.Pow):
            return self._power(node.right, both)
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)):
            return "float" if "float" in both else "int"
        return self._other(node)

    def _integers(self, node: ast.expr, both: set[str]) -> str:
        return "int" if "float" not in both else self._other(node)

    @staticmethod
    def _power(exponent: ast.expr, both: set[str]) -> str:
        """An integer to a power that may be negative is a float."""
        is_natural = isinstance(exponent, ast.Constant)  # a sign makes it no constant
        return "int" if is_natural and "float" not in both else "float"

    def _either(self, node: ast.BoolOp) -> str:
        return self._joined(node, [self.of(value) for value in node.values])

    def _choice(self, node: ast.IfExp) -> str:
        return self._joined(node, [self.of(node.body), self.of(node.orelse)])

    def _joined(self, node: ast.expr, types: Sequence[str]) -> str:
        known = [each for each in dict.fromkeys(types) if each != NOTHING]
        if not known:
            return NOTHING
        if len(known) == 1:
            return known[0]
        if set(known) <= set(_NUMBERS):
            return "float" if "float" in known else "int"
        raise Unknown(node, f"it is {' or '.join(known)}")

    def _call(self, node: ast.Call) -> str:
        function = node.func
        if isinstance(function, ast.Name) and function.id not in self._parameters:
            return self._builtin(node, function.id)
        if not isinstance(function, ast.Attribute):
            return self._other(node)
        if self._is_module(function.value, "math"):
            return self._math(node, function.attr)
        methods = _METHODS.get(self.of(function.value), {})
        return methods.get(function.attr) or self._other(node)

    def _builtin(self, node: ast.Call, name: str) -> str:
        if name in _BUILTINS:
            return _BUILTINS[name]
        if not node.args or any(isinstance(each, ast.Starred) for each in node.args):
            return self._other(node)
        types = [self.of(each) for each in node.args]
        if name in ("min", "max") and len(types) > 1:
            return self._joined(node, types)
        if name == "pow" and len(types) == 2 and set(types) <= set(_NUMBERS):
            return self._power(node.args[1], set(types))
        if name in ("abs", "round") and types[0] in _NUMBERS:
            rounded = name == "round" and len(types) == 1
            return "int" if rounded or types[0] == "bool" else types[0]
        return self._other(node)

    def _math(self, node: ast.Call, name: str) -> str:
        if name in ("prod", "sumprod", "frexp", "modf"):
            return self._other(node)
        return _MATH.get(name, "float")

    def _is_module(self, node: ast.expr, name: str) -> bool:
        return isinstance(node, ast.Name) and node.id == name and name not in self._parameters

    def _attribute(self, node: ast.Attribute) -> str:
        if self._is_module(node.value, "math"):
            return "float"
        return _ATTRIBUTES.get(self.of(node.value), {}).get(node.attr) or self._other(node)

    def _subscript(self, node: ast.Subscript) -> str:
        value = self.of(node.value)
        if value == "bytes" and not isinstance(node.slice, ast.Slice):
            return "int"
        return value if value in ("str", "bytes") else self._other(node)


_RULES: Final[dict[type[ast.expr], str]] = {
    ast.Attribute: "attribute",
    ast.BinOp: "binary",
    ast.BoolOp: "either",
    ast.Call: "call",
    ast.Compare: "boolean",
    ast.Constant: "constant",
    ast.IfExp: "choice",
    ast.JoinedStr: "text",
    ast.Name: "name",
    ast.Subscript: "subscript",
    ast.UnaryOp: "unary",
}

# ---- Annotations ----

_ANNOTATIONS: Final = {
    **ARROW,
    "datetime.date": ARROW["date"],
    "datetime.datetime": ARROW["datetime"],
    "dt.date": ARROW["date"],
    "dt.datetime": ARROW["datetime"],
    "None": "null",
}
_OPTIONAL: Final = re.compile(r"(?:typing\.)?Optional\[(.+)\]", re.DOTALL)


def annotated_type(annotation: ast.expr) -> tuple[str, bool]:
    """Returns the type that an annotation names, and whether it allows None. Raises Unknown."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        text = annotation.value
    else:
        text = ast.unparse(annotation)
    if optional := _OPTIONAL.fullmatch(text):
        text = f"{optional[1]} | None"
    parts = [part.strip() for part in text.split("|")]
    names = [part for part in parts if part != "None"] or parts[:1]
    if len(names) != 1 or names[0] not in _ANNOTATIONS:
        raise Unknown(annotation, text)
    return _ANNOTATIONS[names[0]], len(parts) > 1
