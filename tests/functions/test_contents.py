"""What is in a file of compiled code: functions with their signatures, and what they need."""

from __future__ import annotations

import contextlib
import gzip
import json
import struct
from pathlib import Path

import arrow_udf_text
import pytest
import wasmtime
from click.testing import CliRunner
from native_programs import build

import udfvm
from udfvm import errors
from udfvm.cli import commands
from udfvm.functions.contents import read_contents

MODULE = """
(module
  (import "env" "price" (func $price (param f64 i32) (result f64)))
  (import "env" "memory" (memory 1))
  (import "env" "abort" (func (param i32 i32 i32 i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
  (func (export "f") (param i32 v128) (result i32 f32) unreachable)
  (func (export "g") (param i64))
  (func (export "of references") (param externref))
  (func (export "_start")))
"""
NO_VALUE = (
    "which cannot be a value outside of the module: export a function over i32, i64, f32, f64 and"
    " v128"
)
COMPONENT = """
(component
  (import "a:b/c" (instance $i (export "call-me" (func (result s8)))))
  (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64)))))
  (core func $call (canon lower (func $i "call-me")))
  (core module $m (import "w" "f" (func $f (result i32)))
    (func (export "f") (param i32) (result i32) (call $f)))
  (core instance $n (instantiate $m (with "w" (instance (export "f" (func $call))))))
  (func $same (param "the-list" s8) (result s8) (canon lift (core func $n "f")))
  (export "same" (func $same))
  (instance $e (export "inner" (func $same)))
  (export "d:e/f" (instance $e)))
"""


def test_functions_of_a_module() -> None:
    needs = ("env.price",)  # the memory is made, if modules= has none
    assert [tuple(each) for each in udfvm.wasm.exports(MODULE)] == [
        ("f", "function", "(a0: i32, a1: blob) -> struct<0: int32, 1: float>", True, needs),
        ("g", "function", "(a0: i64) -> bool?", True, needs),
        (
            "of references",
            f"parameter 1 is externref, {NO_VALUE}",
            None,
            False,
            needs,
        ),
        ("_start", "WASI command", "(stdin: text) -> text", True, needs),
    ]


def test_functions_of_a_component() -> None:
    kind, needs = "function of a component", ("a:b/c#call-me",)
    assert [tuple(each) for each in udfvm.wasm.exports(COMPONENT.encode())] == [
        ("same", kind, "(the_list: i8) -> i8", True, needs),
        ("d:e/f#inner", kind, "(the_list: i8) -> i8", True, needs),
    ]


def test_functions_for_arrow_udf() -> None:
    same = "same(int32)->int32"
    module = arrow_udf_text.module({same: arrow_udf_text.SAME})
    kind = "function for arrow-udf"
    assert [tuple(each)[:4] for each in udfvm.wasm.exports(module)] == [
        (same, kind, "(a0: i32?) -> i32?", True)
    ]


def test_a_signature_of_the_list_is_one_that_a_function_takes() -> None:
    exports = udfvm.wasm.exports(
        '(module (func (export "f") (param f32 i64) (result f32 i64) local.get 0 local.get 1))'
    )
    (found,) = exports
    udf = udfvm.from_wasm(
        '(module (func (export "f") (param f32 i64) (result f32 i64) local.get 0 local.get 1))',
        found.name,
        signature=found.signature,
    )
    assert udf(0.5, 2**40) == {"0": 0.5, "1": 2**40}


NATIVE = r"""
#include <udfvm.h>
UDFVM_SCALAR(score, optional_f64, (f64, a), (optional_text, b))
{
    return b.valid ? udfvm_some_f64(a) : udfvm_null_f64();
}
UDFVM_VECTOR(steps, i8, (blob, data)) { (void)arguments, (void)result; }
double plain(double x) { return x; }
int number;
#ifdef PROGRAM
int main(void) { return udfvm_serve(); }
#endif
"""
INSPECTED = [
    {"name": "plain", "kind": "plain function", "signature": None, "usable": True},
    {
        "name": "score",
        "kind": "function",
        "signature": "(a: f64, b: text?) -> f64?",
        "usable": True,
    },
    {
        "name": "steps",
        "kind": "vector function",
        "signature": "(data: blob) -> i8",
        "usable": True,
    },
]


def inspected(*arguments: str) -> str:
    done = CliRunner().invoke(commands, ["inspect", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_command_on_elf(tmp_path: Path) -> None:
    shared = build(tmp_path, ["gcc", "-shared", "-fPIC"], NATIVE)
    found = json.loads(inspected(str(shared), "--json"))
    assert found["file"] == str(shared) and found["language"] == "native"
    assert found["functions"] == INSPECTED
    assert "plain needs signature= [plain function]\n" in inspected(str(shared))
    program = build(tmp_path, ["gcc", "-DPROGRAM"], NATIVE)
    assert inspected(str(program)).splitlines() == [
        "score (a: f64, b: text?) -> f64? [function]",
        "steps (data: blob) -> i8 [vector function]",
    ]


def test_the_command_on_a_module(tmp_path: Path) -> None:
    (tmp_path / "m.wat").write_text(MODULE)
    assert inspected(str(tmp_path / "m.wat"), "--memory", "128MiB") == (
        "f (a0: i32, a1: blob) -> struct<0: int32, 1: float> [function]\n"
        "g (a0: i64) -> bool? [function]\n"
        f"of references [no: parameter 1 is externref, {NO_VALUE}]\n"
        "_start (stdin: text) -> text [WASI command]\n"
        "It needs, in host_functions= or modules=:\n"
        "  env.price (func (param f64 i32) (result f64))\n"
    )
    (tmp_path / "empty.wat").write_text("(module)")
    assert inspected(str(tmp_path / "empty.wat")) == "It has no functions.\n"
    escapes = r'(import "e\1b]0;\07" "a\0ab" (func)) (func (export "f\1b[2J\e2\80\ae"))'
    (tmp_path / "escapes.wat").write_text(f"(module {escapes})")
    assert inspected(str(tmp_path / "escapes.wat")) == (
        r"f\x1b[2J\u202e () -> bool? [function]"
        "\nIt needs, in host_functions= or modules=:\n"
        r"  e\x1b]0;\x07.a\x0ab (func)"
        "\n"
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"no code", r"the module: the module is not valid: not a WebAssembly file"),
        (b"\x7fELF\2\1\1" + bytes(60), "the module: the file "),
        (b"!<arch>\nx.o/", "the module: .* it is an archive of objects: link these"),
        (gzip.compress(b"\0asm\1\0\0\0", mtime=0), "the module: .* it is compressed: unpack it"),
        (b"PK\3\4" + bytes(26), "the module: .* it is compressed: unpack it"),
        (b"", "the module: .* it is empty"),
        (
            b'(module (import "env" "__linear_memory" (memory 0)) (func (export "f")))',
            "the module: the module is not valid: it is an object: link it",
        ),
    ],
)
def test_what_is_no_code(code: bytes, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.wasm.exports(code)


def test_functions_that_take_or_return_what_cannot_cross() -> None:
    many = "i32 " * 33
    exports = udfvm.wasm.exports(f"""(module
      (func (export "many") (param {many}))
      (func (export "one") (result i32 funcref) unreachable)
      (func (export "two") (param i32 (ref null any))))""")
    assert [(each.name, each.kind.partition(",")[0], each.usable) for each in exports] == [
        ("many", "it has more than 32 parameters", False),
        ("one", "result 2 is funcref", False),
        ("two", "parameter 2 is a reference", False),
    ]


def test_a_shared_object_that_is_cut_short(tmp_path: Path) -> None:
    """As a download is that broke: no code of the loader crashes on it."""
    whole = build(tmp_path, ["gcc", "-shared", "-fPIC"], NATIVE).read_bytes()
    ends = [
        struct.unpack_from("<QQQQ", whole, 64 + 56 * index + 8)
        for index in range(struct.unpack_from("<H", whole, 56)[0])
        if struct.unpack_from("<I", whole, 64 + 56 * index) == (1,)
    ]
    end = max(offset + size for offset, _, _, size in ends)
    assert {each.name for each in udfvm.wasm.exports(whole[:end])} <= {"plain", "score", "steps"}
    for length in (end - 1, end // 2, 64 + 56 * 20):
        with pytest.raises(errors.SignatureError, match="the file is cut short"):
            udfvm.wasm.exports(whole[:length])
        with pytest.raises(errors.SignatureError, match="the file is cut short"):
            udfvm.from_elf(whole[:length], "plain", signature="(x: f64) -> f64")


@pytest.mark.parametrize(
    "reply",
    [
        b"x",
        struct.pack("<IIII", 5, 0, 0, 0),
        struct.pack("<IIII", 1, 2, 0, 0) + b"a",
        struct.pack("<IIII", 1, 2**32 - 1, 2**32 - 1, 2**32 - 1),
    ],
)
def test_replies_that_no_guest_should_send(reply: bytes) -> None:
    with pytest.raises(udfvm.ProtocolError, match="the guest's list of functions is not valid"):
        read_contents("the module", "wasm", reply)
    good = struct.pack("<IIII", 4, 1, 0, 1) + b"\xff\n"
    assert read_contents("the module", "wasm", good).imports[0].name == "\ufffd"


def binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def test_bodies_and_data_of_a_module_are_not_looked_at() -> None:
    """So listing takes no time to compile, and does not tell whether code is valid."""
    module = binary(
        '(module (memory 1) (data (i32.const 0) "abc") (data "passive")'
        ' (func (export "f") (param i32) (result i64)'
        " (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 2)) (i64.const 12345678)))"
    )
    expected = [("f", "function", "(a0: i32) -> i64", True, ())]
    assert [tuple(each) for each in udfvm.wasm.exports(module)] == expected
    body = module.index(bytes.fromhex("42cec2f105"))  # i64.const 12345678
    broken = module[:body] + bytes([0xFF]) + module[body + 1 :]
    assert [tuple(each) for each in udfvm.wasm.exports(broken)] == expected
    with pytest.raises(errors.SignatureError, match="the module is not valid"):
        udfvm.from_wasm(broken, "f")


def test_code_that_ends_anywhere_is_refused() -> None:
    for code in (binary(MODULE), binary(COMPONENT)):
        assert udfvm.wasm.exports(code)
        for length in range(1, len(code), 1 + len(code) // 25):
            with contextlib.suppress(errors.SignatureError):  # sections may end there
                udfvm.wasm.exports(code[:length])


def test_code_with_lengths_that_are_wrong_is_refused() -> None:
    code = binary(COMPONENT)
    for offset in range(8, len(code), 1 + len(code) // 25):
        for byte in (0x00, 0x7F, 0xFF):
            with contextlib.suppress(errors.SignatureError):
                udfvm.wasm.exports(code[:offset] + bytes([byte]) + code[offset + 1 :])
    assert len(udfvm.wasm.exports(code)) == 2
