"""The identity of a function: the name of its image in the cache is made of it.

In general the identity covers everything that is shipped to the guest, so the function is pickled
to compute it. A function that refers only to builtins is identified by its code, and is pickled
only when an image is built: pickling, with its imports, would take longer than the rest of a new
process until its first result.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Mapping

from udfvm.load.bindings import imports_modules
from udfvm.load.libraries import is_library
from udfvm.static_typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from udfvm.load.declaration import Declaration
    from udfvm.load.pickling import PickledFunction

_ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})
_NOTED: Final = frozenset({"to_pandas"})  # pickling notes this name, so it changes what is shipped
_MODULE_FACTS: Final = ("__name__", "__package__", "__file__", "__path__")


class _RefersOutside(Exception):
    """The function refers to objects that the identity by code does not cover."""


def of_pickled(declaration: Declaration, sample: object, pickled: PickledFunction) -> bytes:
    """Returns the identity of any Python function. It covers only what the image depends on:
    opening a cached image imports no pyarrow.
    """
    import cloudpickle

    facts = (
        sorted(pickled.imports),
        sorted(pickled.sources.items()),
        sorted(pickled.user_modules.values()),
    )
    pickled_sample: bytes = b"" if sample is None else cloudpickle.dumps(sample)
    return (
        repr((_facts(declaration), facts)).encode()
        + b"\0"
        + pickled.data
        + pickled_sample
        + pickled.data_files
        + pickled.files
    )


def of_source(declaration: Declaration, sample: object, source: PickledFunction) -> bytes:
    """Returns the identity of a function that is given as source text."""
    import cloudpickle

    pickled_sample: bytes = b"" if sample is None else cloudpickle.dumps(sample)
    names = [each.name for each in declaration.parameters]
    facts = repr((_facts(declaration), names, sorted(source.code.items()), len(source.data)))
    return facts.encode() + b"\0" + source.data + pickled_sample


def of_self_contained(
    declaration: Declaration, function: Callable[..., object], sample: object
) -> bytes | None:
    """Returns the identity of a function that refers to builtins only; None for others."""
    if (
        sample is not None
        or type(function) is not types.FunctionType
        or is_library(function.__code__.co_filename)
    ):
        return None
    if function.__closure__ or function.__dict__ or function.__kwdefaults__:
        return None
    try:
        facts = (
            _code(function.__code__, function.__globals__),
            _constant(function.__defaults__),
            [(name, _annotation(value)) for name, value in function.__annotations__.items()],
            [
                _constant(value)
                for value in (
                    function.__name__,
                    function.__qualname__,
                    function.__module__,
                    function.__doc__,
                )
            ],
            [_constant(function.__globals__.get(name)) for name in _MODULE_FACTS],
        )
    except _RefersOutside:
        return None
    return (
        repr((_facts(declaration), "self-contained", facts)).encode()
        + b"\0"
        + _source(function.__code__.co_filename)
    )


def _facts(declaration: Declaration) -> tuple[object, ...]:
    host_functions = declaration.host_functions
    types_ = [
        (each.type.name, each.nullable, each.container.value) for each in declaration.parameters
    ]
    columns = [(each.name, each.type.name, each.nullable) for each in declaration.columns]
    return (
        declaration.limits.deterministic,
        host_functions.descriptions() if host_functions else [],
        declaration.form,
        declaration.name,
        declaration.vectorized,
        types_,
        declaration.result.type.name,
        declaration.result.nullable,
        columns,
    )


def _code(code: types.CodeType, namespace: Mapping[str, object]) -> tuple[object, ...]:
    """Hashes all of a code object, nested ones included."""
    if any(name in namespace or name in _NOTED for name in code.co_names):
        raise _RefersOutside
    if imports_modules(code):
        raise _RefersOutside
    return (
        code.co_name,
        code.co_qualname,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_stacksize,
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_cellvars,
        code.co_freevars,
        code.co_filename,
        code.co_firstlineno,
        code.co_linetable,
        code.co_exceptiontable,
        [
            _code(value, namespace) if isinstance(value, types.CodeType) else _constant(value)
            for value in code.co_consts
        ],
    )


def _constant(value: object) -> object:
    """Returns a text that is unique to a constant and independent of the order of sets in this
    process.
    """
    if type(value) in _ATOMS:
        return repr(value)
    if isinstance(value, tuple):
        return [_constant(each) for each in value]
    if isinstance(value, frozenset):
        return "frozenset", sorted(repr(_constant(each)) for each in value)
    raise _RefersOutside


def _annotation(value: Any) -> str:
    if value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, types.UnionType):
        return " | ".join(map(_annotation, value.__args__))
    if isinstance(value, type) and value.__module__ in ("builtins", "datetime"):
        return f"{value.__module__}.{value.__qualname__}"
    raise _RefersOutside


def _source(filename: str) -> bytes:
    """Returns the source text whose lines the guest's tracebacks show."""
    linecache = sys.modules.get("linecache")
    if linecache is None and filename.startswith("<"):
        return b""  # linecache may have text for code without a file
    if linecache is None and os.path.isabs(filename):
        try:
            with open(filename, "rb") as file:
                text = file.read()
        except OSError:
            return b""
        return text if text.endswith(b"\n") else text + b"\n"
    import linecache as lines

    return "".join(lines.getlines(filename)).encode("utf-8", "surrogatepass")
