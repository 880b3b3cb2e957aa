"""Forms of annotations are what ``typing`` says, and it is not asked about classes.

Annotations here are objects, not text.
"""

import dataclasses
import sys
import typing
from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar, Union

import pytest

from udfvm import static_typing
from udfvm.types.forms import (
    arguments_of,
    has_only_classes,
    is_form,
    is_made_by,
    is_typed_dict,
    is_union,
    origin_of,
)
from udfvm.types.hints import hints_of

T = TypeVar("T")


class Box(Generic[T]):
    """A generic class."""


class Point(NamedTuple):
    """A named tuple."""

    x: float


class Row(TypedDict):
    """A TypedDict."""

    x: float


@dataclasses.dataclass
class Data:
    """A dataclass."""

    x: float


Name = NewType("Name", str)
FORMS = [
    int, None, type(None), 3, "int", int | str, int | None, Union[int, str],  # noqa: UP007
    typing.Optional[int], list[int], dict[str, list[int]], list, typing.List[int],  # noqa: UP006, UP045
    Annotated[int, "metres"], Literal["a"], Any, Name, T, Box, Box[int], Point, Row, Data,
    Callable[[int], str], typing.NotRequired[int], typing.Required[int], list[int] | None,
]  # fmt: skip


@pytest.mark.parametrize("annotation", FORMS, ids=repr)
def test_parts_are_those_of_typing(annotation: Any) -> None:
    origin = typing.get_origin(annotation)
    assert origin_of(annotation) == origin
    assert arguments_of(annotation) == typing.get_args(annotation)
    assert is_typed_dict(annotation) == typing.is_typeddict(annotation)
    assert is_union(origin) == (origin in (Union, type(int | str)))
    assert is_form(annotation, "Any") == (annotation is Any)
    assert is_form(origin, "Annotated") == (origin is Annotated)
    assert is_made_by(annotation, "NewType") == isinstance(annotation, NewType)
    assert not is_made_by(annotation, "TypeOfALaterPython")


def test_forms_need_no_typing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typing", None)  # importing it fails now
    assert origin_of(int) is None and arguments_of(int) == ()
    assert origin_of(int | None) is type(int | None)
    assert arguments_of(int | None) == (int, type(None))
    assert not is_typed_dict(Point)
    assert not is_form(int, "Any") and not is_made_by(int, "NewType")


def plain(x: int, y: float | None, *args: str) -> None:
    """Annotated with classes."""


def texts(x: "int", y: "float | None") -> "list[int]":  # noqa: UP037
    """Annotated with texts."""


def unannotated(x):
    """Without annotations."""


@typing.no_type_check
def unchecked(x: int) -> int:
    """Whose annotations are no types."""
    return x


@pytest.mark.parametrize("function", [plain, texts, unannotated, unchecked])
def test_hints_are_those_of_typing(function: Callable[..., object]) -> None:
    assert hints_of(function, "f") == typing.get_type_hints(function, include_extras=True)


def test_classes_alone_need_no_evaluation() -> None:
    assert has_only_classes({"x": int, "y": int | None, "return": None})
    assert not has_only_classes({"x": "int"})
    assert not has_only_classes({"x": list[int]})
    assert not has_only_classes({"x": list[int] | None})


def test_names_of_static_typing_exist() -> None:
    assert all(hasattr(typing, name) for name in static_typing.__all__)


def test_names_of_static_typing_stand_where_those_of_typing_do() -> None:
    class Options(static_typing.TypedDict, total=False):
        x: int

    class MoreOptions(Options):
        y: str

    assert Options.__annotations__ == {"x": int}
    assert MoreOptions.__annotations__ == {"x": int, "y": str}
    assert static_typing.TypeVar("V", bound=int) is not None
    assert static_typing.cast(int, "text") == "text"
    assert static_typing.Literal["a"] is static_typing.Literal
    assert static_typing.overload(plain) is plain
    assert static_typing.TYPE_CHECKING is False
