"""Text and bytes in the memory of core modules, as compilers to WebAssembly pass them."""

from __future__ import annotations

from typing import Any

import apsw
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors

# Functions that return their argument, in each form of a result. The allocator traps when too much
# is not given back, and what is given back too early is overwritten.
BODY = r"""
  (func (export "pair") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1))
  (func (export "packed") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32))
      (i64.extend_i32_u (local.get 1))))
  (func (export "stored") (param i32 i32 i32)
    (i32.store (local.get 0) (local.get 1)) (i32.store offset=4 (local.get 0) (local.get 2)))
  (func (export "size") (param f64 i32 i32) (result i32) (local.get 2))
  (data (i32.const 8) "h\c3\a9llo\00\ff\00")
  (func (export "at") (param i32) (result i32) (local.get 0))
"""
MEMORY = r"""
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024)) (global $live (mut i32) (i32.const 0))
  (func $new (param i32) (result i32) (local $at i32)
    (local.set $at (global.get $free))
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (global.set $free
      (i32.and (i32.add (i32.add (local.get $at) (local.get 0)) (i32.const 7)) (i32.const -8)))
    (if (i32.gt_u (global.get $free) (i32.const 60000)) (then (unreachable)))
    (local.get $at))
  (func $gone (global.set $live (i32.sub (global.get $live) (i32.const 1)))
    (if (i32.eqz (global.get $live)) (then (global.set $free (i32.const 1024)))))
"""
PAIRS = {
    "malloc": """
      (func (export "malloc") (param i32) (result i32) (call $new (local.get 0)))
      (func (export "free") (param i32) (call $gone))""",
    "alloc": """
      (func (export "alloc") (param i32 i32) (result i32)
        (if (i32.ne (local.get 1) (i32.const 8)) (then (unreachable))) (call $new (local.get 0)))
      (func (export "dealloc") (param i32 i32 i32)
        (if (i32.eqz (local.get 1)) (then (unreachable))) (call $gone))""",
    "cabi_realloc": """
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (if (i32.or (local.get 0) (local.get 1)) (then (unreachable)))
        (call $new (local.get 3)))""",
    "__wbindgen_malloc": """
      (func (export "__wbindgen_malloc") (param i32 i32) (result i32) (call $new (local.get 0)))
      (func (export "__wbindgen_free") (param i32 i32 i32) (call $gone))""",
}


def module(allocator: str) -> str:
    return f"(module {MEMORY} {PAIRS.get(allocator, '')} {BODY})"


def function(export: str, signature: str, allocator: str = "malloc") -> udfvm.ScalarFunction:
    made = udfvm.from_wasm(module(allocator), export, signature=signature)
    assert isinstance(made, udfvm.ScalarFunction)
    return made


@pytest.mark.parametrize(
    ("export", "allocator"),
    [
        ("pair", "malloc"),
        ("packed", "malloc"),
        ("stored", "malloc"),
        ("pair", "alloc"),
        ("stored", "alloc"),
        ("packed", "cabi_realloc"),
        ("pair", "__wbindgen_malloc"),
    ],
)
def test_text_in_every_form_of_a_result(export: str, allocator: str) -> None:
    same = function(export, "(text?) -> text?", allocator)
    texts = ["hé", "", None, "x" * 500, "a\0b"]
    assert [same(text) for text in texts] == texts
    rows = 40 if allocator == "cabi_realloc" else 1000  # it has nothing that frees
    assert same(pa.array(texts * (rows // len(texts)))).to_pylist() == texts * (rows // len(texts))


def test_bytes_and_numbers_beside_them() -> None:
    same = function("pair", "(blob) -> blob")
    assert same(b"\xff\0") == b"\xff\0"
    size = function("size", "(weight: f64, data: text) -> u16")
    assert size(pa.array([1.0, 2.0, 3.0]), pa.array(["é", None, ""])).to_pylist() == [2, None, 0]
    with pytest.raises(udfvm.UDFError, match=r"UnicodeDecodeError: .* declare a blob"):
        function("pair", "(blob) -> text")(b"\xff")
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, size)
    assert connection.execute("SELECT size(0.5, 'four'), size(1, NULL)").get == (4, None)


def test_text_that_ends_with_nul() -> None:
    at = function("at", "(i32) -> text?")
    assert [at(8), at(11), at(0)] == ["héllo", "llo", None]
    with pytest.raises(udfvm.UDFError, match="not in the module's memory: address 70000, length"):
        at(70000)
    with pytest.raises(udfvm.UDFError, match="UnicodeDecodeError"):
        at(15)


def test_an_allocator_that_fails_is_no_fault_of_the_argument() -> None:
    same = function("pair", "(text) -> text")
    with pytest.raises(udfvm.UDFError, match="UDF 'pair', row 1: Trap: wasm `unreachable`") as trap:
        same(pa.array(["x", "y" * 60000]))
    assert trap.value.row == 1
    for address in ("0", "0xfffffff0", "65535"):
        allocator = f'(func (export "malloc") (param i32) (result i32) (i32.const {address}))'
        failing = udfvm.from_wasm(
            f'(module (memory (export "memory") 1) {allocator}(func (export "f") (param i32 i32)))',
            "f",
            signature="(text) -> bool?",
        )
        with pytest.raises(udfvm.UDFError, match="MemoryError: the module did not allocate 3 byt"):
            failing("abc")


@pytest.mark.parametrize(
    ("export", "signature", "allocator", "message"),
    [
        ("pair", "(text) -> text", "none", "export memory and malloc and free, alloc and dealloc"),
        ("at", "(i32) -> blob", "malloc", "the result needs two i32 .address and length., both in"),
        (
            "at",
            "(text) -> i32",
            "malloc",
            r"a0 needs two i32, address and length, in the module, which has it as \(func"
            r" \(param i32\) \(result i32\)\)$",
        ),
        ("at", "(text) -> i32", "none", "export memory and malloc .* AssemblyScript with"),
        ("size", "(text) -> i32", "malloc", "a0 needs two i32, address and length, in the module"),
        ("size", "(f64, text, i32) -> i32", "malloc", "a2 needs one more parameter"),
        ("pair", "(text?, i32) -> text", "malloc", "a1 needs one more parameter"),
    ],
)
def test_signatures_that_do_not_fit(
    export: str, signature: str, allocator: str, message: str
) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        function(export, signature, allocator)


# Strings of AssemblyScript (UTF-16, their length in bytes before them), and its ArrayBuffer. An
# object that is in use is pinned; another may be overwritten.
SCRIPT = r"""
(module
  (import "index" "greet" (func $greet (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024)) (global $pins (mut i32) (i32.const 0))
  (func $new (export "__new") (param $size i32) (param $class i32) (result i32) (local $at i32)
    (if (i32.eqz (global.get $pins)) (then (global.set $free (i32.const 1024))))
    (local.set $at (i32.add (global.get $free) (i32.const 8)))
    (global.set $free (i32.and (i32.add (i32.add (local.get $at) (local.get $size))
      (i32.const 7)) (i32.const -8)))
    (i32.store (i32.sub (local.get $at) (i32.const 8)) (local.get $class))
    (i32.store (i32.sub (local.get $at) (i32.const 4)) (local.get $size))
    (local.get $at))
  (func (export "__pin") (param i32) (result i32)
    (global.set $pins (i32.add (global.get $pins) (i32.const 1))) (local.get 0))
  (func (export "__unpin") (param i32)
    (global.set $pins (i32.sub (global.get $pins) (i32.const 1))))
  (func (export "second") (param i32 i32) (result i32) (local.get 1))
  (func (export "units") (param i32) (result i32) (i32.load (i32.sub (local.get 0) (i32.const 4))))
  (func (export "class") (param i32) (result i32) (i32.load (i32.sub (local.get 0) (i32.const 8))))
  (func (export "greets") (param i32) (result i32) (call $greet (local.get 0)))
  (data (i32.const 0) "\02\00\00\00\04\00\00\00\42\de\3d\d8"))
"""


def greet(name: str) -> str | None:
    return None if name == "nobody" else f"hello {name}"


def script(export: str, signature: str) -> Any:
    return udfvm.from_wasm(SCRIPT, export, signature=signature, host_functions=[greet])


def test_objects_of_assemblyscript() -> None:
    second = script("second", "(a: text, b: text?) -> text?")
    texts = ["", "aé🙂", None, "x" * 3000, "日本"]
    assert [second("a", text) for text in texts] == texts
    assert second("a", pa.array(texts * 100)).to_pylist() == texts * 100
    assert script("units", "(text) -> i32")("aé🙂") == 8
    assert script("class", "(text) -> i32")("a") == 2
    assert script("class", "(blob) -> i32")(b"a") == 1
    assert script("second", "(i32, b: blob) -> blob")(1, b"\xff\0") == b"\xff\0"
    halves = script("second", "(i32, i32) -> text")
    assert halves(0, 8) == "\ufffd\ufffd"
    with pytest.raises(udfvm.UDFError, match="not in the module's memory: address 2, length 0"):
        halves(0, 2)


@pytest.mark.parametrize(
    ("signature", "arguments", "message"),
    [
        ("(i32, text) -> blob", (1, "a"), "is no ArrayBuffer: declare text"),
        ("(i32, blob) -> text", (1, b"a"), "is no string: declare blob"),
        (
            "(i32, i32) -> blob",
            (1, 200),
            r"is no ArrayBuffer: return the buffer .*\(array.buffer\)",
        ),
        ("(i32, i32) -> text", (1, 200), "is no string: return a string"),
    ],
)
def test_objects_of_other_classes(signature: str, arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(udfvm.UDFError, match=f"TypeError: the function returned .* {message}"):
        script("second", signature)(*arguments)


def test_objects_of_assemblyscript_in_host_functions() -> None:
    greets = script("greets", "(text) -> text?")
    assert [greets("zoë 🙂"), greets("nobody")] == ["hello zoë 🙂", None]
    with pytest.raises(udfvm.UDFError, match="greet: an argument that is text got no string"):
        script("greets", "(blob) -> text?")(b"zo")
