"""Forms of annotations, without the import of ``typing`` where an annotation is a class or a union
of classes: that takes longer than a call.
"""

from __future__ import annotations

import sys
import types

from udfvm.static_typing import Any


def origin_of(annotation: object) -> Any:
    """Returns ``typing.get_origin``: ``list`` of ``list[int]``, ``types.UnionType`` of ``int |
    str``, None of a class.
    """
    if type(annotation) is type:
        return None
    if type(annotation) is types.UnionType:
        return types.UnionType
    import typing

    return typing.get_origin(annotation)


def arguments_of(annotation: Any) -> tuple[Any, ...]:
    """Returns ``typing.get_args``: ``(int,)`` of ``list[int]``."""
    if type(annotation) is type:
        return ()
    if type(annotation) is types.UnionType:
        return annotation.__args__
    import typing

    return typing.get_args(annotation)


def is_form(annotation: object, name: str) -> bool:
    """Returns True for the object that has this name in ``typing``. Nobody annotates one that did
    not import it.
    """
    typing = sys.modules.get("typing")
    return typing is not None and annotation is getattr(typing, name)


def is_made_by(annotation: object, name: str) -> bool:
    """Returns True for an instance of a class of ``typing``, which may be too new for this
    Python: ``TypeAliasType``.
    """
    typing = sys.modules.get("typing")
    return typing is not None and isinstance(annotation, getattr(typing, name, ()))


def is_union(origin: object) -> bool:
    """Returns True for the origin of ``int | str`` and of ``Union[int, str]``."""
    return origin is types.UnionType or is_form(origin, "Union")


def is_typed_dict(annotation: object) -> bool:
    """Returns True for a class that is a ``TypedDict``."""
    if type(annotation) is type:
        return False
    import typing

    return typing.is_typeddict(annotation)


def has_only_classes(annotations: dict[str, object]) -> bool:
    """Returns True if the annotations of a function are classes, unions of classes, and None: there
    is nothing to evaluate.
    """
    return all(
        type(each) is type
        or each is None
        or (type(each) is types.UnionType and all(type(part) is type for part in each.__args__))
        for each in annotations.values()
    )
