"""Pickling of objects that pickle and cloudpickle would pickle by a reference to a module that the
guest does not have.

Callables and types are taken apart here and made again in the guest
(guest/runtimes/python/_udfvm_callables.py). User modules are pickled by value. Names of this
package become names of the guest's own modules.
"""

from __future__ import annotations

import functools
import importlib
import operator
import sys
import types
import typing
from collections.abc import Callable, Sequence

from udfvm.load.libraries import is_user_module
from udfvm.static_typing import Any, Final
from udfvm.tuples import NamedTuple

#: What ``__reduce__`` returns: a callable, its arguments and optionally a state.
Reduced = tuple[object, ...]

_CACHED: Final = type(functools.lru_cache(len))
_ALIAS: Final[Any] = getattr(typing, "TypeAliasType", None)


class GuestModule(NamedTuple):
    """A module that only the guest has."""

    name: str

    def __reduce__(self) -> Reduced:
        return importlib.import_module, (self.name,)


_PARAMETERS: Final[Any] = (typing.ParamSpec, *filter(None, [getattr(typing, "TypeVarTuple", None)]))
_OF_WRAPPERS: Final = frozenset(
    {
        *functools.WRAPPER_ASSIGNMENTS,
        "__wrapped__",
        "register",
        "dispatch",
        "registry",
        "_clear_cache",
        "cache_parameters",
    }
)


def reduced_callable(
    obj: Any, maker: str, by_value: Callable[[types.ModuleType], bool]
) -> Reduced | None:
    """Returns the reduction of a helper with ``lru_cache``, ``cache``, ``singledispatch``,
    ``singledispatchmethod`` or ``cached_property``, a ``NewType``, a type variable or a type alias
    that is not found in a module there; None for everything else. The content of caches is not
    pickled.

    ``maker`` is the name under which ``_udfvm_callables`` is imported when unpickling. ``by_value``
    returns True for modules that do not exist there; ``__main__`` never does.
    """
    if isinstance(obj, functools.cached_property):
        return _made(maker, "cached_property", obj.func, obj.attrname)
    if type(obj) is functools.singledispatchmethod:  # which may have a cache of weak references
        return _made(maker, "single_dispatch_method", obj.func, dict(obj.dispatcher.registry))
    reduce = _reduction_of(obj)
    return None if reduce is None or _is_found(obj, by_value) else reduce(obj, maker)


def _reduction_of(obj: object) -> Callable[[Any, str], Reduced] | None:
    if is_single_dispatch(obj):
        return _reduced_single_dispatch
    return next((reduce for cls, reduce in _REDUCTIONS if isinstance(obj, cls)), None)


def reduced_interval(obj: Any) -> Reduced | None:
    """Returns the reduction of ``pyarrow.MonthDayNano``, which says that it is a builtin, and of
    its instances; None for everything else.
    """
    pyarrow: Any = sys.modules.get("pyarrow")
    class_ = getattr(pyarrow, "MonthDayNano", None)
    if class_ is None:
        return None
    if obj is class_:
        return getattr, (pyarrow, "MonthDayNano")
    return (class_, (tuple(obj),)) if type(obj) is class_ else None


def _made(maker: str, function: str, *arguments: object) -> Reduced:
    """Returns the reduction that calls a function of ``_udfvm_callables``."""
    return operator.methodcaller(function, *arguments), (GuestModule(maker),)


def _reduced_cached(obj: Any, maker: str) -> Reduced:
    parameters = obj.cache_parameters()
    size, typed = parameters["maxsize"], parameters["typed"]
    return _with_attributes(obj, _made(maker, "cached", obj.__wrapped__, size, typed))


def _reduced_single_dispatch(obj: Any, maker: str) -> Reduced:
    made = _made(maker, "single_dispatch", obj.__wrapped__, dict(obj.registry))
    return _with_attributes(obj, made)


def _with_attributes(obj: Any, reduced: Reduced) -> Reduced:
    attributes = {name: value for name, value in vars(obj).items() if name not in _OF_WRAPPERS}
    return (*reduced, attributes) if attributes else reduced


def _reduced_new_type(obj: Any, maker: str) -> Reduced:
    return _made(maker, "new_type", obj.__name__, obj.__supertype__, obj.__module__)


def _reduced_parameter(obj: Any, _maker: str) -> Reduced:
    return type(obj), (obj.__name__,)


def _reduced_alias(obj: Any, _maker: str) -> Reduced:
    return type(obj), (obj.__name__, obj.__value__)


_REDUCTIONS: Final[Sequence[tuple[Any, Callable[[Any, str], Reduced]]]] = (
    (_CACHED, _reduced_cached),
    (typing.NewType, _reduced_new_type),
    (_PARAMETERS, _reduced_parameter),
    (() if _ALIAS is None else _ALIAS, _reduced_alias),
)


def is_single_dispatch(function: object) -> bool:
    """Returns True for a function that ``functools.singledispatch`` made."""
    return (
        isinstance(function, types.FunctionType)
        and function.__code__.co_filename == functools.singledispatch.__code__.co_filename
        and hasattr(function, "registry")
        and hasattr(function, "__wrapped__")
    )


def _is_found(obj: Any, by_value: Callable[[types.ModuleType], bool]) -> bool:
    """Returns True if a module that is pickled by reference has it under its name."""
    name = getattr(obj, "__module__", None)
    found: Any = sys.modules.get(name or "")
    if found is None or name in ("__main__", "__mp_main__") or by_value(found):
        return False
    return _attribute(found, getattr(obj, "__qualname__", None) or obj.__name__) is obj


def _attribute(module: object, path: str) -> Any:
    """Returns the object at a dotted path; None if there is none."""
    found = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def reduced_random(obj: Any) -> Reduced | None:
    """Returns the reduction of ``random.random`` and the like: they are methods, bound to this
    process's generator, which would be copied with them.
    """
    random: Any = sys.modules.get("random")  # importing it takes a millisecond
    generator = getattr(getattr(random, "random", None), "__self__", None)
    if generator is None or getattr(obj, "__self__", None) is not generator:
        return None
    return getattr, (random, obj.__name__)


def reduced_code(code: types.CodeType) -> Reduced | None:
    """Returns the reduction of code with the name of its file, by which tracebacks find its source,
    and which cloudpickle may replace; None for code without one.
    """
    if not code.co_filename:
        return None
    return operator.methodcaller("replace", co_filename=code.co_filename), (
        code.replace(co_filename=""),
    )


def as_made(obj: object, reduced: Any) -> Any:
    """Returns cloudpickle's reduction of a class by value so that the class can be made from it:
    without the descriptors of its slots, of which cloudpickle keeps those of private names; and a
    ``TypedDict`` from ``TypedDict``. One that was inherited or made by a call says that it is from
    ``dict``.
    """
    if not (
        isinstance(reduced, tuple)
        and len(reduced) == _PARTS
        and isinstance(reduced[2], tuple)
        and isinstance(reduced[2][0], dict)
    ):
        return reduced
    namespace = reduced[2][0]
    for name in [
        name for name, value in namespace.items() if isinstance(value, types.MemberDescriptorType)
    ]:
        del namespace[name]
    if typing.is_typeddict(obj):
        made, (metaclass, name, bases, *others), *rest = reduced
        if bases == (dict,):
            bases = (typing.TypedDict,)
        reduced = (made, (metaclass, name, bases, *others), *rest)
    return reduced


def reduced_module(module: types.ModuleType) -> Reduced | None:
    """Returns the reduction of user modules, and of modules that are of a subclass; None for
    others, which cloudpickle pickles.
    """
    if not is_user_module(module):
        if type(module) is types.ModuleType or sys.modules.get(module.__name__) is not module:
            return None
        return importlib.import_module, (module.__name__,)
    state = {name: value for name, value in vars(module).items() if name not in _OF_THIS_PROCESS}
    if "__path__" in state:
        state["__path__"] = list(state["__path__"])
    # A module is made first and filled later: modules may import each other.
    return (
        types.ModuleType,
        (module.__name__,),
        state,
    )


def reduced_own(obj: Any) -> Reduced | None:
    """Returns the reduction of modules, functions and classes of this package that the guest has in
    another form; None for everything else.
    """
    if not isinstance(obj, (type, types.FunctionType, types.ModuleType)):
        return None
    name = obj.__name__ if isinstance(obj, types.ModuleType) else getattr(obj, "__module__", None)
    if not isinstance(name, str) or name.partition(".")[0] != "udfvm":
        return None
    if isinstance(obj, types.ModuleType):
        return (
            (operator.itemgetter(0), ((GuestModule("udfvm"),),))
            if name == "udfvm"
            else _of_own(name.partition(".")[2])
        )
    return _of_own(obj.__qualname__) if _has_name(obj, name) else None


def _has_name(obj: Any, module: str) -> bool:
    """Returns True if a module has an object under its qualified name."""
    return _attribute(sys.modules.get(module), obj.__qualname__) is obj


def _of_own(path: str) -> Reduced:
    return operator.attrgetter(path), (GuestModule("udfvm"),)


_PARTS: Final = 6  # of a reduction with a function that sets the state
_OF_THIS_PROCESS: Final = frozenset({"__builtins__", "__cached__", "__loader__", "__spec__"})
