"""UDFs in WebAssembly: types, nulls, traps, limits, proposals; the same through SQL and Arrow as in
Python.
"""

from __future__ import annotations

import importlib.metadata
import pickle
from pathlib import Path

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
from udfvm import errors
from udfvm.images import spec
from udfvm.images.cache import clear_cache

MODULE = """
(module
  (memory $memory 1)
  (global $calls (mut i32) (i32.const 0))
  (table 2 funcref)
  (type $number (func (result i32)))
  (func $nothing)
  (elem (i32.const 0) $nothing)
  (func $percent (param f64 f64) (result f64) local.get 0 local.get 1 f64.div f64.const 100 f64.mul)
  (func $score (export "score") (param f64 f64) (result f64)
    local.get 1 f64.const 0 f64.eq if unreachable end
    local.get 0 local.get 1 call $percent)
  (func (export "mixed") (param i32 i64 f32 f64) (result f64)
    local.get 0 f64.convert_i32_s local.get 1 f64.convert_i64_s f64.add
    local.get 2 f64.promote_f32 f64.add local.get 3 f64.add)
  (func (export "same32") (param i32) (result i32) local.get 0)
  (func (export "same64") (param i64) (result i64) local.get 0)
  (func (export "half") (param f32) (result f32) local.get 0 f32.const 2 f32.div)
  (func (export "seven") (result i32) i32.const 7)
  (func (export "calls") (param i32) (result i32)
    i32.const 0 i32.const 0 i32.load i32.const 1 i32.add i32.store
    global.get $calls i32.const 1 i32.add global.set $calls
    global.get $calls i32.const 1000 i32.mul i32.const 0 i32.load i32.add)
  (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
  (func (export "fill") (param i32) (result i32)
    loop i32.const 128 memory.grow i32.const -1 i32.ne br_if 0 end
    memory.size i32.const 65536 i32.mul i32.const 4 i32.sub i32.const 1 i32.store memory.size)
  (func (export "endless") (param i32) (result i32) loop br 0 end i32.const 0)
  (func $unreachable (export "unreachable") (param i32) (result i32) unreachable)
  (func $outside (export "outside") (param i32) (result i32) i32.const 65533 i32.load)
  (func $divide (export "divide") (param i32) (result i32) i32.const 1 local.get 0 i32.div_s)
  (func $deep (export "deep") (param i32) (result i32) local.get 0 call $deep i32.const 1 i32.add)
  (func $mismatch (export "mismatch") (param i32) (result i32)
    i32.const 0 call_indirect (type $number))
  (func $missing (export "missing") (param i32) (result i32)
    i32.const 1 call_indirect (type $number))
  (func $convert (export "convert") (param i32) (result i32) f64.const 1e100 i32.trunc_f64_s)
)
"""


def function(export: str, **options: object) -> udfvm.ScalarFunction:
    return udfvm.from_wasm(MODULE, export, **options)  # type: ignore[arg-type]


def test_signature_comes_from_the_module() -> None:
    assert (
        repr(function("mixed"))
        == "<UDF mixed(a0: int32, a1: int64, a2: float, a3: double) -> double>"
    )
    assert function("seven")() == 7
    assert function("score").language == "wasm"


def test_rows_and_batches_agree() -> None:
    score, mixed = function("score"), function("mixed")
    assert score(12.0, 300.0) == 4.0
    assert score(None, 300.0) is None
    assert mixed(-1, 2**40, 0.5, 0.25) == 2.0**40 - 0.25
    columns = [
        pa.array([-1, None, 3], pa.int32()),
        pa.array([2**40, 1, None]),
        pa.array([0.5, 1, 1], pa.float32()),
        pa.array([0.25, 1, 1]),
    ]
    assert mixed(*columns).to_pylist() == [2.0**40 - 0.25, None, None]


@pytest.mark.parametrize("rows", [1, 1023, 1024, 1025, 100_000])
def test_batches_of_every_size(rows: int) -> None:
    a, b = np.arange(rows, dtype=float), np.arange(rows, dtype=float) + 1
    np.testing.assert_array_equal(function("score")(a, b), a / b * 100)
    validity = np.arange(rows) % 3 > 0
    found = function("score")(pa.array(a, mask=~validity), pa.array(b))
    assert found.equals(pa.array(a / b * 100, mask=~validity))
    halves = function("half")(pa.array(a, pa.float32(), mask=~validity))
    assert halves.equals(
        pa.array(a.astype(np.float32) / np.float32(2), pa.float32(), mask=~validity)
    )


@pytest.mark.parametrize(
    ("export", "signature", "value"),
    [
        ("same32", "(a: bool) -> bool", True),
        ("same32", "(a: i8) -> i8", -128),
        ("same32", "(a: u8) -> u8", 255),
        ("same32", "(a: u16) -> u16", 65535),
        ("same32", "(a: u32) -> u32", 2**32 - 1),
        ("same32", "(a: i64) -> i64", -(2**31)),
        ("same64", "(a: i16) -> i16", -32768),
        ("same64", "(a: u64) -> u64", 2**64 - 1),
        ("same64", "(a: bool) -> bool", False),
        ("half", "(a: f64) -> f64", 0.0),
    ],
)
def test_a_declared_signature_refines_the_modules(
    export: str, signature: str, value: object
) -> None:
    udf = function(export, signature=signature)
    assert udf(value) == value
    assert udf(pa.array([value, None, value], udf.parameters[0].type.arrow)).to_pylist() == [
        value,
        None,
        value,
    ]


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(
        udfvm.TypeMappingError,
        match=r"row 1: argument 'a' .* is 2147483648, out of range of i32, its type in the module",
    ):
        function("same32", signature="(a: i64) -> i64")(pa.array([1, 2**31]))
    with pytest.raises(udfvm.UDFError, match=r"row 2: OverflowError: the function returned 300"):
        function("same32", signature="(a: i32) -> i8")(pa.array([1, None, 300], pa.int32()))
    with pytest.raises(udfvm.UDFError, match="OverflowError"):
        function("same32", signature="(a: i32) -> u64")(-1)


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ("unreachable", "wasm `unreachable` instruction executed"),
        ("outside", "out of bounds memory access"),
        ("divide", "integer divide by zero"),
        ("deep", "call stack exhausted"),
        ("mismatch", "indirect call type mismatch"),
        ("missing", "uninitialized element"),
        ("convert", "integer overflow"),
    ],
)
def test_a_trap_ends_the_call_and_names_functions(export: str, message: str) -> None:
    udf = function(export)
    for argument in (0, pa.array([None, 0], pa.int32())):
        with pytest.raises(udfvm.UDFError) as caught:
            udf(argument)
        text = str(caught.value)
        assert f"Trap: {message}" in text
        assert f"#0 {export} (offset 0x" in text
        assert ("row 1" in text) == (argument != 0)
        assert "udfvm" not in text
    assert function("seven")() == 7


def test_a_backtrace_has_every_function() -> None:
    with pytest.raises(udfvm.UDFError, match=r"(?s)row 3: .*#0 score \(offset 0x") as caught:
        function("score")(pa.array([1.0, None, 1.0, 2.0]), pa.array([1.0, 0.0, 2.0, 0.0]))
    assert caught.value.row == 3
    inner = (
        '(module (func $a unreachable) (func $b call $a) (func (export "f") (result i32) call $b'
        " i32.const 1))"
    )
    with pytest.raises(udfvm.UDFError, match=r"(?s)#0 a .*#1 b .*#2 function 2 "):
        udfvm.from_wasm(inner, "f")()


def test_memory_grows_up_to_the_micro_vms() -> None:
    assert function("grow")(100) == 1
    assert function("grow")(65535) == -1
    pages = function("fill", memory="128MiB")(0)
    assert 100 < pages * 65536 >> 16 < 2048
    assert function("fill", memory="256MiB")(0) > pages


def test_the_deadline_ends_an_endless_loop() -> None:
    with pytest.raises(udfvm.CallTimeoutError):
        function("endless", timeout=0.2)(0)
    assert function("seven")() == 7


def test_every_call_is_fresh() -> None:
    calls = function("calls")
    assert [calls(0), calls(0)] == [1001, 1001]
    assert calls(pa.array([0, 0, 0], pa.int32())).to_pylist() == [1001, 2002, 3003]
    with pytest.raises(udfvm.UDFError):
        function("unreachable")(0)
    assert calls(0) == 1001


@pytest.mark.parametrize(
    "text",
    [
        """(module (func (export "f") (param f32) (result f32)
             (f32x4.extract_lane 2
               (f32x4.mul (f32x4.splat (local.get 0)) (v128.const f32x4 1 2 3 4)))))""",
        """(module (type $pair (struct (field f32) (field f32)))
             (func (export "f") (param f32) (result f32)
               (f32.mul (f32.const 3)
                 (struct.get $pair 1 (struct.new $pair (f32.const 0) (local.get 0))))))""",
        """(module (tag $e (param f32)) (func (export "f") (param f32) (result f32)
             (f32.mul (f32.const 3)
               (block $h (result f32)
                 (try_table (catch $e $h) (throw $e (local.get 0))) f32.const 0))))""",
        """(module
             (func $g (param f32 i32) (result f32)
               (if (result f32) (i32.eqz (local.get 1)) (then (local.get 0))
                 (else
                   (return_call $g (f32.add (local.get 0) (f32.const 5))
                     (i32.sub (local.get 1) (i32.const 1))))))
             (func (export "f") (param f32) (result f32)
               (return_call $g (local.get 0) (i32.const 2))))""",
        """(module (memory i64 1) (func (export "f") (param f32) (result f32)
             (f32.store (i64.const 8) (f32.mul (local.get 0) (f32.const 3)))
             (f32.load (i64.const 8))))""",
    ],
    ids=["simd", "gc", "exceptions", "tail calls", "memory64"],
)
def test_proposals(text: str) -> None:
    assert udfvm.from_wasm(text, "f")(5.0) == 15.0


def test_sql() -> None:
    connection = apsw.Connection(":memory:")
    rows = function("calls", isolation="row", name="rows")
    udfvm.sqlite.register(
        connection, *(function(name) for name in ("score", "calls", "divide")), rows
    )
    connection.execute(
        "CREATE TABLE t AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x <"
        " 20) SELECT x FROM n"
    )
    assert connection.execute(
        "SELECT score(12, 300), score(NULL, 1), vm_udf('score', 3, 2)"
    ).fetchall() == [(4.0, None, 150.0)]
    assert [x for (x,) in connection.execute("SELECT calls(x) FROM t")] == [
        1001 * x for x in range(1, 21)
    ]
    assert {x for (x,) in connection.execute("SELECT rows(x) FROM t")} == {1001}
    with pytest.raises(apsw.SQLError, match=r"(?s)row 9: Trap: integer divide by zero.*#0 divide"):
        connection.execute("SELECT divide(10 - x) FROM t").fetchall()
    assert connection.execute("SELECT score(12, 300)").fetchall() == [(4.0,)]


def test_arrow() -> None:
    udfvm.arrow.register(None, function("score", name="wasm_score"))
    assert pc.call_function(
        "wasm_score", [pa.array([12.0, None]), pa.array([300.0, 1.0])]
    ).to_pylist() == [4.0, None]


def test_modules_in_files_and_bytes(tmp_path: Path) -> None:
    binary = bytes.fromhex(
        "0061736d01000000 010701 60027c7c017c 03020100 07070103616464 0000 0a090107002000 2001a00b"
    )
    (tmp_path / "add.wasm").write_bytes(binary)
    (tmp_path / "score.wat").write_text(MODULE)
    for module in (binary, tmp_path / "add.wasm", str(tmp_path / "add.wasm")):
        assert udfvm.from_wasm(module, "add")(1.0, 2.0) == 3.0
    assert udfvm.from_wasm(tmp_path / "score.wat", "score")(1.0, 2.0) == 50.0


def test_pickle() -> None:
    assert pickle.loads(pickle.dumps(function("score")))(12.0, 300.0) == 4.0


@pytest.mark.parametrize(
    ("module", "export", "message"),
    [
        (MODULE, "absent", "the module exports no function absent; it has score, "),
        ("(module)", "f", "exports no function f: it has none"),
        (
            '(module (func (export "f") (param i32 externref)))',
            "f",
            "parameter 2 is externref, which cannot be a value outside",
        ),
        (
            '(module (func (export "f") (result i32 anyref) unreachable))',
            "f",
            "result 2 is a reference, which cannot be a value outside",
        ),
        (
            f'(module (func (export "f") (param {"i32 " * 33})))',
            "f",
            "the function has 33 parameters, and a UDF at most 32",
        ),
        (
            '(module (func (export "_initialize") unreachable) (func (export "f")))',
            "f",
            "(?s)Trap: its _initialize failed: wasm `unreachable` .*#0 ",
        ),
        (
            '(module (memory 1 2 shared) (func (export "f")))',
            "f",
            "linking failed: the module has a shared memory, which is for threads: compile it",
        ),
        (
            '(module (func (export "f"',
            "f",
            "the module is not valid: unknown operator or unexpected token",
        ),
        (
            b"\0asm\1\0\0\0garbage",
            "f",
            "(?s)the module is not valid: failed to parse WebAssembly.*unexpected end-of-file",
        ),
        (b"", "f", "the module is not valid: not a WebAssembly file: it is empty"),
        (
            '(module (func (export "f") (result i32) f64.const 0))',
            "f",
            "(?s)the module is not valid: .*type mismatch: expected i32, found f64",
        ),
        (
            '(module (import "env" "x" (func)))',
            "f",
            "linking failed: the module imports what a micro-VM does not have: env.x; it has WASI",
        ),
        (
            (
                '(module (import "env" "a" (func)) (import "b" "m" (table 1 funcref)) (import'
                ' "wasi_snapshot_preview1" "nope" (func)) (import "wasi_snapshot_preview1"'
                ' "fd_close" (func (param i32) (result i32))))'
            ),
            "f",
            r"does not have: env\.a, b\.m \(a table\), wasi_snapshot_preview1\.nope; it has WASI",
        ),
        (b"PK\3\4" + bytes(40), "f", "not a WebAssembly file"),
        (b"\x7fELF\2\1\1" + bytes(40), "f", "this is an ELF file: pass it to udfvm.from_elf"),
        (b"hello, world, this is no module", "f", "not a WebAssembly file"),
        (
            '(module (func $s unreachable) (start $s) (func (export "f")))',
            "f",
            "(?s)Trap: its start function, or its initial data, failed: wasm `unrea.*#0 s",
        ),
        (
            '(module (memory 60000) (func (export "f") (result i32) i32.const 0))',
            "f",
            "linking failed: ",
        ),
    ],
)
def test_what_cannot_be_a_udf(module: str | bytes, export: str, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_wasm(module, export)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("(f64) -> f64", "2 parameters where the signature declares 1"),
        ("(a: i64, b: f64) -> f64", "a is f64 in the module, which the declared type does not fit"),
        ("(a: f64, b: f64) -> text", "the result needs an i32 "),
        ("(a: f64, b: f64?) -> f64", "b: a number in Wasm is never null"),
    ],
)
def test_a_declared_signature_is_checked(signature: str, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        function("score", signature=signature)


def test_a_module_too_large_or_a_path_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(errors.SignatureError, match="strip it"):
        udfvm.from_wasm(bytes(49 << 20), "f")
    with pytest.raises(FileNotFoundError):
        udfvm.from_wasm(tmp_path / "none.wasm", "f")


def test_the_version_of_wasmtime_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "7.0.0")
    with pytest.raises(udfvm.BuildError, match=r"not 7\.0\.0: pip install 'udfvm\[wasm\]'"):
        spec.wasmtime_library()
    header = Path(__file__).parents[2] / "guest" / "runtimes" / "wasm" / "wasmtime.h"
    assert f"#define WASMTIME_MAJOR {spec.WASMTIME_VERSION}\n" in header.read_text()


def test_a_description_is_cached_and_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    assert len(function("score").parameters) == 2
    (cached,) = tmp_path.glob("*.description")
    content = cached.read_bytes()
    cached.write_bytes(content[:-1])
    assert len(function("score").parameters) == 2
    assert cached.read_bytes() == content
    clear_cache()
    assert not cached.exists()
