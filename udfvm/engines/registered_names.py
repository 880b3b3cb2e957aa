"""What ``register`` and ``unregister`` of engines have alike: names in SQL, and which functions a
connection or session has.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from udfvm.checks import check_switch
from udfvm.errors import SignatureError, UnknownUDFError
from udfvm.functions.function import Function
from udfvm.functions.function_names import checked_name
from udfvm.functions.integration import check_functions, names_of
from udfvm.functions.registrations import Again, forget_names, remember

_Given = TypeVar("_Given")

#: Names in SQL, and the functions that are to have them.
Named = Sequence[tuple[str, Function]]


class RegisteredNames(Generic[_Given]):
    """The functions that ``register`` gave to the targets of an engine: connections or sessions.

    Args:
        module: the name of udfvm's module, such as "duckdb".
        engine: what the engine is called.
        target: what a target is called, such as "connection".
        ignores_case: whether names in SQL are the same in capitals.
    """

    def __init__(self, module: str, engine: str, target: str, *, ignores_case: bool) -> None:
        self._module = f"udfvm.{module}"
        self._engine = engine
        self._target = target
        self._ignores_case = ignores_case
        self._given: Final[weakref.WeakKeyDictionary[Any, dict[str, _Given]]] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, target: Any) -> dict[str, _Given]:
        """Returns what a target was given, by ``key`` of its name."""
        return self._given.get(target, {})

    def key(self, name: str) -> str:
        """Returns a name as those are compared."""
        return name.lower() if self._ignores_case else name

    def named(
        self, functions: Sequence[Function], name: str | None, *, replace: object
    ) -> list[tuple[str, Function]]:
        """Returns the arguments of ``register`` as names in SQL, and their functions. Raises
        SignatureError and OptionError for arguments of other kinds, and for what is no name.
        """
        caller = f"{self._module}.register"
        check_switch(f"{caller}: replace", replace)
        check_functions(caller, functions, name)
        return [(checked_name(each.name if name is None else name), each) for each in functions]

    def check(
        self,
        target: Any,
        named: Named,
        foreign: Callable[[str], str | None],
        *,
        replace: bool,
    ) -> None:
        """Raises SignatureError for a name that a target cannot have. ``foreign`` returns the name
        that is in the way of one: that of a function which ``register`` did not give.
        """
        caller = f"{self._module}.register"
        seen: dict[str, tuple[str, Function]] = {}
        for name, function in named:
            other, its_function = seen.setdefault(self.key(name), (name, function))
            if its_function is not function:
                what = (
                    f"two functions have the name {name!r}"
                    if other == name
                    else f"{other!r} and {name!r} are the same name in SQL, which ignores case"
                )
                raise SignatureError(f"{caller}: {what}: give one of them another with name=")
            if (found := foreign(name)) is not None:
                raise SignatureError(
                    f"{caller}: {self._engine} has a function {found!r} that register() did not"
                    f" give to this {self._target}: pass another name="
                )
            if not replace and self.key(name) in self.of(target):
                raise SignatureError(
                    f"{caller}: the {self._target} has a UDF {name!r}: pass replace=True, or"
                    " another name="
                )

    def add(self, target: Any, name: str, function: Function, given: _Given, again: Again) -> None:
        """Notes that a target has a function now. ``again`` gives it another in its place."""
        self._given.setdefault(target, {})[self.key(name)] = given
        remember(target, self.key(name), function, again)

    def pop(self, target: Any, name: str) -> _Given | None:
        """Notes that a target loses what it was given under a name, and that another function does
        not take its place. Returns what it was given; None if that was nothing.
        """
        forget_names(target, [self.key(name)])
        return self.of(target).pop(self.key(name), None)

    def to_remove(self, target: Any, functions_or_names: Sequence[Function | str]) -> list[str]:
        """Returns the names of what ``unregister`` is to remove. Raises UnknownUDFError if a target
        does not have one of them.
        """
        names = names_of(f"{self._module}.unregister", functions_or_names)
        for name in names:
            if self.key(name) not in self.of(target):
                raise UnknownUDFError(
                    f"{self._module}.unregister: register() gave the {self._target} no function"
                    f" {name!r}"
                )
        return names
