"""Classes that stand for structs, wherever a type may be said: in ``input_types=``, in
``output_type=`` and in ``columns=``; as rows of table functions; and however a ``TypedDict`` came
to be.
"""

import dataclasses
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NotRequired, TypedDict

import apsw
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite


@dataclasses.dataclass
class Point:
    x: float
    label: str | None = "none"


class Named(NamedTuple):
    x: float
    label: str | None = "none"


class Keyed(TypedDict):
    x: float
    label: NotRequired[str]


class Inherited(Keyed):
    size: int


Called = TypedDict("Called", {"the x": float})
Untyped = namedtuple("Untyped", ["x"])  # noqa: PYI024

STRUCT = "struct<x: double, label: string>"


@pytest.mark.parametrize("cls", [Point, Named, Keyed])
def test_types_in_options(cls: type[Any]) -> None:
    echo = udfvm.udf(lambda v: v, name="echo", input_types=[cls], output_type=cls)
    assert (str(echo.parameters[0].type), str(echo.result.type)) == (STRUCT, STRUCT)
    assert echo({"x": 1, "label": "a"}) == {"x": 1.0, "label": "a"}
    columns = udfvm.udf(
        lambda v: v, name="columns", vectorized=True, input_types={"v": cls}, output_type=cls
    )
    rows = pa.array([{"x": 1.0, "label": "a"}])
    assert columns(rows).to_pylist() == rows.to_pylist()


def test_instances_in_options() -> None:
    shown = udfvm.udf(repr_of, input_types=[list[Point] | None], output_type=str)
    assert shown([{"x": 1, "label": "a"}]) == "[Point(x=1.0, label='a')]"
    assert shown(None) == "None"


def repr_of(value):  # type: ignore[no-untyped-def]
    return repr(value)


def test_series_of_structs() -> None:
    def xs(points: pd.Series) -> pd.Series:  # type: ignore[type-arg]
        return points.map(lambda point: point["x"])

    function = udfvm.udf(xs, vectorized=True, input_types=[Point], output_type=float)
    assert function(pa.array([{"x": 2.5, "label": None}])).to_pylist() == [2.5]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (list, r"write list\[float\]"),
        (dict, "or a TypedDict"),
        (np.ndarray, "is not a supported type"),
        (Untyped, "has no type: write a typing.NamedTuple"),
        (int | str, "allows more than one type"),
    ],
)
def test_what_is_no_type(given: object, text: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=f"UDF 'f': input type of .*'v': .*{text}"):
        udfvm.udf(lambda v: v, name="f", input_types=[given], output_type="int64")
    with pytest.raises(udfvm.SignatureError, match=f"UDF 'f': output_type=: .*{text}"):
        udfvm.udf(lambda v: v, name="f", input_types=["int64"], output_type=given)


def points(count: int) -> Iterator[Point]:
    for index in range(count):
        yield Point(index)
    yield Point(8, None)
    yield (9.0, "tuple")  # type: ignore[misc]


def named(count: int) -> Iterator[Named]:
    for index in range(count):
        yield Named(index)
    yield Named(8, None)
    yield {"x": 9.0, "label": "tuple"}  # type: ignore[misc]


def keyed(count: int) -> Iterator[Keyed]:
    for index in range(count):
        yield {"x": index, "label": "none"}
    yield {"x": 8}
    yield Point(9.0, "tuple")  # type: ignore[misc]


ROWS = [(0.0, "none"), (1.0, "none"), (8.0, None), (9.0, "tuple")]


@pytest.mark.parametrize("function", [points, named, keyed])
def test_rows_of_table_functions(function: Callable[..., Any]) -> None:
    table = udfvm.table_function(function)
    assert [(each.name, str(each.type)) for each in table.columns] == [
        ("x", "double"),
        ("label", "string"),
    ]
    assert list(table(2)) == ROWS
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, table)
    assert connection.execute(f"SELECT * FROM {function.__name__}(2)").fetchall() == ROWS


def test_rows_of_one_column() -> None:
    @dataclasses.dataclass
    class One:
        x: float

    def ones() -> Iterator[One]:
        yield One(1.0)
        yield 2.0  # type: ignore[misc]
        yield {"x": 3.0}  # type: ignore[misc]

    assert list(udfvm.table_function(ones)()) == [(1.0,), (2.0,), (3.0,)]

    def structs():  # type: ignore[no-untyped-def]
        yield One(1.0)
        yield {"x": 2.0}
        yield {"p": One(3.0)}

    table = udfvm.table_function(structs, columns={"p": One})
    assert list(table()) == [({"x": 1.0},), ({"x": 2.0},), ({"x": 3.0},)]


def test_an_instance_of_another_class_is_no_row() -> None:
    def wrong() -> Iterator[Point]:
        yield Point(1.0)
        yield Other(2.0)  # type: ignore[misc]

    rows = udfvm.table_function(wrong)()
    assert next(rows) == (1.0, "none")
    text = "row 1.*yielded Other, whose fields are y; it has 2 columns: x, label"
    with pytest.raises(udfvm.UDFError, match=text):
        next(rows)


@dataclasses.dataclass
class Other:
    y: float


def test_classes_that_are_no_rows() -> None:
    def nothing() -> Iterator[Any]:
        yield 1

    def untyped() -> Iterator[Untyped]:
        yield Untyped(1)

    with pytest.raises(udfvm.SignatureError, match="a NamedTuple, a dataclass or a TypedDict"):
        udfvm.table_function(nothing)
    with pytest.raises(udfvm.SignatureError, match="'x' of Untyped has no type"):
        udfvm.table_function(untyped)


def test_every_typed_dict_travels() -> None:
    @udfvm.udf
    def grown(value: Inherited) -> Inherited:
        return Inherited(x=value["x"], size=value["size"] + 1)

    assert grown({"x": 1.0, "size": 2}) == {"x": 1.0, "label": None, "size": 3}

    @udfvm.udf
    def called(value: Called) -> Called:
        return {"the x": value["the x"] + 1}

    assert called({"the x": 1.0}) == {"the x": 2.0}

    @udfvm.udf
    def keys() -> str:
        return f"{sorted(Inherited.__required_keys__)} {sorted(Inherited.__optional_keys__)}"

    assert keys() == "['size', 'x'] ['label']"
