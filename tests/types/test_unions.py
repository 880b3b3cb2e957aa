"""Unions are arguments and results, as values and in batches, in every engine."""

from __future__ import annotations

import json
from typing import Any

import apsw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nested_rows import last
from nested_types import checked, identity, values

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm.codec.record_batches import BatchCodec
from udfvm.errors import ProtocolError, TypeMappingError
from udfvm.types.array_values import to_values
from udfvm.types.arrow_types import Parameter, ResultType, declared, named
from udfvm.types.nested import type_name
from udfvm.types.unions import Chosen, array_of, null_count

NUMBER, TEXT = pa.field("number", pa.int64()), pa.field("a text", pa.string())
SPARSE = pa.sparse_union([NUMBER, TEXT], [5, 7])
DENSE = pa.dense_union([NUMBER, TEXT])
UNIONS = [
    SPARSE,
    DENSE,
    pa.dense_union(
        [
            pa.field("must", pa.bool_(), nullable=False),
            pa.field("point", pa.struct([("x", pa.float32()), ("u", SPARSE)])),
            pa.field("list", pa.list_(DENSE)),
            pa.field("pairs", pa.map_(pa.string(), pa.binary())),
            pa.field("nothing", pa.null()),
        ],
        [100, 3, 0, 127, 9],
    ),
    pa.sparse_union(
        [pa.field("", pa.list_(pa.date32(), 2)), pa.field("n", pa.sparse_union([TEXT]))]
    ),
]
HOLDERS = [
    pa.list_(SPARSE),
    pa.large_list(DENSE),
    pa.list_(UNIONS[2], 2),
    pa.struct([("d", DENSE), ("s", pa.struct([("s", SPARSE)]))]),
    pa.map_(pa.string(), UNIONS[2]),
]
ALL = [*UNIONS, *HOLDERS]
every_type = pytest.mark.parametrize("type_", ALL, ids=str)


def chosen(type_: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of a type, those of unions as ``array_of`` takes them."""
    if pa.types.is_union(type_):
        fields = [type_.field(index) for index in range(type_.num_fields)]
        return st.one_of(
            st.none(),
            *(
                (chosen(field.type) if field.nullable else _present(field.type)).map(
                    lambda value, index=index: Chosen(index, value)
                )
                for index, field in enumerate(fields)
            ),
        )
    return st.none() | _present(type_)


def _present(type_: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(type_):
        fields = [type_.field(index) for index in range(type_.num_fields)]
        return st.fixed_dictionaries({field.name: chosen(field.type) for field in fields})
    if pa.types.is_fixed_size_list(type_):
        size = type_.list_size
        return st.lists(chosen(type_.value_type), min_size=size, max_size=size)
    if pa.types.is_map(type_):
        keys = values(type_.key_type).filter(lambda key: key is not None)
        pairs = st.dictionaries(keys, chosen(type_.item_type), max_size=3)
        return pairs.map(lambda held: list(held.items()))
    if type_.num_fields:
        return st.lists(chosen(type_.value_type), max_size=3)
    return values(type_).filter(lambda value: value is not None or pa.types.is_null(type_))


def same_values(one: Any, other: Any) -> bool:
    return repr(to_values(one)) == repr(to_values(other))  # 1 is not True, nor 1.0


@every_type
@pytest.mark.parametrize("vectorized", [False, True], ids=["scalar", "vectorized"])
def test_columns_come_back_as_they_went(type_: pa.DataType, vectorized: bool) -> None:
    same = identity(type_, vectorized)

    @checked
    @given(st.lists(chosen(type_), max_size=9), st.integers(0, 4))
    def check(items: list[Any], start: int) -> None:
        whole = array_of(items, type_)
        whole.validate(full=True)
        array = whole.slice(start)
        result = same(array)
        result.validate(full=True)
        assert result.type.equals(type_, check_metadata=True) and same_values(result, array)
        # Calls with nulls are skipped, and children that may not be null have none.
        if vectorized and not null_count(array) and "not null" not in str(type_):
            assert result.equals(array)
        chunked = pa.chunked_array([whole.slice(0, start), array], type_)
        assert [value for chunk in same(chunked).chunks for value in to_values(chunk)] == [
            value for chunk in chunked.chunks for value in to_values(chunk)
        ]

    check()


@every_type
def test_values_come_back_as_they_went(type_: pa.DataType) -> None:
    same = identity(type_, False)

    @checked
    @given(chosen(type_))
    def check(item: Any) -> None:
        array = array_of([item], type_)
        (value,) = to_values(array)
        assert repr(same(value)) == repr(value)
        assert repr(same(array[0])) == repr(value)
        objects = np.empty(2, dtype=object)
        objects[:] = [value, None]
        assert repr(same(objects).tolist()) == repr([value, None])

    check()


@every_type
def test_table_functions_and_aggregates(type_: pa.DataType) -> None:
    function, rows = last(type_), _rows(type_)

    @checked
    @given(st.lists(chosen(type_), max_size=4))
    def check(items: list[Any]) -> None:
        column = array_of([None, *items], type_)
        counted = [value for value in to_values(column) if value is not None]
        assert function(column) == (counted[-1] if counted else None)
        if counted:
            assert [row[0] for row in rows(counted[0])] == [counted[0]]
        mapped = rows.map(pa.table({"x": column}), keep=[]).column("x")
        assert [each for chunk in mapped.chunks for each in to_values(chunk)] == counted

    check()


def _rows(type_: pa.DataType) -> udfvm.TableFunction:
    def rows(x):  # type: ignore[no-untyped-def]
        yield (x,)

    return udfvm.table_function(rows, columns={"x": type_}, input_types=[type_])


@every_type
def test_names(type_: pa.DataType) -> None:
    assert declared(type_).as_declared.equals(type_, check_metadata=True)
    assert declared(type_name(type_)).as_declared == type_
    assert named(named(type_name(type_)).name) == named(type_name(type_))


def test_text_declares_unions() -> None:
    fields = [pa.field("a=b", pa.int8(), nullable=False), pa.field("c", pa.list_(pa.string()))]
    text = 'union<"a=b": int8 not null{}, c: list<string>{}>'
    for mode in ("sparse", "dense"):
        for codes, written in (([0, 1], ("", "")), ([7, 2], ("=7", "= 2"))):
            assert declared(f"{mode}_{text.format(*written)}").as_declared == pa.union(
                fields, mode, codes
            )


@pytest.mark.parametrize(
    "wrong",
    [
        "dense_union<>",
        pa.sparse_union([]),
        pa.list_(pa.dense_union([])),
        "dense_union<int8>",
        "dense_union<a: int8=1, b: int8=1>",
        "dense_union<a: int8=1, b: int8>",
        "sparse_union<a: int8=128>",
        "sparse_union<a: nothing>",
        pa.map_(SPARSE, pa.int8()),
    ],
    ids=str,
)
def test_what_is_no_union(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is not a|has no name"):
        declared(wrong)


# ---- Engines and containers ----


@pytest.mark.parametrize("type_", [SPARSE, DENSE], ids=str)
def test_in_compute_and_pipelines(type_: pa.DataType) -> None:
    array = array_of([Chosen(0, 1), None, Chosen(1, "x"), Chosen(1, "")], type_)
    for vectorized in (False, True):
        name = f"same_{type_.mode}_{vectorized}"
        udfvm.arrow.register(None, identity(type_, vectorized), name=name)
        for each in (array, array.slice(1)):
            assert pc.call_function(name, [each]).to_pylist() == each.to_pylist()
    mapped = identity(type_, False).map(pa.table({"x": array}), columns=["x"])
    assert mapped.column(mapped.num_columns - 1).to_pylist() == array.to_pylist()


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (SPARSE, "1"),
        (SPARSE, '"x"'),
        (pa.dense_union([pa.field("b", pa.bool_()), NUMBER]), "1"),
        (pa.list_(DENSE), '[1,"x",null]'),
        (pa.struct([("a", SPARSE)]), '{"a":"x"}'),
        (UNIONS[2], '{"x":1.5,"u":"y"}'),
        (UNIONS[2], '{"other":"FF"}'),
        (pa.sparse_union([pa.field("d", pa.date32()), TEXT]), '"2026-01-02"'),
        (pa.sparse_union([pa.field("d", pa.date32()), TEXT]), '"no date"'),
    ],
    ids=str,
)
def test_in_sql(type_: pa.DataType, text: str) -> None:
    connection = apsw.Connection(":memory:")
    vectorized = identity(type_, True).with_options(name="column_same")
    udfvm.sqlite.register(connection, identity(type_, False), vectorized)
    udfvm.sqlite.register(connection, _rows(type_), name="rows_same")
    for sql in (
        "SELECT same(?)",
        "SELECT value FROM vm_map('same', 'SELECT 1, ' || quote(?))",
        "SELECT value FROM vm_map('column_same', 'SELECT 1, ' || quote(?))",
        "SELECT x FROM rows_same(?)",
    ):
        ((result,),) = connection.execute(sql, (text,)).fetchall()
        assert json.loads(result) == json.loads(text), sql


def test_in_other_libraries() -> None:
    array = array_of([Chosen(0, 1), None, Chosen(1, "x")], DENSE)
    same = identity(DENSE, True)
    series = pd.Series(array.to_pylist(), dtype=object, index=[3, 4, 5])
    result = same(series)
    assert result.tolist() == [1, None, "x"] and result.index.equals(series.index)
    for type_ in (DENSE, pa.list_(DENSE)):
        value = ["a"] if type_ is not DENSE else "a"
        made = udfvm.udf(lambda x: value, name="made", input_types=["string"], output_type=type_)  # noqa: B023
        with pytest.raises(TypeMappingError, match="which polars cannot hold"):
            made(pl.Series(["a"]))
        for dtype in (object, pd.ArrowDtype(pa.string())):
            result = made(pd.Series(["b"], dtype=dtype))
            assert result.tolist() == [value] and str(result)


# ---- Hostile replies ----


@pytest.mark.parametrize(
    ("codes", "offsets", "message"),
    [
        (b"\x05\x05", [0, 1], None),
        (b"\x05\x05", [0, 0], None),
        (b"\x05\x07", [0, 0], None),
        (b"\x05\x06", [0, 0], "invalid type id"),
        (b"\x05\xff", [0, 0], "invalid type id"),
        (b"\x05\x05", [0, 2], "offset"),
        (b"\x05\x05", [-1, 0], "offset"),
        (b"\x05\x05", [1, 0], "offset"),
        (b"\x05\x07", [0, 1], "offset"),
        (b"\x05\x07", [2**31 - 1, 0], "offset"),
    ],
)
def test_codes_and_offsets_of_replies(
    codes: bytes, offsets: list[int], message: str | None
) -> None:
    type_ = pa.dense_union([NUMBER, TEXT], [5, 7])
    codec = BatchCodec(
        "f", [Parameter("x", named("int64"), False)], ResultType(declared(type_), True)
    )
    children = [pa.array([1, 2], pa.int64()), pa.array(["x"])]
    places = pa.array(offsets, pa.int32()).buffers()[1]
    array = pa.Array.from_buffers(type_, 2, [None, pa.py_buffer(codes), places], 0, 0, children)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, codec.result_schema) as writer:
        writer.write_batch(pa.record_batch([array], schema=codec.result_schema))
    reply = sink.getvalue().to_pybytes()
    if message is None:
        made = codec.read(reply, 2)
        made.validate(full=True)
        assert made.to_pylist() == array.to_pylist()
        return
    with pytest.raises(ProtocolError, match=message):
        codec.read(reply, 2)
