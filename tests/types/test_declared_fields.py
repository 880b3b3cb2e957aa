"""Names, nullability and metadata of what lists and structs hold are those that were declared."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from nested_types import identity

import udfvm
import udfvm.arrow
from udfvm.types.arrow_types import declared

_ELEMENT = pa.list_(pa.field("element", pa.float32(), nullable=False))
_TYPES: list[tuple[pa.DataType, list[Any]]] = [
    (_ELEMENT, [[1.0], None, []]),
    (pa.list_(pa.field("element", pa.float32())), [[1.0], None, [None]]),
    (pa.list_(pa.field("x", pa.int8()), 2), [[1, 2], None, [3, None]]),
    (
        pa.large_list(pa.field("l", pa.string(), metadata={"m": "n"})),
        [["a"], None, [None, "b"]],
    ),
    (pa.string_view(), ["a", None, "a text that is longer than twelve bytes: é"]),
    (pa.binary_view(), [b"\0", None, b"more bytes than a view holds inline"]),
    (
        pa.list_(pa.struct([pa.field("v", pa.string_view(), nullable=False)])),
        [[{"v": "a"}], None, [{"v": "a text that is longer than twelve bytes"}, None]],
    ),
    (
        pa.struct(
            [
                pa.field("a", _ELEMENT, metadata={"k": "v"}),
                pa.field("b", pa.list_(pa.field("z", pa.struct([pa.field("q", pa.int8())])))),
            ]
        ),
        [{"a": [1.0], "b": [{"q": 1}, None]}, None, {"a": None, "b": []}],
    ),
]


@pytest.mark.parametrize("vectorized", [True, False])
@pytest.mark.parametrize(("type_", "values"), _TYPES, ids=[str(type_) for type_, _ in _TYPES])
def test_a_result_has_the_declared_fields(
    type_: pa.DataType, values: list[Any], vectorized: bool
) -> None:
    same = identity(type_, vectorized)
    array = pa.array(values, type_)
    for argument in (
        array,
        array[1:],
        array[:0],
        pa.chunked_array([array[:1], array[1:]]),
        pa.array(values, declared(type_).arrow),  # without the names
    ):
        result = same(argument)
        assert result.type.equals(type_, check_metadata=True)
        assert result.to_pylist() == argument.to_pylist()
        for chunk in result.chunks if isinstance(result, pa.ChunkedArray) else [result]:
            assert chunk.type.equals(type_, check_metadata=True)
            chunk.validate(full=True)


@pytest.mark.parametrize(("type_", "values"), _TYPES, ids=[str(type_) for type_, _ in _TYPES])
def test_a_registered_function_takes_the_declared_column(
    type_: pa.DataType, values: list[Any]
) -> None:
    name = f"same_{abs(hash(type_))}"
    udfvm.arrow.register(None, identity(type_, True), name=name)
    result = pc.call_function(name, [pa.array(values, type_)])
    assert result.type.equals(type_, check_metadata=True)
    assert result.to_pylist() == values


def test_a_null_where_none_is_declared_is_refused() -> None:
    with pytest.raises(udfvm.TypeMappingError, match=r"row 1: .* a null where there is none"):
        identity(_ELEMENT, True)(pa.array([[1.0], [None]], pa.list_(pa.float32())))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("list<element: float not null>", _ELEMENT),
        (
            "struct<a: list<float64 not null> not null>",
            pa.struct(
                [
                    pa.field(
                        "a",
                        pa.list_(pa.field("item", pa.float64(), nullable=False)),
                        nullable=False,
                    )
                ]
            ),
        ),
        ("list<item: string_view>", pa.list_(pa.string_view())),
        ("fixed_size_list<f: int8>[2]", pa.list_(pa.field("f", pa.int8()), 2)),
    ],
)
def test_text_declares_the_same(text: str, expected: pa.DataType) -> None:
    assert declared(text).as_declared.equals(expected, check_metadata=True)
    assert declared(text) == declared(expected)


def test_metadata_of_a_declared_field_is_kept() -> None:
    """As of an extension type that is not registered: where a result has a field, that has it."""
    metadata = {b"ARROW:extension:name": b"mine.celsius", b"ARROW:extension:metadata": b"1"}
    field = pa.field("given", pa.float64(), metadata=metadata)

    def same(x: float) -> float:
        return x

    function = udfvm.udf(same, input_types=[field], output_type=field)
    table = pa.table({"x": [1.0, None]}, pa.schema([field.with_name("x")]))
    assert function(1.5) == 1.5
    assert function.map(table).schema.field("same").metadata == metadata
    assert function.map(table).schema.field("x").metadata == metadata

    @udfvm.table_function(columns=pa.schema([field]))
    def rows(count: int = 2) -> Any:
        return [(float(row),) for row in range(count)]

    assert next(rows.batches(1)).schema.field("given").metadata == metadata
    mapped = rows.map(pa.table({"count": [1, 2]}))
    assert mapped.schema.field("given").metadata == metadata and mapped.num_rows == 3
    udfvm.arrow.register(None, rows)
    made = pc.call_tabular_function("rows").read_all()
    assert made.schema.field("given").metadata == metadata
