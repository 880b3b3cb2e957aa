"""Annotations and input_types= declare the types of parameters and results."""

from __future__ import annotations

import datetime
import typing
from typing import Annotated, Any, Optional

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from nested_types import Place

import udfvm
import udfvm.sqlite
from udfvm.errors import SignatureError
from udfvm.types.annotations import annotation_of, is_json
from udfvm.types.arrow_types import (
    JSON,
    Container,
    Kind,
    ResultType,
    RowType,
    declared,
    named,
)


def test_scalar_annotations() -> None:
    @udfvm.udf
    def function(
        a: bool, b: int, c: float, d: str, e: bytes, f: datetime.date, g: datetime.datetime
    ) -> float | None:
        return None

    assert [parameter.type.name for parameter in function.parameters] == [
        "bool", "int64", "double", "string", "binary", "date32[day]", "timestamp[us]",
    ]  # fmt: skip
    assert [parameter.type.row for parameter in function.parameters] == [
        RowType.BOOL,
        RowType.INT64,
        RowType.FLOAT64,
        RowType.TEXT,
        RowType.BLOB,
        RowType.INT64,
        RowType.INT64,
    ]
    assert not any(parameter.nullable for parameter in function.parameters)
    assert function.result == ResultType(named("double"), True)
    assert function.name == function.__name__ == "function"


def test_nullable_annotations() -> None:
    @udfvm.udf
    def function(
        a: int | None,
        b: Optional[str],  # noqa: UP045
        c: "float | None",  # noqa: UP037
        d: Annotated[int, "metres"],
    ) -> int:
        return 0

    assert [parameter.nullable for parameter in function.parameters] == [True, True, True, False]
    assert function.parameters[2].type.kind is Kind.FLOAT
    assert not function.result.nullable


def test_types_of_pyarrow_in_annotations() -> None:
    @udfvm.udf
    def function(
        a: Annotated[int, pa.int32()],
        b: Annotated[float | None, "kg", pa.float32()],
        c: list[Annotated[int, pa.uint8()]],
        d: Annotated[datetime.datetime, pa.timestamp("ms", "UTC")],
        e: Annotated[str, pa.dictionary(pa.int8(), pa.string())],
    ) -> Annotated[int, pa.int16()]:
        return a

    assert [str(parameter.type) for parameter in function.parameters] == [
        "int32",
        "float",
        "list<item: uint8>",
        "timestamp[ms, tz=UTC]",
        "string",
    ]
    assert [parameter.nullable for parameter in function.parameters] == [
        False, True, False, False, False,
    ]  # fmt: skip
    assert function.result.type.name == "int16"

    @udfvm.udf(vectorized=True)
    def vectorised(x: Annotated[np.ndarray, pa.int8()]) -> Annotated[pa.Array, pa.int64()]:  # type: ignore[type-arg]
        return pa.array(x, pa.int64())

    assert vectorised.parameters[0].type.name == "int8"
    assert vectorised.parameters[0].container is Container.NUMPY


def test_types_of_pyarrow_that_do_not_fit_annotations() -> None:
    def two(x: Annotated[int, pa.int8(), pa.int16()]) -> int:
        return x

    def record(x: Annotated[Place, pa.struct([])]) -> int:
        return 0

    with pytest.raises(udfvm.SignatureError, match=r"parameter 'x': .* more than one type"):
        udfvm.udf(two)
    with pytest.raises(udfvm.SignatureError, match="annotate the fields of the class"):
        udfvm.udf(record)


def test_types_of_vectorised_functions() -> None:
    @udfvm.udf(vectorized=True)
    def function(
        a: npt.NDArray[np.float32],
        b: pa.DoubleArray,
        c: float,
        d: pa.Int8Array | None,
        e: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        return np.zeros(len(a), dtype=np.int64)

    assert [parameter.type.name for parameter in function.parameters] == [
        "float",
        "double",
        "double",
        "int8",
        "bool",
    ]
    assert [parameter.container for parameter in function.parameters] == [
        Container.NUMPY, Container.ARROW, Container.ARROW, Container.ARROW, Container.NUMPY,
    ]  # fmt: skip
    assert [parameter.nullable for parameter in function.parameters] == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert function.result.type.name == "int64"


def test_input_types_by_position_and_by_name() -> None:
    def function(a: np.ndarray, b: pa.Array) -> pa.Array:  # type: ignore[type-arg]
        return b

    first = udfvm.udf(
        function,
        vectorized=True,
        input_types=[pa.int32(), "string"],
        output_type="timestamp[us, tz=UTC]",
    )
    second = udfvm.udf(
        function,
        vectorized=True,
        input_types={"b": str, "a": "int32"},
        output_type=pa.timestamp("us", tz="UTC"),
    )
    assert first.parameters == second.parameters
    assert first.result == second.result
    assert first.parameters[0].container is Container.NUMPY


def test_closure_names_in_annotations() -> None:
    Number = float

    @udfvm.udf
    def function(x: Number) -> Number:
        return Number(x)

    assert function.parameters[0].type.kind is Kind.FLOAT


def test_nested_annotations() -> None:
    def function(a: list[int | None], b: list[list[str]] | None, c: Place) -> list[Place]:
        return [c]

    made = udfvm.udf(function)
    place = "struct<name: string, where: list<item: double>, since: date32[day]>"
    assert [str(each.type) for each in made.parameters] == [
        "list<item: int64>",
        "list<item: list<item: string>>",
        place,
    ]
    assert [each.nullable for each in made.parameters] == [False, True, False]
    assert made.result == ResultType(declared(f"list<item: {place}>"), False)


@pytest.mark.parametrize(
    "annotation",
    [list, dict, list[Any], list[dict[str, Any]], dict[str, list], list[list[object]]],
    ids=str,
)
def test_results_of_no_certain_type_are_json(annotation: Any) -> None:
    def function(a: int) -> Any:
        return a

    function.__annotations__["return"] = annotation
    assert udfvm.udf(function).result.type == JSON


@pytest.mark.parametrize(
    "annotation",
    [
        list,
        dict,
        list[Any],
        dict[str, Any],
        dict[str | None, int],
        tuple[float, float],
        list[np.ndarray],
    ],
    ids=str,
)
def test_parameters_of_no_certain_type_are_refused(annotation: Any) -> None:
    def function(a: Any) -> int:
        return 0

    function.__annotations__["a"] = annotation
    with pytest.raises(SignatureError, match="parameter 'a': annotation"):
        udfvm.udf(function)


def test_aliases_with_type_parameters() -> None:
    """What `type Table[V] = dict[str, V]` declares, since Python 3.12. numpy's NDArray is one."""
    make: Any = getattr(typing, "TypeAliasType", None)
    if make is None:
        pytest.skip("this version of Python has no such aliases")
    key, value = typing.TypeVar("key"), typing.TypeVar("value")
    table = make("table", dict[str, value], type_params=(value,))
    turned = make("turned", dict[value, key], type_params=(key, value))
    nested = make("nested", table[value] | None, type_params=(value,))
    for alias, meant in (
        (table[float], dict[str, float]),
        (turned[int, str], dict[str, int]),
        (nested[bool], dict[str, bool] | None),
    ):
        found, expected = annotation_of(alias), annotation_of(meant)
        assert (found.type, found.nullable) == (expected.type, expected.nullable)
        assert is_json(alias) == is_json(meant)
