"""Structs and lists of modules for arrow-udf: modules that return the file that they are given, or
one of many files that are damaged.
"""

from __future__ import annotations

import base64
import datetime
import json
import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors

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
          (else (i64.store (local.get $out) (i64.load (local.get $iterator))) (global.set $done (i32.const 1)))))
      (func (export "record_batch_iterator_drop") (param i32) (global.set $done (i32.const 0)))
      {" ".join(definitions)})"""


#: Returns the file that it is given.
SAME = (
    "(i32.store (local.get $out) (local.get $at)) (i32.store offset=4 (local.get $out) (local.get"
    " $length)) (i32.const 0)"
)
#: Yields the file that it is given, once. The iterator is a slice with it.
SAME_ROWS = """(i32.store (i32.const 64) (local.get $at)) (i32.store (i32.const 68) (local.get $length))
    (i32.store (local.get $out) (i32.const 64)) (i32.store offset=4 (local.get $out) (i32.const 8)) (i32.const 0)"""


def same(type_: str, **options: Any) -> udfvm.ScalarFunction:
    return udfvm.from_wasm(module({f"same({type_})->{type_}": SAME}), "same", **options)


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


@pytest.mark.parametrize("type_", ARROW)
def test_batches_come_back_as_they_went(type_: str) -> None:
    udf = same(type_)
    assert repr(udf) == f"<UDF same(a0: {ARROW[type_]} | null) -> {ARROW[type_]}>"
    arrow, chance = udf.parameters[0].type.arrow, random.Random(type_)
    rows = [value(arrow, chance) for _ in range(90)]
    column = pa.array(rows, arrow)
    assert udf(column).equals(column)
    assert udf(column.slice(3, 17)).equals(column.slice(3, 17))
    assert udf(column.slice(0, 0)).to_pylist() == []
    assert [udf(row) for row in rows[:6]] == rows[:6]


OLD_NAMES = {
    "boolean": "bool",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float4": "float",
    "float8": "double",
    "varchar": "string",
    "bytea": "binary",
    "date": "date32[day]",
    "timestamp": "timestamp[us]",
    "json": "large_string",
    "decimal": "large_binary",
    "int8[]": "list<item: int64>",
    "struct Old": "struct<a: int64, b: list<item: string>>",
}


@pytest.mark.parametrize("version", ["1_0", "2_0"])
@pytest.mark.parametrize("type_", OLD_NAMES)
def test_types_of_older_versions_of_the_abi(type_: str, version: str) -> None:
    text = module({f"same({type_})->{type_}": SAME}, {"Old": "a:int8,b:varchar[]"}).replace(
        "VERSION_3_0", f"VERSION_{version}"
    )
    udf, chance = udfvm.from_wasm(text, "same"), random.Random(type_)
    assert repr(udf) == f"<UDF same(a0: {OLD_NAMES[type_]} | null) -> {OLD_NAMES[type_]}>"
    arrow = udf.parameters[0].type.arrow
    column = pa.array([value(arrow, chance) for _ in range(50)], arrow)
    assert udf(column).equals(column)


@pytest.mark.parametrize(
    ("version", "type_"),
    [("2_0", "int64"), ("2_0", "string"), ("1_0", "uint8"), ("3_0", "int4"), ("3_0", "bytea")],
)
def test_names_of_other_versions_are_not_taken(version: str, type_: str) -> None:
    text = module({f"f(boolean)->{type_}": SAME}).replace("VERSION_3_0", f"VERSION_{version}")
    with pytest.raises(errors.SignatureError, match=f"takes or returns {type_}, which no UDF can"):
        udfvm.from_wasm(text, "f")


def test_large_batches() -> None:
    udf = same("struct Outer")
    arrow, chance = udf.parameters[0].type.arrow, random.Random(0)
    column = pa.array([value(arrow, chance) for _ in range(500)] * 40, arrow)
    assert udf(column).equals(column)


@pytest.mark.parametrize("isolation", ["row", "statement"])
def test_json_in_sql(isolation: str) -> None:
    connection = apsw.Connection(":memory:")
    text = module(
        {
            f"{name}({type_})->{type_}": SAME
            for name, type_ in (("mixed", "struct Mixed"), ("outer", "struct Outer"))
        }
    )
    udfvm.sqlite.register(
        connection,
        *(udfvm.from_wasm(text, name, isolation=isolation) for name in ("mixed", "outer")),
    )  # type: ignore[arg-type]
    chance = random.Random(1)
    outer = same("struct Outer").parameters[0].type.arrow
    rows = [value(outer, chance) for _ in range(30)]
    found = connection.execute(
        "SELECT outer(value) FROM json_each(?)", (json.dumps(rows),)
    ).fetchall()
    assert [None if text is None else json.loads(text) for (text,) in found] == rows
    for given, expected in (
        (
            '{"d": "2024-02-29", "t": "2024-02-29T12:30"}',
            {"d": "2024-02-29", "t": "2024-02-29T12:30:00"},
        ),
        (
            '{"d": "0001-01-01", "t": "1969-12-31 23:59:59.000001Z"}',
            {"d": "0001-01-01", "t": "1969-12-31T23:59:59.000001"},
        ),
        (
            '{"d": "-0044-03-15", "t": "9999-12-31T00:00:00.5"}',
            {"d": "-0044-03-15", "t": "9999-12-31T00:00:00.500000"},
        ),
        ('{"y": "c3A9", "j": "[1]", "f": 0.1}', {"y": "C3A9", "j": "[1]", "f": 0.1}),
    ):
        (text,) = connection.execute("SELECT mixed(?)", (given,)).fetchall()[0]
        assert (
            json.loads(text)
            == dict.fromkeys(("b", "i8", "u64", "f", "s", "y", "d", "t", "j")) | expected
        )
    for bad in ("2023-02-29", "2024-13-01", "2024-1-01", "20240101", "2024-01-01T00:00"):
        with pytest.raises(apsw.SQLError, match="at byte 5 of its JSON a date such as"):
            connection.execute("SELECT mixed(json_object('d', ?))", (bad,)).fetchall()
    for bad in (
        "2024-01-01",
        "2024-01-01T24:00",
        "2024-01-01T00:60",
        "2024-01-01T00:00:00.0000001",
        "2024-01-01T00:00+01:00",
    ):
        with pytest.raises(apsw.SQLError, match="at byte 5 of its JSON a time such as"):
            connection.execute("SELECT mixed(json_object('t', ?))", (bad,)).fetchall()


@pytest.mark.parametrize("isolation", ["row", "statement"])
def test_large_texts_and_bytes_in_sql(isolation: str) -> None:
    connection = apsw.Connection(":memory:")
    for name, type_ in (
        ("texts", "largestring"),
        ("blobs", "largebinary"),
        ("structs", "struct Large"),
    ):
        text = module({f"{name}({type_})->{type_}": SAME})
        udfvm.sqlite.register(connection, udfvm.from_wasm(text, name, isolation=isolation))  # type: ignore[arg-type]
    for query in ("SELECT {}(?)", "SELECT value FROM vm_map('{}', 'SELECT 1, ?1', ?1)"):
        for name, values in (("texts", ("", "añ", None)), ("blobs", (b"", b"\0\xff", None))):
            assert [
                connection.execute(query.format(name), (given,)).fetchall() for given in values
            ] == [[(given,)] for given in values]
    given = '{"s":"añ","y":"00FF","l":["C3",null,""]}'
    assert connection.execute("SELECT structs(?)", (given,)).fetchall() == [(given,)]
    many = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 30) SELECT"
        " texts('row ' || x) FROM n"
    )
    assert connection.execute(many).fetchall() == [(f"row {x}",) for x in range(1, 31)]


def test_large_types_elsewhere(tmp_path: Path) -> None:
    rows = rows_of(["struct Large"])
    assert repr(rows).endswith(" -> (s: large_string, y: large_binary, l: json)>")
    assert list(rows(0, {"s": "añ", "y": b"\0", "l": [b"a"]})) == [("añ", b"\0", '["61"]')]
    declared = same("largestring", signature="(large_string) -> large_string")
    assert declared(pa.array(["a", None], pa.large_string())).to_pylist() == ["a", None]
    with pytest.raises(
        errors.SignatureError, match="there is no function same of the declared types"
    ):
        same("largestring", signature="(text) -> text")
    (tmp_path / "object.so").write_bytes(b"\x7fELF")
    with pytest.raises(
        errors.SignatureError,
        match="a0 is large_string, which functions of shared objects have not: use text and blob",
    ):
        udfvm.from_elf(tmp_path / "object.so", "f", signature="(large_string) -> i64")


def test_nulls_and_declared_types() -> None:
    declared = "(p: struct<x: f64, y: f64>) -> struct<x: f64, y: f64>"
    strict = same("struct Point", signature=declared)
    point = {"x": 1.0, "y": None}
    assert strict(pa.array([point, None], strict.parameters[0].type.arrow)).to_pylist() == [
        point,
        None,
    ]
    loose = same("struct Point", signature=declared.replace(") ->", "?) ->"))
    with pytest.raises(
        udfvm.UDFError,
        match="row 1: TypeError: the function returned a null, and the declared result has no",
    ):
        loose(pa.array([point, None], loose.parameters[0].type.arrow))
    with pytest.raises(
        errors.SignatureError, match="there is no function same of the declared types"
    ):
        same("struct Point", signature=declared.replace("y: f64", "z: f64"))


# ---- Table functions ----


def rows_of(types: Sequence[str]) -> udfvm.TableFunction:
    made = udfvm.from_wasm(module({f"rows(int32,{types[0]})->>{types[-1]}": SAME_ROWS}), "rows")
    assert isinstance(made, udfvm.TableFunction)
    return made


def test_a_table_of_several_columns() -> None:
    rows = rows_of(["struct Outer"])
    columns = "name: string, point: json, points: json, tags: json, numbers: json"
    assert (
        repr(rows)
        == f"<table UDF rows(a0: int32 | null, a1: {ARROW['struct Outer']} | null) -> ({columns})>"
    )
    outer = {
        "name": "é",
        "point": {"x": 1.0, "y": None},
        "points": [None, {"x": 0.5, "y": 2.0}],
        "tags": [],
        "numbers": [[1], None],
    }
    ((name, *texts),) = list(rows(0, outer))
    assert name == "é"
    assert [json.loads(text) for text in texts] == list(outer.values())[1:]
    assert list(rows(0, None)) == [(None,) * 5]
    assert list(rows(0, {"name": "n"})) == [("n", None, None, None, None)]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows)
    query = "SELECT c1, c2 ->> 'x', c3, c4, c5 FROM vm_table('rows', 0, ?)"
    assert connection.execute(query, (json.dumps(outer),)).fetchall() == [
        ("é", 1.0, '[null,{"x":0.5,"y":2.0}]', "[]", "[[1],null]")
    ]
    with pytest.raises(apsw.SQLError, match="an object is expected"):
        connection.execute(query, ("[]",)).fetchall()


def test_a_table_with_declared_types() -> None:
    text = module({"rows(int32,struct Point)->>struct Point": SAME_ROWS})
    rows = udfvm.from_wasm(text, "rows", signature=f"(number: i32, place: {POINT}?) -> {POINT}")
    assert (
        repr(rows)
        == f"<table UDF rows(number: int32, place: {POINT} | null) -> (x: double, y: double)>"
    )
    assert list(rows(0, {"x": 1.0})) == [(1.0, None)]
    with pytest.raises(
        udfvm.UDFError,
        match="TypeError: the function returned a null, and the declared result has no",
    ):
        list(rows(0, None))


def test_a_table_function_whose_module_hides_what_it_is() -> None:
    """The host does not read escapes of the text format: a micro-VM tells what the module is."""
    text = module({"rows(int32,int8)->>int8": SAME_ROWS}).replace("ARROWUDF", r"\41RROWUDF")
    assert list(udfvm.from_wasm(text, "rows")(0, 5)) == [(5,)]
    declared = udfvm.from_wasm(text, "rows", signature="(i32, i8) -> i8")
    assert isinstance(declared, udfvm.TableFunction)
    assert list(declared(0, 5)) == [(5,)]


def test_a_table_of_simple_columns() -> None:
    structs = {"Row": STRUCTS["Mixed"].replace("u64:uint64", "u32:uint32")}
    rows = udfvm.from_wasm(
        module({"rows(int32,struct Row)->>struct Row": SAME_ROWS}, structs), "rows"
    )
    row = {
        "b": True,
        "i8": -1,
        "u32": 2**32 - 1,
        "f": 0.5,
        "s": "a",
        "y": b"\0",
        "d": datetime.date(2024, 2, 29),
        "t": datetime.datetime(2024, 1, 1, 12, 0, 0, 5),
        "j": "[1]",
    }
    assert list(rows(0, row)) == [tuple(row.values())]
    assert list(rows(0, row | dict.fromkeys("bsd"))) == [
        tuple((row | dict.fromkeys("bsd")).values())
    ]
    with pytest.raises(
        errors.SignatureError,
        match="column 'u64' is uint64, which table functions and aggregates do not have",
    ):
        rows_of(["struct Mixed"])


def test_a_table_of_dates() -> None:
    assert list(rows_of(["date32"])(0, datetime.date(2024, 2, 29))) == [
        (datetime.date(2024, 2, 29),)
    ]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows_of(["timestamp"]))
    assert connection.execute("SELECT c1 FROM vm_table('rows', 0, -5)").fetchall() == [(-5,)]


def test_a_table_of_lists() -> None:
    rows = rows_of(["int32[]"])
    assert (
        repr(rows)
        == "<table UDF rows(a0: int32 | null, a1: list<item: int32> | null) -> (value: json)>"
    )
    assert list(rows(0, [1, None, 3])) == [("[1,null,3]",)]
    with pytest.raises(
        errors.TypeMappingError,
        match="an argument that is a list or struct: Out of range float values",
    ):
        list(rows_of(["float64[]"])(0, [float("inf")]))


# ---- Hostile modules ----


def arrow_file(column: pa.Array, *more: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_arrays(
        [column, *more], names=[f"c{index}" for index in range(1 + len(more))]
    )
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def choosing(
    type_: str, files: Sequence[bytes], structs: Mapping[str, str] = STRUCTS
) -> udfvm.ScalarFunction:
    """A function that returns the file of the number that it is given."""
    place = arrow_file(pa.array([0x5EADBEEF], pa.int32())).index(struct.pack("<i", 0x5EADBEEF))
    table, data = b"", b""
    start = 1024 + 8 * len(files)
    for file in files:
        table += struct.pack("<II", start + len(data), len(file))
        data += file + bytes(-len(file) % 8)
    body = f"""(i64.store (local.get $out) (i64.load offset=1024
        (i32.shl (i32.load (i32.add (local.get $at) (i32.const {place}))) (i32.const 3)))) (i32.const 0)"""
    return udfvm.from_wasm(module({f"pick(int32)->{type_}": body}, structs, table + data), "pick")


OUTER = pa.array(
    [
        {
            "name": "é",
            "point": {"x": 1.0},
            "points": [None, {"x": 0.5, "y": 2.0}],
            "tags": ["a", "bc"],
            "numbers": [[1], None, []],
        }
    ],
    pa.struct(
        [
            ("name", pa.string()),
            ("point", pa.struct([("x", pa.float64()), ("y", pa.float64())])),
            ("points", pa.list_(pa.struct([("x", pa.float64()), ("y", pa.float64())]))),
            ("tags", pa.list_(pa.string())),
            ("numbers", pa.list_(pa.list_(pa.int16()))),
        ]
    ),
)


def test_files_of_other_writers() -> None:
    """Magic and messages may be padded otherwise, and buffers lie anywhere."""
    file = arrow_file(OUTER)
    (footer_length,) = struct.unpack_from("<i", file, len(file) - 10)
    footer = len(file) - 10 - footer_length
    moved = bytearray(file[:8] + bytes(56) + file[8:])
    ones = [at for at in range(footer, len(file) - 12) if file[at : at + 4] == b"\1\0\0\0"]
    places = [(at + 4, struct.unpack_from("<q", file, at + 4)[0]) for at in ones]
    ((field, place),) = [
        (at, place) for at, place in places if 0 < place < footer
    ]  # of the only batch, in a vector of one
    struct.pack_into("<q", moved, field + 56, place + 56)
    udf = choosing("struct Outer", [file, bytes(moved)])
    assert udf(0) == udf(1) == OUTER[0].as_py()


def test_damaged_files() -> None:
    """Whatever a module returns, the call ends with a result of the declared type or with an error
    of the function.
    """
    file, chance = arrow_file(OUTER, pa.array([None], pa.string())), random.Random(7)
    files = [file]
    for _ in range(1500):
        damaged = bytearray(file)
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randrange(len(damaged))
            damaged[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        files.append(bytes(damaged))
    files += [file[:length] for length in range(0, len(file), 97)]
    udf = choosing("struct Outer", files)
    assert udf(0) == OUTER[0].as_py()
    outcomes = {"result": 0, "error": 0}
    for number in range(len(files)):
        try:
            udf(number)
            outcomes["result"] += 1
        except udfvm.UDFError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 100


def test_offsets_and_lengths_that_lie() -> None:
    good = arrow_file(pa.array([[1, 2, 3, 4]], pa.list_(pa.int32())))
    offsets, items = struct.pack("<2i", 0, 4), struct.pack("<4i", 1, 2, 3, 4)
    assert good.count(offsets + items) == 1
    files = [
        good.replace(offsets + items, struct.pack("<2i", *pair) + items)
        for pair in ((0, 4), (1, 3), (0, 5), (-1, 4), (3, 2), (0, -1), (2**30, 2**31 - 1))
    ]
    udf = choosing("int32[]", [*files, arrow_file(pa.array([[1], [2]], pa.list_(pa.int32())))])
    assert [udf(0), udf(1)] == [[1, 2, 3, 4], [2, 3]]
    for number in range(2, 8):
        with pytest.raises(
            udfvm.UDFError, match="which are no Arrow IPC file of 1 rows with the declared result"
        ):
            udf(number)
    good, wide = arrow_file(pa.array(["abcde"], pa.large_string())), struct.pack("<2q", 0, 5)
    assert good.count(wide + b"abcde") == 1
    files = [
        good.replace(wide, struct.pack("<2q", *pair))
        for pair in ((0, 5), (1, 3), (0, 2**40), (-1, 5), (3, 2), (0, 2**63 - 1))
    ]
    udf = choosing("largestring", files)
    assert [udf(0), udf(1)] == ["abcde", "bc"]
    for number in range(2, 6):
        with pytest.raises(
            udfvm.UDFError, match="which are no Arrow IPC file of 1 rows with the declared result"
        ):
            udf(number)
    texts = arrow_file(pa.array([["ab"]])).replace(b"ab\0\0", b"\xff\xfe\0\0")
    with pytest.raises(udfvm.UDFError, match="text that is not valid UTF-8"):
        choosing("string[]", [texts])(0)
    large = arrow_file(pa.array(["ab"], pa.large_string())).replace(b"ab\0\0", b"\xff\xfe\0\0")
    with pytest.raises(udfvm.UDFError, match="text that is not valid UTF-8"):
        choosing("largestring", [large])(0)


@pytest.mark.parametrize(
    ("structs", "message"),
    [
        ({"A": "a:struct B"}, "struct B, which the module does not describe"),
        ({"A": "a:struct A"}, "nested too deep or too large"),
        ({"A": "a:struct A[]"}, "nested too deep or too large"),
        (
            {
                "A": "a:struct B,b:struct B,c:struct B",
                **{
                    chr(66 + i): ",".join(f"{f}:struct {chr(67 + i)}" for f in "abc")
                    for i in range(20)
                },
                "V": "a:int8",
            },
            "nested too deep or too large",
        ),
        ({"A": "a:int32,a"}, "a, which is no field of a struct"),
        ({"A": ""}, "which is no field of a struct"),
        ({"A": "a<b:int32"}, "which is no field of a struct"),
        ({"A": "a:interval"}, "interval, which no UDF can"),
        ({"A": "a:null"}, "null, which has no values"),
    ],
)
def test_structs_that_are_none(structs: dict[str, str], message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_wasm(module({"f(struct A)->int32": SAME}, structs), "f")


def test_names_that_two_fields_have() -> None:
    with pytest.raises((errors.SignatureError, errors.ProtocolError), match="of different names"):
        udfvm.from_wasm(module({"f(struct A)->int32": SAME}, {"A": "a:int32,a:int32"}), "f")
    with pytest.raises(errors.SignatureError, match="case does not count in SQL"):
        udfvm.from_wasm(module({"f(int32)->>struct A": SAME_ROWS}, {"A": "a:int32,A:int32"}), "f")
    many = ",".join(f"f{number}:int8" for number in range(101))
    with pytest.raises(errors.SignatureError, match="the function has more than 100 columns"):
        udfvm.from_wasm(module({"f(int32)->>struct A": SAME_ROWS}, {"A": many}), "f")
