"""Encoded and extension types: they travel as others, and results have what was declared."""

from __future__ import annotations

import random

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from encoded_values import EXTENSIONS, LEAVES, Columns, Meters, decoded_values
from golden_files import identity, same

import udfvm
import udfvm.arrow
from udfvm.types.arrow_types import declared, named
from udfvm.types.encodings import decoded, restored


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dictionary<int8, string>", pa.dictionary(pa.int8(), pa.string())),
        (
            "dictionary<values=list<item: string>, indices=uint64, ordered=1>",
            pa.dictionary(pa.uint64(), pa.list_(pa.string()), ordered=True),
        ),
        ("run_end_encoded<int16, float64>", pa.run_end_encoded(pa.int16(), pa.float64())),
        ("list<string_view>", pa.list_(pa.string_view())),
        (
            "struct<a: run_end_encoded<run_ends: int64, values: decimal128(5, 2)> not null>",
            pa.struct(
                [pa.field("a", pa.run_end_encoded(pa.int64(), pa.decimal128(5, 2)), nullable=False)]
            ),
        ),
        ("list_view<f: int8 not null>", pa.list_view(pa.field("f", pa.int8(), nullable=False))),
        ("large_list_view<int8>", pa.large_list_view(pa.int8())),
        ("extension<arrow.uuid>", pa.uuid()),
        ("list<extension<arrow.json>>", pa.list_(pa.json_())),
        ("extension<arrow.bool8>", pa.bool8()),
    ],
)
def test_text_declares_the_same(text: str, expected: pa.DataType) -> None:
    type_ = declared(text)
    assert type_ == declared(expected)
    assert type_.as_declared.equals(expected, check_metadata=True)
    assert type_._replace(exact=None) == named(str(decoded(expected)))


@pytest.mark.parametrize(
    "text",
    [
        "dictionary<string>",
        "dictionary<float, string>",
        "dictionary<values=string, ordered=1>",
        "run_end_encoded<int8, string>",
        "run_end_encoded<string>",
        "list_view<int8, int8>",
        "list_view<>",
        "extension<somebody.s>",
        "dictionary<int8, dictionary<int8, nothing>>",
    ],
)
def test_text_that_is_no_type(text: str) -> None:
    with pytest.raises(ValueError, match="type"):
        declared(text)


@pytest.mark.parametrize("seed", range(8))
def test_columns_are_restored(seed: int) -> None:
    """Of any type in any other: without guests."""
    columns = Columns(random.Random(seed))
    for _ in range(100):
        array = columns.any_column()
        type_ = declared(array.type)
        plain = type_.as_declared_decoded
        values = decoded_values(array)
        made = restored(_converted(array, plain), array.type)
        made.validate(full=True)
        assert made.type.equals(array.type, check_metadata=True)
        assert decoded_values(made) == values
        assert len(made) == len(array)


def _converted(array: pa.Array, type_: pa.DataType) -> pa.Array:
    from udfvm.types.array_conversions import convert

    return convert(array, type_)


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_calls_take_and_give_the_declared_type(seed: int, vectorized: bool) -> None:
    columns = Columns(random.Random(100 + seed))
    for _ in range(12):
        array = columns.any_column()
        values, middle = decoded_values(array), len(array) // 2
        function = identity(array.type, vectorized=vectorized)
        chunks = [array[:0], array[:middle], array[middle:]]
        for given in (array, pa.chunked_array(chunks), pa.chunked_array([], array.type)):
            result = function(given)
            assert type(result) is type(given)
            assert result.type.equals(array.type, check_metadata=True)
            result.validate(full=True)
            parts = result.chunks if isinstance(result, pa.ChunkedArray) else [result]
            expected = values if len(given) else []
            assert [each for part in parts for each in decoded_values(part)] == expected
        plain = _converted(array, decoded(array.type))
        assert decoded_values(function(plain)) == values


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("type_", [*LEAVES, *EXTENSIONS], ids=str)
def test_all_null_and_empty(type_: pa.DataType, vectorized: bool) -> None:
    for outer in (
        pa.dictionary(pa.int16(), type_, ordered=True),
        pa.run_end_encoded(pa.int32(), type_),
        pa.list_view(type_),
        type_,
    ):
        function = identity(outer, vectorized=vectorized)
        for rows in (0, 3):
            result = function(pa.nulls(rows, outer))
            assert result.type == outer
            assert decoded_values(result) == [None] * rows


@pytest.mark.parametrize("vectorized", [False, True])
def test_numbers_are_restored(vectorized: bool) -> None:
    """Batches of numbers have a path of their own."""
    for type_ in (pa.dictionary(pa.int8(), pa.int64()), pa.run_end_encoded(pa.int16(), pa.int64())):
        function = udfvm.udf(same, vectorized=vectorized, input_types=["int64"], output_type=type_)
        for _ in range(3):
            result = function(pa.array([7, 7, 8]))
            assert result.type == type_ and decoded_values(result) == [7, 7, 8]
        assert function(7) == 7


def test_an_ordered_dictionary_ascends() -> None:
    type_ = pa.dictionary(pa.int8(), pa.string(), ordered=True)
    result = identity(type_, vectorized=True)(pa.array(["c", None, "a", "c", "b"]))
    assert result.dictionary.to_pylist() == ["a", "b", "c"]
    assert result.indices.to_pylist() == [2, None, 0, 2, 1]
    assert result.type.ordered


LEVELS = pa.DictionaryArray.from_arrays(
    pa.array([2, None, 0], pa.int8()), ["low", "middle", "high"], ordered=True
)
ENUM = pl.Enum(["low", "middle", "high"])


def test_an_ordered_dictionary_has_the_order_of_an_argument() -> None:
    levels = LEVELS.dictionary.to_pylist()
    keep = identity(LEVELS.type, vectorized=True)
    for given in (LEVELS, LEVELS[1:2], LEVELS[:0], LEVELS.cast(pa.string()).dictionary_encode()):
        result = keep(given)
        assert result.to_pylist() == given.to_pylist()
        assert result.dictionary.to_pylist() == (levels if given.type.ordered else ["high", "low"])
    chunks = pa.chunked_array([LEVELS, LEVELS])
    assert all(each.dictionary.to_pylist() == levels for each in keep(chunks).chunks)
    turned = restored(pa.array(["low", "high"]), LEVELS.type)  # of which the first is "high"
    mixed = keep(pa.chunked_array([LEVELS, turned]))
    assert mixed.chunk(0).dictionary.to_pylist() == ["high", "low"]
    with_null = pa.DictionaryArray.from_arrays(LEVELS.indices, ["b", "x", None], ordered=True)
    assert keep(with_null).dictionary.to_pylist() == ["b"]
    udfvm.arrow.register(None, keep.with_options(name="kept_levels"))
    assert pc.call_function("kept_levels", [LEVELS]).equals(LEVELS)
    batches = [pa.record_batch({"x": LEVELS}), pa.record_batch({"x": LEVELS[:1]})]
    made = keep.map(batches, columns="x")["same"]
    assert all(each.dictionary.to_pylist() == levels for each in made.chunks)


def test_an_ordered_dictionary_without_room_for_those_of_the_argument() -> None:
    numbers = pa.DictionaryArray.from_arrays([3, 1], pa.array(range(200, 0, -1)), ordered=True)
    narrow = identity(pa.dictionary(pa.int8(), pa.int64(), ordered=True), vectorized=True)
    assert narrow(numbers).dictionary.to_pylist() == [197, 199]


@pytest.mark.parametrize("ordered", [False, True])
def test_categories_of_frames_are_kept(ordered: bool) -> None:
    type_ = pa.dictionary(pa.int8(), pa.string(), ordered)
    keep = identity(type_, vectorized=True)
    series = LEVELS.to_pandas()
    series = series if ordered else series.cat.as_unordered()
    for given in (series, series[:0], pd.Index(series), series.array, series.to_frame("level")):
        made = keep(given)
        assert made.dtype == series.dtype
        assert list(made.dropna()) == ["high", "low"][: len(given)]
    levels = pl.Series("level", ["high", None, "low"], ENUM)
    for given in (levels, levels[:0], levels.to_frame()):
        assert keep(given).equals(levels[: len(given)], check_dtypes=True)
    others = pl.Series("level", ["high"], pl.Categorical)
    assert keep(others).dtype == pl.Categorical


def test_more_than_the_type_has() -> None:
    narrow = identity(pa.dictionary(pa.int8(), pa.int64()), vectorized=True)
    assert decoded_values(narrow(pa.array(range(128)))) == list(range(128))
    with pytest.raises(udfvm.TypeMappingError, match="129 different values"):
        narrow(pa.array(range(129)))
    runs = identity(pa.run_end_encoded(pa.int16(), pa.bool_()), vectorized=True)
    assert len(runs(pa.array([True] * 32767))) == 32767
    with pytest.raises(udfvm.TypeMappingError, match="32,768 rows"):
        runs(pa.array([True] * 32768))


def test_functions_see_the_values() -> None:
    """A vectorised function gets the type that travels, a scalar one its Python values."""

    def described(x):  # type: ignore[no-untyped-def]
        import pyarrow as pa

        return pa.array([str(x.type)] * len(x))

    def kind(x):  # type: ignore[no-untyped-def]
        return type(x).__name__

    for type_, travels, value in (
        (pa.dictionary(pa.int8(), pa.string()), "string", "str"),
        (pa.run_end_encoded(pa.int16(), pa.int8()), "int8", "int"),
        (pa.large_list_view(pa.bool8()), "large_list<item: int8>", "list"),
        (pa.uuid(), "fixed_size_binary[16]", "bytes"),
        (pa.json_(), "string", "str"),
    ):
        given = Columns(random.Random(1)).of(type_, 3, nulls=False)
        seen = udfvm.udf(described, vectorized=True, input_types=[type_], output_type="string")
        assert seen(given).to_pylist() == [travels] * 3
        assert udfvm.udf(kind, input_types=[type_], output_type="string")(given)[0].as_py() == value


def test_functions_may_return_encoded_arrays() -> None:
    def encoded(x):  # type: ignore[no-untyped-def]
        import pyarrow as pa

        return pa.ExtensionArray.from_storage(pa.uuid(), x)

    def shortened(x):  # type: ignore[no-untyped-def]
        return x.dictionary_encode()

    ids = pa.array([bytes(16), None, b"0123456789abcdef"], pa.uuid())
    function = udfvm.udf(encoded, vectorized=True, input_types=[pa.uuid()], output_type=pa.uuid())
    assert function(ids).equals(ids)
    words = pa.array(["a", "b", None, "a"])
    type_ = pa.dictionary(pa.int8(), pa.string())
    function = udfvm.udf(shortened, vectorized=True, input_types=[type_], output_type=type_)
    assert decoded_values(function(words)) == words.to_pylist()


@pytest.mark.parametrize("type_", EXTENSIONS, ids=str)
@pytest.mark.parametrize("vectorized", [False, True])
def test_extension_types_are_kept(type_: pa.DataType, vectorized: bool) -> None:
    columns = Columns(random.Random(7))
    for outer in (type_, pa.list_(type_), pa.struct([("u", type_)]), pa.dictionary("int8", type_)):
        array = columns.of(outer, 6)
        function = identity(outer, vectorized=vectorized)
        for given in (array, array[2:5], decoded_of(array)):
            result = function(given)
            assert result.type.equals(outer, check_metadata=True)
            assert decoded_values(result) == decoded_values(given)


def decoded_of(array: pa.Array) -> pa.Array:
    return _converted(array, decoded(array.type))


def test_unregistered_extension_types_are_fields_with_metadata() -> None:
    metadata = {"ARROW:extension:name": "somebody.s", "ARROW:extension:metadata": "1"}
    type_ = pa.struct([pa.field("x", pa.binary(), metadata=metadata)])
    array = pa.array([{"x": b"a"}, None], type_)
    result = identity(type_, vectorized=True)(array)
    assert result.type.equals(type_, check_metadata=True)
    assert result.to_pylist() == array.to_pylist()


_REGISTERED = [
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.int64(), ordered=True),
    pa.run_end_encoded(pa.int32(), pa.float64()),
    pa.list_view(pa.int16()),
    pa.uuid(),
    pa.bool8(),
    pa.struct([("d", pa.dictionary(pa.int8(), pa.string())), ("u", pa.list_(pa.uuid()))]),
]


@pytest.mark.parametrize("type_", _REGISTERED, ids=str)
def test_a_registered_function_takes_the_declared_column(type_: pa.DataType) -> None:
    name = f"kept_{_REGISTERED.index(type_)}"
    udfvm.arrow.register(None, identity(type_, vectorized=True), name=name)
    array = Columns(random.Random(3)).of(type_, 5)
    result = pc.call_function(name, [array])
    assert result.type.equals(type_, check_metadata=True)
    assert decoded_values(result) == decoded_values(array)


@pytest.mark.parametrize("type_", _REGISTERED, ids=str)
def test_map_keeps_the_declared_column(type_: pa.DataType) -> None:
    array = Columns(random.Random(4)).of(type_, 9)
    function = identity(type_, vectorized=True)
    table = pa.table({"x": pa.chunked_array([array[:5], array[5:]])})
    result = function.map(table, columns="x", keep=[])
    (column,) = result.to_table().columns if hasattr(result, "to_table") else result.columns
    assert column.type == type_
    found = [each for chunk in column.chunks for each in decoded_values(chunk)]
    assert found == decoded_values(array)


def test_table_functions_and_aggregates_take_and_give_the_declared_type() -> None:
    word, id_ = pa.dictionary(pa.int8(), pa.string()), pa.uuid()

    def twice(w, i):  # type: ignore[no-untyped-def]
        yield w, [i]
        yield w, None

    class Last:
        def __init__(self) -> None:
            self.last = None

        def step(self, x):  # type: ignore[no-untyped-def]
            self.last = x

        def finish(self):  # type: ignore[no-untyped-def]
            return self.last

    made = udfvm.table_function(
        twice, input_types=[word, id_], columns={"w": word, "ids": pa.list_view(id_)}
    )
    table = pa.Table.from_batches(made.batches("a", bytes(16)))
    assert table.schema.types == [word, pa.list_view(id_)]
    assert table["w"].to_pylist() == ["a", "a"]
    assert decoded_values(table["ids"].combine_chunks()) == [[bytes(16)], None]

    matrix = pa.list_(Meters("mm"))  # a type of a user that cannot be hashed
    kept = udfvm.table_function(
        twice, input_types=[matrix, id_], columns={"w": matrix, "ids": pa.list_(id_)}
    )
    assert pa.Table.from_batches(kept.batches([1.5], bytes(16))).schema.types[0] == matrix

    last = udfvm.aggregate(Last, input_types=[id_], output_type=id_)
    assert last(pa.array([bytes(16), b"0123456789abcdef"], id_)) == b"0123456789abcdef"
