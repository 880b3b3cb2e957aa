"""Modules for arrow-udf as text, for tests: their structs, and functions that return the file that
they are given; and values of Arrow's types.
"""

from __future__ import annotations

import base64
import datetime
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

import udfvm

STRUCTS = {
    "Point": "x:float64,y:float64",
    "Mixed": "b:boolean,i8:int8,u64:uint64,f:float32,s:string,y:binary,d:date32,t:timestamp,j:json",
    "Outer": "name:string,point:struct Point,points:struct Point[],tags:string[],numbers:int16[][]",
    "Größe": "länge:int64",
    "Large": "s:largestring,y:largebinary,l:largebinary[]",
}
POINT = "struct<x: double, y: double>"
ARROW = {
    "int32[]": "list<item: int32>",
    "string[]": "list<item: string>",
    "boolean[][]": "list<item: list<item: bool>>",
    "binary[]": "list<item: binary>",
    "struct Point": POINT,
    "struct Point[]": f"list<item: {POINT}>",
    "struct Größe": "struct<länge: int64>",
    "struct Mixed": (
        "struct<b: bool, i8: int8, u64: uint64, f: float, s: string, y: binary, d: date32[day], t:"
        " timestamp[us], j: string>"
    ),
    "date32": "date32[day]",
    "timestamp": "timestamp[us]",
    "largestring": "large_string",
    "largebinary": "large_binary",
    "largestring[]": "list<item: large_string>",
    "struct Large": "struct<s: large_string, y: large_binary, l: list<item: large_binary>>",
    "struct Outer": (
        f"struct<name: string, point: {POINT}, points: list<item: {POINT}>, tags: list<item:"
        " string>, numbers: list<item: list<item: int16>>>"
    ),
}


def encoded(prefix: str, text: str) -> str:
    return prefix + base64.b64encode(text.encode(), b"$_").rstrip(b"=").decode()


def function(signature: str) -> str:
    return encoded("arrowudf_", signature)


def module(
    functions: Mapping[str, str],
    structs: Mapping[str, str] = STRUCTS,
    data: bytes = b"",
    memory: int = 64,
) -> str:
    """A module with functions of these bodies; $at, $length and $out are their parameters. Memory
    is never reused.
    """
    definitions = [
        f'(func (export "{function(signature)}") (param $at i32) (param $length i32) (param $out'
        f" i32) (result i32) {body})"
        for signature, body in functions.items()
    ]
    definitions += [
        f'(global (export "{encoded("arrowudt_", f"{name}={fields}")}") i32 (i32.const 0))'
        for name, fields in structs.items()
    ]
    text = "".join(f"\\{byte:02x}" for byte in data)
    return f"""(module
      (memory (export "memory") {memory + len(data) // 65536})
      (data (i32.const 1024) "{text}")
      (global $free (mut i32) (i32.const {len(data) + 2048 & ~7}))
      (global $done (mut i32) (i32.const 0))
      (global (export "ARROWUDF_VERSION_3_0") i32 (i32.const 0))
      (func (export "alloc") (param i32 i32) (result i32) (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
        (global.set $free (i32.add (local.get $at) (local.get 0)))
        (local.get $at))
      (func (export "dealloc") (param i32 i32 i32))
      (func (export "record_batch_iterator_next") (param $iterator i32) (param $out i32)
        (if (global.get $done) (then (i64.store (local.get $out) (i64.const 0)))
          (else
            (i64.store (local.get $out) (i64.load (local.get $iterator)))
            (global.set $done (i32.const 1)))))
      (func (export "record_batch_iterator_drop") (param i32) (global.set $done (i32.const 0)))
      {" ".join(definitions)})"""


#: Returns the file that it is given.
SAME = (
    "(i32.store (local.get $out) (local.get $at)) (i32.store offset=4 (local.get $out) (local.get"
    " $length)) (i32.const 0)"
)
#: Yields the file that it is given, once. The iterator is a slice with it.
SAME_ROWS = """
    (i32.store (i32.const 64) (local.get $at)) (i32.store (i32.const 68) (local.get $length))
    (i32.store (local.get $out) (i32.const 64)) (i32.store offset=4 (local.get $out) (i32.const 8))
    (i32.const 0)"""


def same(type_: str, **options: Any) -> udfvm.ScalarFunction:
    return udfvm.from_wasm(module({f"same({type_})->{type_}": SAME}), "same", **options)


def rows_of(types: Sequence[str]) -> udfvm.TableFunction:
    made = udfvm.from_wasm(module({f"rows(int32,{types[0]})->>{types[-1]}": SAME_ROWS}), "rows")
    assert isinstance(made, udfvm.TableFunction)
    return made


def arrow_file(column: pa.Array, *more: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_arrays(
        [column, *more], names=[f"c{index}" for index in range(1 + len(more))]
    )
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def value(type_: pa.DataType, chance: random.Random) -> Any:
    if chance.random() < 0.15:
        return None
    if pa.types.is_struct(type_):
        return {
            type_.field(index).name: value(type_.field(index).type, chance)
            for index in range(type_.num_fields)
        }
    if pa.types.is_list(type_):
        return [value(type_.value_type, chance) for _ in range(chance.choice((0, 1, 3)))]
    if pa.types.is_integer(type_):
        signed = str(type_).startswith("i")
        low = -(2 ** (type_.bit_width - 1)) if signed else 0
        return chance.choice((low, low + 2**type_.bit_width - 1, 0, 7))
    leaves: dict[pa.DataType, Any] = {
        pa.bool_(): chance.random() < 0.5,
        pa.float32(): chance.choice((0.5, -1e10)),
        pa.float64(): chance.random(),
        pa.string(): chance.choice(("", "añ", 'a"\n🙂')),
        pa.binary(): chance.randbytes(3),
        pa.large_string(): chance.choice(("", "añ")),
        pa.large_binary(): chance.randbytes(chance.randrange(4)),
        pa.date32(): datetime.date(2024, 2, 29) - datetime.timedelta(chance.randint(0, 30_000)),
        pa.timestamp("us"): (
            datetime.datetime(1969, 12, 31, 23, 59, 59, 5)
            + datetime.timedelta(microseconds=chance.randint(0, 2**50))
        ),
    }
    return leaves[type_]
