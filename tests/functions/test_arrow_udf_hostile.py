"""Modules for arrow-udf that return files of other writers, and files that are damaged."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest
from arrow_udf_text import SAME, SAME_ROWS, STRUCTS, arrow_file, module

import udfvm
from udfvm import errors


def choosing(
    type_: str, files: Sequence[bytes], structs: Mapping[str, str] = STRUCTS
) -> udfvm.ScalarFunction:
    """A function that returns the file of the number that it is given."""
    offset = arrow_file(pa.array([0x5EADBEEF], pa.int32())).index(struct.pack("<i", 0x5EADBEEF))
    table, data = b"", b""
    start = 1024 + 8 * len(files)
    for file in files:
        table += struct.pack("<II", start + len(data), len(file))
        data += file + bytes(-len(file) % 8)
    body = f"""(i64.store (local.get $out) (i64.load offset=1024
        (i32.shl
          (i32.load (i32.add (local.get $at) (i32.const {offset}))) (i32.const 3))))
        (i32.const 0)"""
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
    # Of the only batch, in a vector of one.
    ((field, place),) = [(at, place) for at, place in places if 0 < place < footer]
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
            udfvm.UDFError,
            match="which are not an Arrow IPC file of 1 row with the declared result",
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
            udfvm.UDFError,
            match="which are not an Arrow IPC file of 1 row with the declared result",
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
        ({"A": "a:int32,a"}, "a, which is not a field of a struct"),
        ({"A": ""}, "which is not a field of a struct"),
        ({"A": "a<b:int32"}, "which is not a field of a struct"),
        ({"A": "a:interval"}, "interval, which UDFs do not support"),
        ({"A": "a:null"}, "null, which has no values"),
    ],
)
def test_structs_that_are_none(structs: dict[str, str], message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_wasm(module({"f(struct A)->int32": SAME}, structs), "f")


def test_names_that_two_fields_have() -> None:
    with pytest.raises((errors.SignatureError, errors.ProtocolError), match="different names"):
        udfvm.from_wasm(module({"f(struct A)->int32": SAME}, {"A": "a:int32,a:int32"}), "f")
    with pytest.raises(errors.SignatureError, match="SQL ignores case"):
        udfvm.from_wasm(module({"f(int32)->>struct A": SAME_ROWS}, {"A": "a:int32,A:int32"}), "f")
    many = ",".join(f"f{number}:int8" for number in range(101))
    with pytest.raises(errors.SignatureError, match="the function has more than 100 columns"):
        udfvm.from_wasm(module({"f(int32)->>struct A": SAME_ROWS}, {"A": many}), "f")
