"""Dataclasses, named tuples and ``TypedDict`` as types of parameters and results: structs.

Annotations are text in this file: what they refer to travels all the same.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pickle
import sys
import types
from collections import namedtuple
from typing import Any, NamedTuple, NotRequired, TypedDict

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm


@dataclasses.dataclass
class Point:
    x: float
    y: float = 5.0
    note: str | None = None

    def norm(self) -> float:
        return abs(self.x) + abs(self.y)


class Edge(NamedTuple):
    begin: Point
    end: Point
    tags: list[str] = ["plain"]  # noqa: RUF012

    def length(self) -> float:
        return abs(self.end.x - self.begin.x)


class Graph(TypedDict):
    name: str
    since: NotRequired[datetime.date]
    edges: list[Edge]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Frozen:
    count: int
    data: bytes = dataclasses.field(default_factory=lambda: b"none")
    doubled: int = dataclasses.field(init=False, default=0)


@udfvm.udf
def moved(point: Point, by: float = 1.0) -> Point:
    return Point(point.x + by, point.y, point.note)


@udfvm.udf
def norm(point: Point | None) -> float:
    return -1.0 if point is None else point.norm()


@udfvm.udf
def reversed_edge(edge: Edge) -> Edge:
    return Edge(edge.end, edge.begin, [*edge.tags, "back"])


@udfvm.udf
def summary(graph: Graph) -> str:
    assert type(graph) is dict
    lengths = [edge.length() for edge in graph["edges"]]
    return f"{graph['name']} {graph.get('since', 'always')} {lengths} {sorted(graph)}"


@udfvm.udf
def frozen(value: Frozen) -> Frozen:
    return Frozen(count=value.count + 1, data=value.data)


POINT = "struct<x: double, y: double, note: string>"


def test_classes_are_structs() -> None:
    assert repr(moved) == f"<UDF moved(point: {POINT}, by: double) -> {POINT}>"
    edge = f"struct<begin: {POINT}, end: {POINT}, tags: list<item: string>>"
    assert str(reversed_edge.result.type) == edge
    assert str(summary.parameters[0].type) == (
        f"struct<name: string, since: date32[day], edges: list<item: {edge}>>"
    )
    assert str(frozen.result.type) == "struct<count: int64, data: binary>"
    assert norm.parameters[0].nullable and not moved.parameters[0].nullable


def test_instances_go_in_and_dictionaries_come_out() -> None:
    assert moved(Point(1.0, 2.0, "a")) == {"x": 2.0, "y": 2.0, "note": "a"}
    assert moved(moved(Point(1.0)), 2.0) == {"x": 4.0, "y": 5.0, "note": None}
    assert norm(Point(1.0, -2.0)) == 3.0
    assert norm(None) == -1.0 and moved(None) is None
    edge = Edge(Point(1.0), Point(3.0, 0.0))
    assert reversed_edge(edge) == {
        "begin": {"x": 3.0, "y": 0.0, "note": None},
        "end": {"x": 1.0, "y": 5.0, "note": None},
        "tags": ["plain", "back"],
    }
    assert summary({"name": "g", "edges": [edge, edge]}) == (
        "g always [2.0, 2.0] ['edges', 'name']"
    )
    day = datetime.date(2024, 2, 29)
    assert summary({"name": "g", "since": day, "edges": []}).startswith("g 2024-02-29 [] ['ed")
    assert frozen(Frozen(count=1)) == {"count": 2, "data": b"none"}


def test_what_is_left_out_has_its_default() -> None:
    assert moved({"x": 1.0}) == {"x": 2.0, "y": 5.0, "note": None}
    assert norm({"x": 1.0, "y": None}) == 6.0
    assert reversed_edge({"begin": {"x": 0.0}, "end": Point(1.0)})["tags"] == ["plain", "back"]
    assert frozen({"count": 1})["data"] == b"none"


def test_columns() -> None:
    whole = pa.array(
        [{"x": 1.0, "y": 2.0, "note": "n"}, None, {"x": 3.0}], moved.parameters[0].type.arrow
    )
    assert norm(whole).to_pylist() == [3.0, -1.0, 8.0]
    assert moved(whole, np.array([1.0, 2.0, 3.0])).to_pylist() == [
        {"x": 2.0, "y": 2.0, "note": "n"},
        None,
        {"x": 6.0, "y": 5.0, "note": None},
    ]
    objects = np.array([Point(1.0, 2.0), None, {"x": 3.0}], dtype=object)
    assert norm(objects).tolist() == [3.0, -1.0, 8.0]


def test_vectorised() -> None:
    @udfvm.udf(vectorized=True)
    def shifted(point: Point, by: float) -> Point:  # arrays of the declared types
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = [pc.add(point.field("x"), by), point.field("y"), point.field("note")]
        return pa.StructArray.from_arrays(columns, fields=list(point.type))

    points = pa.array([{"x": 1.0, "y": 2.0, "note": "n"}], moved.parameters[0].type.arrow)
    assert str(shifted.result.type) == POINT
    assert shifted(points, 2.0).to_pylist() == [{"x": 3.0, "y": 2.0, "note": "n"}]


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_in_sql(isolation: Any) -> None:
    connection = apsw.Connection(":memory:")
    made = [each.with_options(isolation=isolation) for each in (moved, norm, summary)]
    udfvm.sqlite.register(connection, *made)
    for _ in range(2):
        [row] = connection.execute(
            """SELECT moved('{"x": 1, "y": 2}', 3), moved('{"x": 1}') ->> 'y', norm(NULL),
            norm('{"y": 2, "x": 1}'), moved(NULL),
            summary('{"name": "g", "edges": [{"begin": {"x": 1}, "end": {"x": 4}}]}')"""
        ).fetchall()
        assert json.loads(row[0]) == {"x": 4.0, "y": 2.0, "note": None}
        assert row[1:5] == (5.0, -1.0, 3.0, None)
        assert row[5] == "g always [3.0] ['edges', 'name']"
    rows = "SELECT value, json_object('x', value) FROM json_each('[1, 2]')"
    found = connection.execute("SELECT value FROM vm_map('norm', ?)", (rows,)).fetchall()
    assert found == [(6.0,), (7.0,)]


def test_defaults_that_are_instances() -> None:
    @udfvm.udf
    def first(edges: list[Edge] = [Edge(Point(1.0), Point(2.0))], at: Point = Point(9.0)) -> float:  # noqa: B006, B008
        return edges[0].end.x + at.x

    assert first() == 11.0
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, first)
    assert connection.execute("SELECT first()").fetchall() == [(11.0,)]


def test_results_are_instances_or_dictionaries_of_the_declared_fields() -> None:
    @udfvm.udf
    def made(how: str) -> Point | None:
        if how == "instance":
            return Point(1.0)
        if how == "other":
            return Edge(Point(1.0), Point(2.0))  # type: ignore[return-value]
        if how == "named tuple":
            return namedtuple("Named", "note x y more")("n", 1.0, 2.0, 3)  # type: ignore[return-value]  # noqa: PYI024
        if how == "tuple":
            return (1.0, 2.0)  # type: ignore[return-value]
        return {"dictionary": {"x": 1.0, "y": 2.0}, "wrong": {"z": 1}}.get(how)  # type: ignore[return-value]

    assert made("instance") == {"x": 1.0, "y": 5.0, "note": None}
    assert made("named tuple") == {"x": 1.0, "y": 2.0, "note": "n"}
    assert made("dictionary") == {"x": 1.0, "y": 2.0, "note": None}
    assert made("none") is None
    for how, message in (
        ("other", "Edge has no 'x', which is a field of the struct"),
        ("tuple", "expected a dictionary with the fields x, y, note; got tuple"),
        ("wrong", "unknown field 'z'; the fields are x, y, note"),
    ):
        with pytest.raises(udfvm.UDFError, match=message):
            made(how)


def test_arguments_that_do_not_fit() -> None:
    for value, message in (
        (Edge(Point(1.0), Point(2.0)), "has 'begin', which is not a field of struct"),
        (1.0, "which takes a mapping; got float"),
        (
            {"x": "1"},
            "is not a struct<.*>: field 'x' is declared double, which takes float; got str",
        ),
        ((1.0, 2.0, None), "takes a mapping; got tuple"),
        ({"z": 1.0}, "has 'z', which is not a field"),
    ):
        with pytest.raises(udfvm.TypeMappingError, match=message):
            moved(value)


def test_an_error_of_the_class_is_the_functions() -> None:
    @dataclasses.dataclass
    class Positive:
        value: int

        def __post_init__(self) -> None:
            if self.value <= 0:
                raise ValueError(f"{self.value} is not positive")

    def root(of: Positive) -> float:
        return float(of.value**0.5)

    root.__annotations__["of"] = Positive
    made = udfvm.udf(root)
    assert made({"value": 4}) == 2.0
    with pytest.raises(udfvm.UDFError, match=r"ValueError: -1 is not positive") as raised:
        made({"value": -1})
    assert "__post_init__" in str(raised.value) and "_udfvm_records" not in str(raised.value)


def test_a_class_that_is_changed_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert norm(Point(1.0, 1.0)) == 2.0
    monkeypatch.setattr(Point, "norm", lambda self: 7.0)
    assert norm(Point(1.0, 1.0)) == 7.0
    monkeypatch.undo()
    assert norm(Point(1.0, 1.0)) == 2.0


def test_they_travel_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("__main__")
    source = """from __future__ import annotations
import dataclasses, udfvm
@dataclasses.dataclass
class Pair:
    a: int
    b: int = 2
@udfvm.udf
def total(pair: Pair) -> int:
    return pair.a + pair.b
"""
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(compile(source, "main.py", "exec"), module.__dict__)
    sent = pickle.dumps(module.__dict__["total"])
    monkeypatch.undo()
    arrived = pickle.loads(sent)
    assert arrived({"a": 1}) == 3
    assert pickle.loads(pickle.dumps(arrived))({"a": 5}) == 7


def test_results_of_aggregates() -> None:
    @udfvm.aggregate
    class Corner:
        def __init__(self) -> None:
            self.x = 0.0

        def step(self, x: float) -> None:
            self.x = max(self.x, x)

        def finish(self) -> Point:
            return Point(self.x)

    corner = Corner(np.array([1.0, 3.0]))
    assert corner == {"x": 3.0, "y": 5.0, "note": None}
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, Corner)
    assert connection.execute("SELECT corner(column1) ->> 'x' FROM (VALUES (2.0))").fetchall() == [
        (2.0,)
    ]


# ---- Classes that are no structs ----


@dataclasses.dataclass
class OfComplex:
    inner: OfUntyped


class OfUntyped(NamedTuple):
    number: complex


@dataclasses.dataclass
class OfItself:
    next: OfItself | None


@dataclasses.dataclass
class OfInit:
    x: int
    seed: dataclasses.InitVar[int]


@dataclasses.dataclass
class OfUnknown:
    x: Nowhere  # type: ignore[name-defined]  # noqa: F821


Untyped = namedtuple("Untyped", "a b")  # noqa: PYI024


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (
            OfComplex,
            "OfComplex: field 'inner': OfUntyped: field 'number': <class 'complex'> is not a"
            " supported type",
        ),
        (OfItself, "OfItself: field 'next': OfItself contains itself"),
        (OfInit, "OfInit has the InitVar 'seed'"),
        (OfUnknown, "OfUnknown has an annotation that cannot be evaluated .*'Nowhere'"),
        (Untyped, "field 'a' of Untyped has no type: write a typing.NamedTuple"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_classes_that_are_no_structs(cls: type, message: str) -> None:
    def takes(value: Any) -> int:
        return 1

    takes.__annotations__["value"] = cls
    with pytest.raises(udfvm.SignatureError, match=f"parameter 'value': annotation .*{message}"):
        udfvm.udf(takes)

    def returns(value: int) -> Any:
        return None

    returns.__annotations__["return"] = cls
    with pytest.raises(udfvm.SignatureError, match=f"the result: annotation .*{message}"):
        udfvm.udf(returns)
