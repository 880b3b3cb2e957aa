"""Names of types as they were declared, which say more than those of the types that travel."""

from __future__ import annotations

from collections.abc import Callable

from udfvm.static_typing import Any
from udfvm.types.encodings import encoding_of
from udfvm.types.nested import take_apart


def as_written(name: str, named: Callable[[str], Any]) -> str:
    """Returns the type with names of its own for what lists hold, and ``not null``. ``named``
    returns the type of a name. Raises ValueError for a time zone that does not exist.
    """
    name = name.strip()
    if (encoding := encoding_of(name)) is not None:
        return str(encoding._replace(decoded=as_written(encoding.decoded, named)))
    nested = take_apart(name)
    if nested is None:
        type_ = named(name)
        if type_.timezone is not None:
            from udfvm.types.time_zones import check_time_zone  # for such types alone

            check_time_zone(type_.timezone)
        return str(type_.name)
    fields = (field._replace(type=as_written(field.type, named)) for field in nested.fields)
    return str(nested._replace(fields=tuple(fields)))
