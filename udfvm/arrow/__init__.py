"""UDFs as functions of ``pyarrow.compute``: scalar and vector functions, aggregates for
``Table.group_by`` too, and tabular functions.

``ScalarFunction.expr`` makes expressions for projections and filters, and needs no registration.
"""

from __future__ import annotations

from functools import partial

import pyarrow.compute as pc

from udfvm.checks import check_switch, shown
from udfvm.errors import SignatureError
from udfvm.functions.arrow_registry import check_registrable, forget, register_all
from udfvm.functions.function import Function
from udfvm.functions.function_names import MAX_NAME
from udfvm.functions.integration import check_functions, names_of
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.functions.registrations import forget_names, remember
from udfvm.keywords import checks_options

__all__ = ["register", "unregister"]


def __dir__() -> list[str]:
    return sorted(__all__)


@checks_options("udfvm.arrow.register", elsewhere=OF_FUNCTIONS)
def register(
    target: pc.FunctionRegistry | None,
    /,
    *functions: Function,
    name: str | None = None,
    replace: bool = True,
) -> None:
    """Makes functions functions of ``pyarrow.compute``.

    Images are built, or taken from the cache, here. Scalar functions, and vectorised ones that are
    declared ``elementwise=True``, become scalar functions. Other vectorised functions become vector
    functions, which see a chunked array as a whole. An aggregate ``x`` becomes the aggregates ``x``
    and ``hash_x``, and a table function a tabular function.

    Columns of other types are cast as pyarrow's own functions do it: dictionaries are decoded,
    numbers and text widened, and a value that does not fit is an error. ``Table.group_by`` casts
    them, too.

    Args:
        target: ``pyarrow.compute.function_registry()``, or None, which means the same: a process
            has one registry.
        functions: functions of any form. A table function needs a default for each parameter.
        name: the name in pyarrow of a single function: any text. Default: each function's own.
        replace: True replaces a UDF of that name. False refuses such a name.

    Raises:
        SignatureError: a name is taken, or pyarrow cannot have such a function. None is registered
            then.
        BuildError: an image cannot be built.

    >>> import pyarrow as pa, pyarrow.compute as pc
    >>> @udfvm.udf
    ... def speed(distance: float, hours: float) -> float | None:
    ...     return distance / hours if hours else None
    >>> udfvm.arrow.register(None, speed)
    >>> pc.call_function("speed", [pa.array([300.0]), pa.array([1.5])]).to_pylist()
    [200.0]
    """
    _check_target("udfvm.arrow.register", target)
    check_switch("udfvm.arrow.register: replace", replace)
    check_functions("udfvm.arrow.register", functions, name)
    for function in functions:
        check_registrable(function)
    if name is not None:
        _check_name(name)
    for function in functions:
        function.prepare()
    named = [(each.name if name is None else name, each) for each in dict.fromkeys(functions)]
    register_all(named, replace)
    for own_name, function in named:
        remember(pc.function_registry(), own_name, function, partial(register, name=own_name))


@checks_options("udfvm.arrow.unregister")
def unregister(target: pc.FunctionRegistry | None, /, *functions_or_names: Function | str) -> None:
    """Removes functions that ``register`` gave to ``pyarrow.compute``, with their images.

    pyarrow cannot forget a name: ``pyarrow.compute.list_functions()`` still has it, and a call of
    it raises ``UnknownUDFError``. Another UDF can be registered under it.

    Args:
        target: as for ``register``.
        functions_or_names: names in pyarrow, or functions, which stand for their own names.

    Raises:
        UnknownUDFError: one of them is not registered. All stay registered then.

    >>> import pyarrow as pa, pyarrow.compute as pc
    >>> @udfvm.udf
    ... def doubled(x: int) -> int:
    ...     return 2 * x
    >>> udfvm.arrow.register(None, doubled, name="twice")
    >>> udfvm.arrow.unregister(None, "twice")
    >>> pc.call_function("twice", [pa.array([1])])
    Traceback (most recent call last):
    udfvm.errors.UnknownUDFError: UDF 'twice' was unregistered: pyarrow keeps its name, but ...
    """
    _check_target("udfvm.arrow.unregister", target)
    names = names_of("udfvm.arrow.unregister", functions_or_names)
    forget(names)
    forget_names(pc.function_registry(), names)


def _check_name(name: object) -> None:
    """Raises SignatureError for what cannot be a name in pyarrow."""
    try:
        is_name = isinstance(name, str) and 0 < len(name.encode()) <= MAX_NAME and "\0" not in name
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise SignatureError(
            f"udfvm.arrow.register: {shown(name)} cannot be a name in pyarrow: pass name=, a text"
            f" of at most {MAX_NAME} bytes"
        )


def _check_target(caller: str, target: object) -> None:
    """Raises SignatureError unless the target is a registry of pyarrow."""
    if target is None or isinstance(target, pc.FunctionRegistry):
        return
    advice = (
        f": write {caller}(None, ...), which means pyarrow's registry"
        if isinstance(target, Function) or callable(target)
        else ""
    )
    raise SignatureError(
        f"{caller} takes None or pyarrow.compute.function_registry() first; got {shown(target)}"
        f"{advice}"
    )
