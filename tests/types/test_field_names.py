"""Fields have any name that Arrow has, the same one too; structs may have no field, and what holds
others may hold nulls alone.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypedDict

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from arrow_udf_text import SAME, module
from hypothesis import given
from hypothesis import strategies as st
from nested_types import EQUAL_NAMES, ODD_NAMES, checked, identity, values

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm.codec.record_batches import BatchCodec
from udfvm.errors import ProtocolError
from udfvm.types.arrow_types import Parameter, ResultType, declared, named
from udfvm.types.nested import type_name

ODD = pa.struct([(name, pa.list_(pa.struct([(name, pa.int8())]))) for name in ODD_NAMES])
NULLS = pa.list_(pa.struct([("n", pa.null()), ("e", pa.struct([])), ("l", pa.list_(pa.null()))]))
_KINDS = {"odd names": ODD, "nulls": NULLS, "equal names": EQUAL_NAMES}


@checked
@given(st.lists(st.text(max_size=6), max_size=4), st.booleans())
def test_names_of_types_have_all_names_of_fields(names: list[str], nullable: bool) -> None:
    type_ = pa.struct([pa.field(name, pa.list_(pa.int8()), nullable) for name in names])
    text = type_name(pa.list_(type_))
    assert declared(text).as_declared.equals(pa.list_(type_))
    assert declared(pa.list_(type_)).as_declared.equals(pa.list_(type_))
    assert named(named(text).name) == named(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('struct<"x": int8, " y ": list<"z:": int8>>', ["x", " y "]),
        ('struct<"": int8, "a ""b""": timestamp[us, tz=UTC]>', ["", 'a "b"']),
        ('struct< "a, b: c" : int8 , d.e: int8>', ["a, b: c", "d.e"]),
        ("struct<>", []),
        ("struct<a: int8, a: null>", ["a", "a"]),
    ],
)
def test_names_in_quotes(text: str, names: list[str]) -> None:
    assert [field.name for field in declared(text).as_declared] == names


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("vectorized", [False, True], ids=["scalar", "vectorized"])
def test_columns_come_back_as_they_went(kind: str, vectorized: bool) -> None:
    type_ = _KINDS[kind]
    same = identity(type_, vectorized)

    @checked
    @given(st.lists(values(type_), max_size=12), st.integers(0, 4))
    def check(items: list[Any], start: int) -> None:
        whole = pa.array(items, type_)
        array = whole.slice(start)
        result = same(array)
        assert result.type == type_ and result.equals(array)
        chunked = pa.chunked_array([whole.slice(0, start), array], type_)
        assert same(chunked).equals(chunked)
        objects = np.empty(len(items), dtype=object)
        objects[:] = items
        assert same(objects).tolist() == items

    check()


@pytest.mark.parametrize("kind", _KINDS)
def test_values_come_back_as_they_went(kind: str) -> None:
    type_ = _KINDS[kind]
    same = identity(type_, False)

    @checked
    @given(values(type_))
    def check(value: Any) -> None:
        assert same(value) == value
        assert same(pa.array([value], type_)[0]) == value

    check()


@pytest.mark.parametrize("kind", _KINDS)
def test_in_compute_pipelines_and_sql(kind: str) -> None:
    type_ = _KINDS[kind]
    item = [("same", 1), ("same", ["x"]), ("c", {"x": 0.5, "name": None})]
    items: list[Any] = {
        "odd names": [{name: [{name: 1}, None] for name in ODD_NAMES}, None],
        "nulls": [[{"n": None, "e": {}, "l": [None, None]}, None], []],
        "equal names": [[item, None], []],
    }[kind]
    array = pa.array(items, type_)
    for vectorized in (False, True):
        same = identity(type_, vectorized)
        name = f"same_{kind}_{vectorized}".replace(" ", "_")
        udfvm.arrow.register(None, same, name=name)
        assert pc.call_function(name, [array]).equals(array)
        if vectorized:
            same = udfvm.udf(
                same.function,
                vectorized=True,
                elementwise=True,
                input_types=[type_],
                output_type=type_,
            )
        mapped = same.map(pa.table({"x": array}), columns=["x"])
        assert mapped.column(mapped.num_columns - 1).combine_chunks().equals(array)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, identity(type_, False))
    for value in items:
        text = None if value is None else json.dumps(value)
        ((result,),) = connection.execute("SELECT same(?)", (text,)).fetchall()
        if kind != "odd names" or value is None:  # JSON of SQLite has no NUL in keys
            assert (None if result is None else json.loads(result)) == json.loads(text or "null")


def test_structs_with_equal_names_take_pairs_in_their_order() -> None:
    same = identity(EQUAL_NAMES, False)
    for wrong in ([{"same": 1}], [[("same", 1), ("c", None), ("same", [])]], [[1, 2, 3]], [["ab"]]):
        with pytest.raises(
            udfvm.TypeMappingError, match="expected a list of pairs, of the names same, same, c"
        ):
            same(wrong)


class OfKeys(TypedDict("OfKeys", {"a:b": int, "": "Nothing"})):  # type: ignore[misc]
    pass


@dataclasses.dataclass
class Nothing:
    pass


def test_annotations_with_odd_keys_and_without_fields() -> None:
    @udfvm.udf
    def swapped(x: OfKeys) -> OfKeys:
        assert isinstance(x[""], Nothing)
        return {"a:b": x["a:b"] + 1, "": Nothing()}

    assert str(swapped.parameters[0].type) == 'struct<"a:b": int64, "": struct<>>'
    assert swapped({"a:b": 1, "": {}}) == {"a:b": 2, "": {}}


def test_modules_for_arrow_udf_have_odd_names() -> None:
    structs = {"S": "a \u00e9:int8,\u00a0:int8[],x.y:struct T", "T": "\u00a0x:int8"}
    text = module({"same(struct S)->struct S": SAME}, structs)
    type_ = 'struct<a \u00e9: int8, "\u00a0": list<item: int8>, x.y: struct<"\u00a0x": int8>>'
    value = {"a \u00e9": 1, "\u00a0": [2, None], "x.y": {"\u00a0x": 3}}
    for signature in (None, f"({type_}) -> {type_}"):
        same = udfvm.from_wasm(text, "same", signature=signature)
        assert str(same.result.type) == type_
        assert same(value) == value


@pytest.mark.parametrize("wrong", ["struct<>", "struct<a: i8, a: i8>"])
def test_compiled_code_has_fields_of_different_names(wrong: str) -> None:
    with pytest.raises(udfvm.SignatureError, match="fields of different names"):
        udfvm.from_wasm(module({"f(int8)->int8": SAME}), "f", signature=f"(x: {wrong}) -> i8")


# ---- Hostile replies ----


def _reply(codec: BatchCodec, array: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, codec.result_schema) as writer:
        writer.write_batch(pa.record_batch([array], schema=codec.result_schema))
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    "held",
    [pa.null(), pa.struct([]), pa.list_(pa.null(), 3), pa.list_(pa.int8(), 0)],
    ids=str,
)
@pytest.mark.parametrize("count", [2**21, 2**31 - 1])
def test_a_tiny_reply_cannot_claim_any_number_of_values(held: pa.DataType, count: int) -> None:
    type_ = pa.list_(pa.struct([("x", held)]))
    codec = BatchCodec(
        "f", [Parameter("x", declared("int64"), False)], ResultType(declared(type_), True)
    )
    honest = pa.array([[{"x": None}] * 1000], type_)
    assert codec.read(_reply(codec, honest), 1).equals(honest)
    rows = 2**20 if held == pa.list_(pa.null(), 3) else count
    items = pa.Array.from_buffers(
        pa.struct([("x", held)]),
        rows,
        [None],
        0,
        0,
        [pa.nulls(rows, pa.null())] if pa.types.is_null(held) else [_without_validity(held, rows)],
    )
    offsets = pa.py_buffer(np.array([0, rows], np.int32))
    claims = pa.Array.from_buffers(type_, 1, [None, offsets], 0, 0, [items])
    with pytest.raises(ProtocolError, match=r"values of type .* in its lists"):
        codec.read(_reply(codec, claims), 1)


def _without_validity(type_: pa.DataType, rows: int) -> pa.Array:
    children = None
    if type_.num_fields:
        children = [pa.nulls(type_.list_size * rows, type_.value_type)]
    return pa.Array.from_buffers(type_, rows, [None], 0, 0, children)
