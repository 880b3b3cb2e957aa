"""``NamedTuple``, made in a fraction of the time that typing's takes.

That one compiles the annotation of each field. A process that makes one call needs some forty of
them, which is a good part of what importing udfvm takes. For type checkers this is typing's.

The build copies this into the guest, so it imports nothing else of udfvm.
"""

from __future__ import annotations

from collections import namedtuple

from udfvm.static_typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    _OF_CLASS = frozenset(["__module__", "__annotations__"])

    class _Maker(type):
        """The metaclass of ``NamedTuple``, whose subclasses are tuples and not of it."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            """Returns the class that ``class name(NamedTuple)`` declares."""
            fields = body["__annotations__"]
            with_default = [field for field in fields if field in body]
            if with_default != list(fields)[len(fields) - len(with_default) :]:
                raise TypeError(f"{name} has a field without a default behind one with a default")
            defaults = [body[field] for field in with_default]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            made.__annotations__ = fields
            for key, value in body.items():
                if key not in _OF_CLASS and key not in fields:
                    setattr(made, key, value)
            return made

    NamedTuple = type.__new__(_Maker, "NamedTuple", (), {})
