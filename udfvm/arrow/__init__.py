"""UDFs as functions of ``pyarrow.compute``: for ``call_function``, and for projections and filters
of datasets.

pyarrow matches argument types exactly: a UDF declared ``float`` takes ``double`` columns. An
expression that ``ScalarFunction.expr`` makes has the casts that others need, and needs no
registration.
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


@checks_options
def register(
    target: pc.FunctionRegistry | None,
    *functions: Function,
    name: str | None = None,
    replace: bool = True,
) -> None:
    """Makes each function the ``pyarrow.compute`` function of its name. Images are built, or taken
    from the cache, here.

    ``target`` is ``pyarrow.compute.function_registry()``, or None, which means the same: a process
    has one registry.

    ``name`` is the name in pyarrow of a single function; without it each has its own.

    ``replace=False`` refuses a name that has a UDF already. With ``replace=True`` that UDF is
    replaced, by one of the same types only: pyarrow never forgets the types of a name.

    Raises ``SignatureError`` where the name belongs to a function of pyarrow, or to a UDF of other
    types; for table functions, aggregates and functions without parameters, which pyarrow.compute
    cannot have; and what building an image raises.

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
    """Takes functions away that ``register`` made functions of ``pyarrow.compute``: by their names
    there, or as they are, which means their own names.

    pyarrow cannot forget a name, so ``pyarrow.compute.list_functions()`` still has it: a call of it
    raises ``UnknownUDFError``, and only a UDF of the same types can be registered under it again.
    The function and its image are let go of.

    Raises ``UnknownUDFError`` for one that is not registered; all stay then.

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
    """Raises SignatureError for what is no registry of pyarrow."""
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
