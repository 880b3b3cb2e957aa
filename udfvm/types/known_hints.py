"""Annotations that another process has evaluated. What comes from there by value has them as text,
perhaps, and the names in it may mean nothing here, or something else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from udfvm.static_typing import Any


@functools.cache
def _known() -> Any:
    """Returns the annotations of functions and classes that came, as long as these are here."""
    import weakref  # by few programs

    return weakref.WeakKeyDictionary()


def known_hints(annotated: Any) -> Mapping[str, Any] | None:
    """Returns the evaluated annotations of a function or class that came from another process; None
    for others.
    """
    if not _known.cache_info().currsize:
        return None
    try:
        found: Mapping[str, Any] | None = _known().get(_owner_of(annotated))
    except TypeError:  # such an object has no weak references, so it is none of them
        return None
    return found


def remember_hints(found: Iterable[tuple[Any, Mapping[str, Any]]]) -> None:
    """Notes what annotations mean of functions and classes that came from another process."""
    for annotated, hints in found:
        _known()[_owner_of(annotated)] = hints


def _owner_of(annotated: Any) -> Any:
    """Returns the function of a bound method, which is made anew whenever it is asked for."""
    return getattr(annotated, "__func__", annotated)
