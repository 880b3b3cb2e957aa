"""UDFs as functions of ``pyarrow.compute``: for ``call_function``, and for projections and filters
of datasets.

pyarrow matches argument types exactly: a UDF declared ``float`` takes ``double`` columns only.
``ScalarFunction.expr`` makes expressions that cast other columns, and needs no registration.
"""

from __future__ import annotations

import pyarrow.compute as pc

from udfvm.checks import check_switch
from udfvm.errors import SignatureError
from udfvm.functions.arrow_registry import check_registrable, forget, register_as
from udfvm.functions.function import Function, checked_name
from udfvm.functions.integration import check_function
from udfvm.keywords import checks_options

__all__ = ["register", "unregister"]


def __dir__() -> list[str]:
    return sorted(__all__)


@checks_options
def register(
    target: pc.FunctionRegistry | None,
    *functions: Function,
    name: str | None = None,
    replace: bool = True,
) -> None:
    """Makes functions functions of ``pyarrow.compute``.

    Images are built, or taken from the cache, here.

    Args:
        target: ``pyarrow.compute.function_registry()``, or None, which means the same: a process
            has one registry.
        functions: scalar and vectorised functions with at least one parameter.
        name: the name in pyarrow of a single function. Default: each function's own.
        replace: True replaces a UDF of that name by one of the same types: pyarrow never forgets
            the types of a name. False refuses such a name.

    Raises:
        SignatureError: the name belongs to a function of pyarrow or to a UDF of other types, or
            pyarrow cannot have such a function.
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
    check_switch("replace", replace)
    for function in functions:
        check_function("udfvm.arrow.register", function)
        check_registrable(function)
    if name is not None and len(functions) != 1:
        raise SignatureError(
            f"udfvm.arrow.register: name= is the name of one function; got {len(functions)}:"
            " register each by itself"
        )
    for function in functions:
        function.prepare()
    for function in functions:
        register_as(
            function.name if name is None else checked_name(name), function, replace=replace
        )


def unregister(target: pc.FunctionRegistry | None, *functions_or_names: Function | str) -> None:
    """Removes functions that ``register`` gave to ``pyarrow.compute``, with their images.

    pyarrow cannot forget a name. ``pyarrow.compute.list_functions()`` still has it, a call of it
    raises ``UnknownUDFError``, and only a UDF of the same types can be registered under it again.

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
    names: list[str] = []
    for each in functions_or_names:
        if not isinstance(each, str):
            check_function("udfvm.arrow.unregister", each)
        names.append(each if isinstance(each, str) else each.name)
    forget(names)


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
        f"{caller} takes None or pyarrow.compute.function_registry() first; got {target!r:.100}"
        f"{advice}"
    )
