"""The child of a union that a value or null belongs to, and conversions between unions."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from capsule_producers import capsules
from nested_rows import last_of_columns
from nested_types import identity

import udfvm
from udfvm.errors import TypeMappingError, UDFError
from udfvm.types.arrow_types import declared
from udfvm.types.unions import Chosen, array_of, parts_of

NUMBER, TEXT = pa.field("number", pa.int64()), pa.field("a text", pa.string())
SPARSE = pa.sparse_union([NUMBER, TEXT], [5, 7])
DENSE = pa.dense_union([NUMBER, TEXT])


@pytest.mark.parametrize(
    ("types", "value", "child"),
    [
        (["bool", "int64", "double"], 1, 1),
        (["double", "int64", "bool"], True, 2),
        (["double", "int64"], True, 0),
        (["int8", "int64"], 300, 1),
        (["float", "double"], 0.1, 1),
        (["string", "binary"], b"a", 1),
        (["date32", "timestamp[us]"], datetime.datetime(2020, 1, 1), 1),
        (["duration[s]", "duration[us]"], datetime.timedelta(microseconds=1), 1),
        (["decimal128(5, 2)", "int64"], 3, 1),
        (["decimal128(5, 2)", "string"], Decimal("1.50"), 0),
        (["list<double>", "list<int64>"], [1, 2], 1),
        (["list<double>", "list<int64>"], [1, 2.5], 0),
        (["struct<x: double>", "map<string, int64>"], {"x": 1.0}, 0),
        (["struct<x: double>", "map<string, int64>"], {"y": 1}, 1),
        (["struct<x: double, y: double>", "struct<x: double>"], {"x": 1.0}, 1),
        (["month_day_nano_interval", "list<int64>"], pa.MonthDayNano([1, 2, 3]), 0),
    ],
)
def test_the_child_that_takes_a_value(types: list[str], value: Any, child: int) -> None:
    fields = [pa.field(str(index), declared(name).arrow) for index, name in enumerate(types)]
    for mode in ("sparse", "dense"):
        type_ = pa.union(fields, mode)
        made = udfvm.udf(lambda x: value, name="made", input_types=["int64"], output_type=type_)
        assert made(1) == value
        of_result = [len(rows) for rows, _ in parts_of(made(pa.array([1])))]
        asked = udfvm.udf(
            lambda x: pa.array([x.buffers()[1].to_pybytes()[0]], pa.int64()),
            name="asked",
            vectorized=True,
            input_types=[type_],
            output_type="int64",
        )
        assert of_result.index(1) == child and asked(value) == child


def test_no_child_takes_a_value() -> None:
    with pytest.raises(TypeMappingError, match=r"none of whose types takes 1\.5"):
        identity(SPARSE, False)(1.5)
    with pytest.raises(TypeMappingError, match=r"item 1 is declared .*, none of whose types"):
        identity(pa.list_(SPARSE), False)([1, b"a"])
    wrong = udfvm.udf(lambda x: b"a", name="wrong", input_types=["int64"], output_type=SPARSE)
    for argument in (1, pa.array([1])):
        with pytest.raises(UDFError, match="expected a value of a type of sparse_union"):
            wrong(argument)
    strict = pa.dense_union([pa.field("a", pa.int64(), nullable=False)])
    nothing = udfvm.udf(lambda x: None, name="nothing", input_types=["int64"], output_type=strict)
    with pytest.raises(TypeMappingError, match="holds a null where there is none"):
        nothing(pa.array([1]))


def test_nulls() -> None:
    """A null is one of the first child that may be null; arguments that are null skip the call."""
    strict = pa.dense_union([pa.field("a", pa.int64(), nullable=False), TEXT])
    assert identity(strict, False)(None) is None
    array = array_of([Chosen(0, 1), Chosen(1, None), Chosen(1, "x"), Chosen(1, None)], strict)
    for vectorized in (False, True):
        result = identity(strict, vectorized)(array)
        assert result.to_pylist() == [1, None, "x", None]
        assert [rows.to_pylist() for rows, _ in parts_of(result)] == [[0], [1, 2, 3]]

    def count(x: pa.Array) -> pa.Array:
        return pa.array([len(x)] * len(x))

    assert last_of_columns(SPARSE)(array_of([None, Chosen(1, "x"), None], SPARSE)) == "x"
    counted = udfvm.udf(vectorized=True, input_types=[strict], output_type="int64")(count)
    assert counted(array).to_pylist() == [2, None, 2, None]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (array_of([Chosen(0, 1)], DENSE).cast(DENSE), None),
        (array_of([Chosen(0, 1)], pa.dense_union([NUMBER])), "an array of dense_union"),
        (pa.array([1]), "an array of int64"),
        (pa.chunked_array([], pa.sparse_union([])), "a chunked array of sparse_union"),
        (
            array_of([Chosen(0, 2**62)], pa.sparse_union([pa.field("number", pa.uint64()), TEXT])),
            None,
        ),
    ],
)
def test_columns_of_other_unions(array: Any, message: str | None) -> None:
    if message is None:  # other codes, the other mode, other types that convert
        assert identity(SPARSE, True)(array).to_pylist() == array.to_pylist()
        return
    with pytest.raises(TypeMappingError, match=message):
        identity(SPARSE, True)(array)


def test_a_loss_has_its_row() -> None:
    array = array_of(
        [Chosen(1, "a"), Chosen(0, 2**63)], pa.sparse_union([pa.field("number", pa.uint64()), TEXT])
    )
    with pytest.raises(TypeMappingError, match="row 1"):
        identity(SPARSE, True)(array)
    late = pa.dense_union([pa.field("at", pa.timestamp("ns"))])
    array = array_of([Chosen(0, None), Chosen(0, 1)], late)
    with pytest.raises(TypeMappingError, match=r"row 1.*vectorised"):
        identity(late, False)(array)


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["a", "a text that is longer than a view", "c"], pa.string_view()),
        pa.RunEndEncodedArray.from_arrays([1, 3], ["a", "b"]),
        pa.array([["a"], ["b", "c"], []], pa.list_view(pa.string())),
        pa.array(["a", "b", "a"]).dictionary_encode(),
    ],
    ids=["views", "runs", "list views", "dictionary"],
)
@pytest.mark.parametrize("vectorized", [False, True], ids=["scalar", "vectorized"])
def test_children_are_encoded(texts: pa.Array, vectorized: bool) -> None:
    codes, numbers = pa.array([0, 1, 0], pa.int8()), pa.array([1, 2, 3])
    places = pa.array([1, 0, 2], pa.int32())
    for union in (
        pa.UnionArray.from_sparse(codes, [texts, numbers]),
        pa.UnionArray.from_dense(codes, places, [texts, numbers]),
    ):
        result = identity(union.type, vectorized)(union)
        assert result.type == union.type
        assert result.to_pylist() == union.to_pylist()


def test_ordered_dictionaries_of_unions_have_no_order() -> None:
    union = pa.dense_union([pa.field("n", pa.int8()), pa.field("t", pa.string())], [3, 5])
    codes, offsets = pa.array([3, 5, 3], pa.int8()), pa.array([0, 0, 1], pa.int32())
    children = [pa.array([2, 1], pa.int8()), pa.array(["a"])]
    values = pa.UnionArray.from_dense(codes, offsets, children, ["n", "t"], [3, 5])
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), values, ordered=True)
    type_ = pa.dictionary(pa.int64(), union, ordered=True)
    for vectorized in (False, True):
        made = identity(type_, vectorized)(array)
        assert made.type == type_ and made.to_pylist() == [2, "a", None, 1]


def test_batches_of_unions_with_codes_of_their_own_are_counted() -> None:
    inner = pa.dense_union([pa.field("n", pa.int8()), pa.field("t", pa.string())], [100, 120])
    column = array_of([Chosen(0, 1), Chosen(1, "a")] * 50, inner)
    table = pa.table({"x": pa.chunked_array([column.slice(start, 10) for start in range(90)])})
    same = identity(inner, False)
    assert same.map(table, keep=[])["same"].to_pylist() == table["x"].to_pylist()


def test_structs_of_unions_with_a_bitmap_come_in_streams() -> None:
    union = pa.dense_union([pa.field("n", pa.int8()), pa.field("t", pa.string())])
    column = array_of([Chosen(0, 1), Chosen(1, "a")], union)
    type_ = pa.struct([("u", union)])
    bitmap = pa.py_buffer(b"\x03")  # without a null
    structs = pa.Array.from_buffers(type_, 2, [bitmap], 0, 0, [column])
    for vectorized in (False, True):
        for given in (structs, capsules(structs), capsules(pa.chunked_array([structs]))):
            assert identity(type_, vectorized)(given).to_pylist() == structs.to_pylist()


def hidden(column: pa.Array) -> pa.Array:
    """Structs of a column, of which the second is null."""
    bitmap = pa.py_buffer(b"\x05")
    return pa.Array.from_buffers(pa.struct([("x", column.type)]), 3, [bitmap], 1, 0, [column])


@pytest.mark.parametrize("type_", [pa.float64(), pa.string_view()], ids=str)
def test_runs_that_null_structs_hide(type_: pa.DataType) -> None:
    values = pa.array([1, 2]).cast(pa.string()).cast(type_)
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), values)
    structs = hidden(runs)
    first, _, last = runs.to_pylist()
    plain = identity(type_, False)
    for given in (capsules(structs), capsules(pa.chunked_array([structs, structs[:0]]))):
        assert plain(given).to_pylist() == [first, None, last]
    assert plain(capsules(structs[1:])).to_pylist() == [None, last]


def yielding(structs: pa.StructArray, type_: pa.DataType) -> udfvm.TableFunction:
    def rows():  # type: ignore[no-untyped-def]
        yield capsules(structs)
        yield capsules(pa.chunked_array([structs, structs[:0]]))

    columns = pa.schema([("x", type_)])
    return udfvm.table_function(columns=columns, packages=["pyarrow"])(rows)


def test_tables_of_unions_and_runs_that_null_structs_hide() -> None:
    """As table functions yield them, too."""
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([1, 2]))
    codes, numbers = pa.array([0, 0, 0], pa.int8()), pa.array([1, 2, 3])
    union = pa.UnionArray.from_sparse(codes, [numbers, pa.array(["a", "b", "c"])])
    for column, type_ in ((runs, pa.int64()), (union, union.type), (numbers, pa.int64())):
        first, _, last = column.to_pylist()
        found = list(yielding(hidden(column), type_)())
        assert found == [(first,), (None,), (last,)] * 2


def test_structs_without_fields_come_in_streams() -> None:
    structs = pa.array([{}, None, {}], pa.struct([]))
    for given in (structs, structs[2:], pa.chunked_array([structs[:1], structs[2:]])):
        made = identity(structs.type, False)(capsules(given))
        assert made.to_pylist() == given.to_pylist()


def test_runs_of_extension_types_in_unions_and_as_values() -> None:
    opaque = pa.opaque(pa.list_(pa.int16()), "matrix", "somebody")
    values = opaque.wrap_array(pa.array([[1, 2], None], pa.list_(pa.int16())))
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), values)
    codes, offsets = pa.array([0, 1, 0], pa.int8()), pa.array([0, 0, 2], pa.int32())
    union = pa.UnionArray.from_dense(codes, offsets, [runs, pa.array([True])])
    for vectorized in (False, True):
        made = identity(union.type, vectorized)(union)
        assert made.type == union.type and made.to_pylist() == [[1, 2], True, None]
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), values)
    assert identity(encoded.type, False)(encoded[0]) == [1, 2]
    assert identity(encoded.type, False)(encoded[1]) is None
