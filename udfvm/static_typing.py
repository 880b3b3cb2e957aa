"""Names of ``typing`` that annotations need. A process that makes one call imports no ``typing``,
which would take 2 ms.

For type checkers these are those of ``typing``. At run time no annotation is evaluated, so here is
one class in the place of all. Code that looks into the user's annotations imports ``typing``.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import (
        Any,
        ClassVar,
        Final,
        Literal,
        Protocol,
        Self,
        TypeAlias,
        TypedDict,
        TypeGuard,
        TypeVar,
        Unpack,
        cast,
        overload,
    )
else:

    class _Form:
        """Can be subscripted, inherited from and called as the names below are."""

        def __new__(cls, *_arguments: object, **_options: object) -> _Form:
            """Takes what a type variable takes."""
            return object.__new__(cls)

        def __init_subclass__(cls, **_options: object) -> None:
            """Has the annotations of the classes that it inherits from, as a ``TypedDict`` has."""
            for each in cls.__mro__:
                cls.__annotations__ = {
                    **vars(each).get("__annotations__", {}),
                    **vars(cls).get("__annotations__", {}),
                }

        def __class_getitem__(cls, _parameters: object) -> type[_Form]:
            """Returns the class: ``Final[int]``."""
            return cls

    Any = ClassVar = Final = Literal = Protocol = Self = TypeAlias = TypedDict = _Form
    TypeGuard = TypeVar = Unpack = _Form

    def cast(_type, value):
        return value

    def overload(function):
        return function


__all__ = [
    "TYPE_CHECKING",
    "Any",
    "ClassVar",
    "Final",
    "Literal",
    "Protocol",
    "Self",
    "TypeAlias",
    "TypeGuard",
    "TypeVar",
    "TypedDict",
    "Unpack",
    "cast",
    "overload",
]
