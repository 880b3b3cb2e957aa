"""Functions in pyarrow's registry, and expressions that call them.

The process has one registry, which knows functions by name and never forgets a name. What Python
registers there has one kernel. ``_arrow_functions`` makes functions of these that cast columns and
that can be replaced. Without that module, which belongs to one version of pyarrow, functions take
columns of exactly their types, and the types of a name stay what they are.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.call.dispatch import Calls
from udfvm.codec.containers import Container, as_declared, container_of
from udfvm.codec.scalars import scalar_of
from udfvm.errors import SignatureError, TypeMappingError, UnknownUDFError, hides_frames
from udfvm.forks import ForkLock
from udfvm.functions.arrow_calls import Caller, caller_of, calls_of, schema_of
from udfvm.functions.function import Function
from udfvm.functions.table import TableFunction
from udfvm.keywords import nearest
from udfvm.texts import listed
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Kind, Parameter

try:
    from udfvm.functions import _arrow_functions
except ImportError:  # it was not built, or for another version of pyarrow
    _arrow_functions = None  # type: ignore[assignment]

#: Whether functions cast columns, can be replaced by functions of other types, and may be random.
HAS_KERNELS: Final = _arrow_functions is not None


class _Interface(NamedTuple):
    """What pyarrow knows of a function."""

    kind: str  # of pyarrow's kinds: scalar, vector, aggregate, tabular
    names: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    result: pa.DataType
    fewest: int | None = None  # arguments, where the last type is that of any number of them

    def __str__(self) -> str:
        more = "" if self.fewest is None else ", ..."
        return f"({', '.join(map(str, self.types))}{more}) -> {self.result}"


class _Registration:
    """A name in the registry and the function behind it: what pyarrow calls."""

    def __init__(
        self, name: str, interface: _Interface, caller: Caller, calls: Calls | None
    ) -> None:
        self.name = name
        self.interface = interface
        self.turn_to(caller, calls)
        # pyarrow reads the number of arguments from here.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = ("context", *(f"argument_{index}" for index in range(len(interface.types))))
        parameters = [inspect.Parameter(name, kind) for name in names]
        if interface.fewest is not None:
            parameters[-1] = parameters[-1].replace(kind=inspect.Parameter.VAR_POSITIONAL)
        self.__signature__ = inspect.Signature(parameters)

    def turn_to(self, caller: Caller | None, calls: Calls | None) -> None:
        """Makes this what pyarrow calls from now on, and where columns of numbers go that need
        no Python code. Without a caller the name has no function any more.
        """
        self.caller = caller
        self.calls = calls  # read by Arrow's kernels

    @hides_frames
    def __call__(self, context: Any, *arguments: Any) -> Any:
        if self.caller is None:
            raise UnknownUDFError(
                f"UDF {self.name!r} was unregistered: pyarrow keeps its name, but has no function"
                " for it: register one under that name"
            )
        return self.caller(context, arguments)


_guard: Final = ForkLock()
_registered: Final[dict[str, _Registration]] = {}  # our part of pyarrow's registry
_numbers: Final = itertools.count(1)


def check_registrable(function: Function) -> None:
    """Raises SignatureError for a function that pyarrow.compute cannot have."""
    if isinstance(function, TableFunction):
        defaults = function._column_defaults()
        required = [each.name for each in function.parameters if each.name not in defaults]
        if required:
            raise SignatureError(
                f"UDF {function.name!r}: tabular functions of pyarrow have no arguments, and"
                f" {required[0]!r} has no default"
            )
    elif function.form == "aggregate" and not function.parameters:
        raise SignatureError(
            f"UDF {function.name!r}: an aggregate of pyarrow.compute needs at least one parameter"
        )


def register_all(functions: Sequence[tuple[str, Function]], replace: bool) -> None:
    """Registers functions under names. ``check_registrable`` must allow them.

    Raises SignatureError, and registers none, if two have the same name; if a name is pyarrow's
    own; if it has a function, without ``replace``; and if it has other types, where pyarrow cannot
    replace these.
    """
    named = [(name, function, _interface_of(function)) for name, function in functions]
    with _guard.lock:
        names: set[str] = set()
        for name, _, interface in named:
            _check_name(name, interface, replace)
            own = _names_of(name, interface)
            if not own.isdisjoint(names):
                raise SignatureError(
                    f"udfvm.arrow.register: two functions have the name {name!r}: give one of them"
                    " another with name="
                )
            names |= own
        for name, function, interface in named:
            mine = _registered.get(name)
            if mine is None or mine.interface != interface:
                _registered[name] = _register(name, function, interface, mine)
            else:
                mine.turn_to(caller_of(function), calls_of(function))
                _publish(name, name, function, mine)


def _check_name(name: str, interface: _Interface, replace: bool) -> None:
    mine = _registered.get(name)
    if mine is None:
        if not _names_of(name, interface).isdisjoint(pc.list_functions()):
            raise SignatureError(
                f"udfvm.arrow.register: pyarrow.compute has a function {name!r} already: pass"
                " another name="
            )
    elif mine.caller is not None and not replace:
        raise SignatureError(
            f"udfvm.arrow.register: pyarrow.compute has a UDF {name!r} already: pass another name=,"
            " or replace=True"
        )
    elif mine.interface != interface and not HAS_KERNELS:
        raise SignatureError(
            f"udfvm.arrow.register: pyarrow.compute has a UDF {name!r} with other types"
            f" {mine.interface}, and cannot forget it: pass another name="
        )


def _names_of(name: str, interface: _Interface) -> set[str]:
    """Returns the names in pyarrow's registry of what becomes functions of that interface."""
    return {name, f"hash_{name}"} if interface.kind == "aggregate" else {name}


def forget(names: list[str]) -> None:
    """Removes the functions behind names. Raises UnknownUDFError, and removes none, if one of the
    names has no function of ours.
    """
    with _guard.lock:
        found = [_registered.get(name) for name in names]
        for name, registration in zip(names, found, strict=True):
            if registration is None or registration.caller is None:
                raise _unknown(name)
        for registration in found:
            if registration is not None:
                registration.turn_to(None, None)


def _unknown(name: str) -> UnknownUDFError:
    known = [each for each, registration in _registered.items() if registration.caller is not None]
    meant = nearest(name, known)
    if meant:
        advice = f": did you mean {meant!r}?"
    else:
        advice = f"; those that are: {listed(known, 'and')}" if known else "; there are none"
    return UnknownUDFError(
        f"udfvm.arrow.unregister: no UDF named {name!r} is registered in pyarrow.compute{advice}"
    )


def _interface_of(function: Function) -> _Interface:
    if isinstance(function, TableFunction):
        return _Interface("tabular", (), (), pa.struct(list(schema_of(function))))
    names = tuple(parameter.name.removeprefix("*") for parameter in function.parameters)
    types = tuple(parameter.type.as_declared for parameter in function.parameters)
    kind = (
        "aggregate"
        if function.form == "aggregate"
        else "scalar"
        if function.elementwise
        else "vector"
    )
    fewest = function._fewest if function.is_variadic else None
    return _Interface(kind, names, types, function.result.type.as_declared, fewest)


def _register(
    name: str, function: Function, interface: _Interface, mine: _Registration | None
) -> _Registration:
    """Registers a function under a name that is new, or whose function is another."""
    source = name if mine is None else _own_name(function.name)
    registration = _Registration(name, interface, caller_of(function), calls_of(function))
    _add(source, function.__doc__, registration)
    _publish(source, name, function, registration)
    return registration


def _add(name: str, text: str | None, registration: _Registration) -> None:
    """Gives pyarrow a function of a new name."""
    kind, names, types, result, _ = registration.interface
    add = {
        "scalar": pc.register_scalar_function,
        "vector": pc.register_vector_function,
        "aggregate": pc.register_aggregate_function,
        "tabular": pc.register_tabular_function,
    }[kind]
    summary, _, description = (text or f"The UDF {name}").strip().partition("\n")
    add(
        registration,
        name,
        {"summary": summary, "description": description.strip() or summary},
        dict(zip(names, types, strict=True)),
        result,
    )


def _publish(
    source: str, name: str, function: Function, registration: _Registration, *, asks: bool = False
) -> None:
    """Makes the function of a name from one that pyarrow was given under another. If it asks, all
    columns are cast to its types.
    """
    if not HAS_KERNELS:
        return
    is_pure = function.limits.deterministic
    fewest = registration.interface.fewest
    if fewest is None:
        fewest = -1
    _arrow_functions.publish(source, name, is_pure, registration, fewest, asks)
    if function.form == "aggregate":
        _arrow_functions.publish(f"hash_{source}", f"hash_{name}", is_pure, registration, -1, asks)


def _own_name(function: str) -> str:
    """Returns a name that nobody has."""
    return f"udfvm.{function}.{next(_numbers)}"


# ---- Expressions ----

_ROWS: Final = "udfvm.rows"


def expression(function: Function, arguments: tuple[Any, ...]) -> pc.Expression:
    """Returns an expression that calls a function on expressions and values, one for each
    parameter. It registers the function under a name of its own, which is never replaced.

    Raises SignatureError for a function that expressions cannot call, TypeMappingError for a value
    that does not have its parameter's type, and what building an image raises.
    """
    cast = [
        _argument(function.name, *each) for each in zip(function.parameters, arguments, strict=True)
    ]
    if not cast and not HAS_KERNELS:
        raise SignatureError(
            f"UDF {function.name!r}: an expression needs at least one parameter, where udfvm"
            " was not built for this version of pyarrow"
        )
    function.prepare()
    has_rows = HAS_KERNELS and not function.limits.deterministic
    given = [each if isinstance(each, pc.Expression) else pc.scalar(each) for each in cast]
    if has_rows:
        given.append(pc.Expression._call(_ROWS, []))
    return pc.Expression._call(_name_in_expressions(function, has_rows), given)


def _name_in_expressions(function: Function, has_rows: bool) -> str:
    """Returns the name that expressions know a function by. It may have a last parameter more, for
    a column without values, which says how many rows there are: of values alone, and of columns
    that are the same in a whole file, Arrow would compute one row for all.
    """
    with _guard.lock:
        name = function._arrow_name
        if name is None:
            name = _own_name(function.name)
            interface = _interface_of(function)._replace(kind="scalar")
            caller = caller_of(function)
            if has_rows:
                _arrow_functions.publish_rows(_ROWS)
                names, types = (*interface.names, "of a row"), (*interface.types, pa.null())
                interface = interface._replace(names=names, types=types)
                caller = _for_each_row(caller)
            registration = _Registration(name, interface, caller, calls_of(function))
            _add(name, function.__doc__, registration)
            _publish(name, name, function, registration, asks=True)
            function._arrow_name = name
        return name


def _for_each_row(caller: Caller) -> Caller:
    """Returns what makes calls of columns from those that have one without values behind them."""

    def call(context: Any, arguments: tuple[Any, ...]) -> Any:
        given, rows, pool = arguments[:-1], context.batch_length, context.memory_pool
        if not any(isinstance(each, pa.Array) for each in given):
            given = tuple(pa.repeat(each, rows, memory_pool=pool) for each in given)
        return caller(context, given)

    return call


def _argument(function: str, parameter: Parameter, argument: Any) -> pc.Expression | pa.Scalar:
    if isinstance(argument, pc.Expression):  # Arrow casts few types to themselves
        return argument if HAS_KERNELS else argument.cast(parameter.type.as_declared)
    if container_of(argument) is not Container.SCALAR:
        raise TypeMappingError(
            f"UDF {function!r}: argument {parameter.name!r} of an expression is a column of a"
            " dataset, such as pyarrow.dataset.field('x'), or a value; call the function itself"
            f" with a {type(argument).__name__}"
        )
    try:
        scalar = scalar_of(function, parameter, argument)
        return as_declared(function, parameter.type, [pa.repeat(scalar, 1)])[0][0]
    except TypeMappingError as error:
        if isinstance(argument, str) and parameter.type.kind is not Kind.TEXT:
            error.add_note(f"udfvm: the column of that name is pyarrow.dataset.field({argument!r})")
        raise
