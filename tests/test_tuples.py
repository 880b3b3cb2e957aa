"""Named tuples are what typing's are, but for how they are made."""

from __future__ import annotations

import pickle
import typing

import pytest

from udfvm import tuples


class Point(tuples.NamedTuple):
    """A point."""

    x: float
    label: str = "none"
    tags: tuple[str, ...] = ()

    @property
    def doubled(self) -> float:
        """Twice its distance."""
        return 2 * self.x

    def __str__(self) -> str:
        return f"{self.label} at {self.x}"


class Typed(typing.NamedTuple):
    """A point."""

    x: float
    label: str = "none"
    tags: tuple[str, ...] = ()


def test_fields_defaults_and_annotations_are_those_of_typing() -> None:
    assert Point._fields == Typed._fields
    assert Point._field_defaults == Typed._field_defaults
    assert typing.get_type_hints(Point) == typing.get_type_hints(Typed)
    assert Point.__doc__ == "A point."
    assert (Point.__module__, Point.__qualname__) == (__name__, "Point")
    assert Point.__mro__[1:] == (tuple, object)


def test_instances_are_tuples() -> None:
    point = Point(2.0, tags=("a",))
    assert point == (2.0, "none", ("a",))
    assert point._replace(label="end") == Point(2.0, "end", ("a",))
    assert pickle.loads(pickle.dumps(point)) == point
    assert repr(point) == "Point(x=2.0, label='none', tags=('a',))"


def test_methods_and_properties_stay() -> None:
    assert Point(2.0).doubled == 4.0
    assert str(Point(2.0, "start")) == "start at 2.0"


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]


def test_a_field_without_default_cannot_follow_one_with() -> None:
    code = "class Wrong(NamedTuple):\n    x: int = 1\n    y: int"
    for module in (typing, tuples):
        with pytest.raises(TypeError):
            exec(code, {"NamedTuple": module.NamedTuple, "__name__": "wrong"})
