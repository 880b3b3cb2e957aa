"""Where functions are registered, so that one that is declared again can take the other's place."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from udfvm.errors import Error
from udfvm.forks import ForkLock
from udfvm.functions.function import Function
from udfvm.tuples import NamedTuple

#: Registers a function with a target, under the name and with the options of the first time. It
#: must not refer to the target.
Again = Callable[[Any, Function], None]


class Failure(NamedTuple):
    """A target that keeps the function that it had, and why."""

    target: object
    error: Error


class _Registration(NamedTuple):
    function: weakref.ref[Function]
    again: Again


_Names = dict[str, _Registration]


class _Targets:
    """Connections and registries, with the functions that they have by name. Neither is kept."""

    def __init__(self) -> None:
        self.lock = ForkLock()
        self._weak: weakref.WeakKeyDictionary[Any, _Names] = weakref.WeakKeyDictionary()
        # Those that have no weak references, such as sqlite3's, by their addresses.
        self._others: dict[int, tuple[type, _Names]] = {}

    def names_of(self, target: Any) -> _Names:
        """Returns the functions of a target by name, to be changed."""
        try:
            return self._weak.setdefault(target, {})
        except TypeError:
            kind, names = self._others.get(id(target), (None, {}))
            if kind is not type(target):
                names = {}  # another object had the address
                self._others[id(target)] = type(target), names
            return names

    def with_function(self, function: Function) -> Iterator[tuple[Any, str, Again]]:
        """Yields the targets that have a function, the names, and what registers another."""
        found = list(self._weak.items())
        addresses = {
            address: (kind, names)
            for address, (kind, names) in self._others.items()
            if any(each.function() is function for each in names.values())
        }
        if addresses:
            for each in gc.get_objects():
                kind, names = addresses.get(id(each), (None, {}))
                if type(each) is kind:
                    found.append((each, names))
        for target, names in found:
            for name, registration in names.items():
                if registration.function() is function:
                    yield target, name, registration.again


_targets: Final = _Targets()


def remember(target: object, name: str, function: Function, again: Again) -> None:
    """Notes that a target has a function under a name, instead of any that it had."""
    with _targets.lock.lock:
        _targets.names_of(target)[name] = _Registration(weakref.ref(function), again)


def forget_names(target: object, names: Iterable[str]) -> None:
    """Notes that a target has no functions of these names any more."""
    with _targets.lock.lock:
        known = _targets.names_of(target)
        for name in names:
            known.pop(name, None)


def replace_everywhere(old: Function, new: Function) -> list[Failure]:
    """Registers a function wherever another is registered, under the same names.

    Args:
        old: the function that is registered.
        new: the function that takes its place.

    Returns:
        The targets that could not take it.

    >>> import apsw
    >>> @udfvm.udf
    ... def price(x: int) -> int:
    ...     return 2 * x
    >>> con = apsw.Connection(":memory:")
    >>> udfvm.sqlite.register(con, price)
    >>> dearer = udfvm.from_source("def dearer(x: int) -> int: return 3 * x")
    >>> replace_everywhere(price, dearer)
    []
    >>> con.execute("SELECT price(5)").get
    15
    """
    with _targets.lock.lock:
        places = list(_targets.with_function(old))
    failures = []
    for target, name, again in places:
        try:
            again(target, new)
        except Error as error:
            failures.append(Failure(target, error))
            remember(target, name, new, again)  # the next function is tried there again
    return failures
