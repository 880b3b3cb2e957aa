"""What modules and components import: host functions, other modules, and what compilers add."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

import apsw
import pyarrow as pa
import pytest

import udfvm

seen: list[tuple[Any, ...]] = []


def price(amount: float, count: int) -> float:
    if count < 0:
        raise LookupError(f"no {count}")
    return amount * count


def say(text: str, more: bytes | None, loud: bool) -> None:
    seen.append((text, more, loud))


def name(count: int) -> str | None:
    return None if count < 0 else "é" * count


FUNCTIONS = (price, say, name)
MODULE = r"""
(module
  (import "env" "price" (func $price (param f64 i32) (result f32)))
  (import "any" "say" (func $say (param i32 i32 i32 i32 i32)))
  (import "env" "name" (func $name (param i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "h\c3\a9llo")
  (func (export "price") (param f64 i32) (result f64)
    (f64.promote_f32 (call $price (local.get 0) (local.get 1))))
  (func (export "say") (param $more i32) (param $length i32) (result i32)
    (call $say (i32.const 8) (local.get $length) (local.get $more) (i32.const 2) (i32.const 7))
    (i32.const 1))
  (func (export "name") (param i64) (result i32)
    (call $name (local.get 0) (i32.const 100) (i32.const 10))))
"""


def function(export: str, **options: Any) -> udfvm.ScalarFunction:
    made = udfvm.from_wasm(MODULE, export, **{"host_functions": FUNCTIONS, **options})
    assert isinstance(made, udfvm.ScalarFunction)
    return made


def test_a_module_calls_host_functions() -> None:
    udf = function("price")
    assert udf(2.0, 3) == 6.0
    counts = pa.array([1, None, 3], pa.int32())
    assert udf(pa.array([0.5, 1.0, 1.0]), counts).to_pylist() == [0.5, None, 3.0]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udf)
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 40)"
    assert connection.execute(f"{numbers} SELECT sum(price(0.5, x)) FROM n").get == 410.0
    assert pickle.loads(pickle.dumps(udf))(2.0, 4) == 8.0


def test_failures_and_limits_of_host_functions() -> None:
    udf = function("price", host_calls=2)
    with pytest.raises(udfvm.HostFunctionError, match="price failed: LookupError: no -1"):
        udf(1.0, -1)
    assert udf(pa.array([1.0, 2.0]), pa.array([1, 2], pa.int32())).to_pylist() == [1.0, 4.0]
    with pytest.raises(udfvm.HostCallLimitError, match="more than 2 times"):
        udf(pa.array([1.0] * 3), pa.array([1] * 3, pa.int32()))


def test_text_and_bytes() -> None:
    say_, name_ = function("say"), function("name")
    seen.clear()
    assert [say_(0, 6), say_(9, 3)] == [1, 1]
    assert seen == [("héllo", None, True), ("hé", b"\xc3\xa9", True)]
    for arguments, message in (
        ((0, 2), "an argument is text that is not valid UTF-8"),
        ((65535, 6), "an argument is outside of the module's memory"),
        ((1, -1), "an argument is outside of the module's memory"),
    ):
        with pytest.raises(
            udfvm.UDFError, match=rf"RuntimeError: host function say: {message}.*\n.*\n  #0 "
        ):
            say_(*arguments)
    assert [name_(count) for count in (-1, 0, 5)] == [-1, 0, 10]
    with pytest.raises(udfvm.UDFError, match="name: its result does not fit into the module's buf"):
        name_(6)


def wrong(x: int) -> float:
    return x


wrong.__name__ = "price"


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (
            (price, say),
            r"does not have: env\.name; it has WASI .*pass functions in host_functions=",
        ),
        ((price,), r"does not have: any\.say, env\.name; .*or imports='trap'"),
        (
            (wrong, say, name),
            r"imports price as \(func \(param f64 i32\) \(result f32\)\), and the host function of"
            r" that name is \(func \(param i64\) \(result f64\)\)",
        ),
    ],
)
def test_imports_that_nothing_provides(
    functions: tuple[Callable[..., Any], ...], message: str
) -> None:
    with pytest.raises(udfvm.SignatureError, match=f"linking failed: .*{message}"):
        function("price", host_functions=functions)


def test_functions_that_nothing_provides_may_trap() -> None:
    udf = function("price", host_functions=[price], imports="trap")
    assert udf(1.0, 2) == 2.0
    with pytest.raises(
        udfvm.UDFError,
        match=r"the module called any\.say, which nothing provides: pass it in host_functions=\n",
    ):
        function("say", host_functions=[], imports="trap")(0, 0)
    with pytest.raises(
        udfvm.SignatureError, match=r"have: env\.m \(a table\); .*: pass a module that exports"
    ):
        udfvm.from_wasm('(module (import "env" "m" (table 1 funcref)))', "f", imports="trap")


def test_copies_with_other_host_functions() -> None:
    def other(amount: float, count: int) -> float:
        return -amount * count

    other.__name__ = "price"
    udf = function("price").with_options(host_functions=[other, say, name])
    assert udf(2.0, 3) == -6.0
    with pytest.raises(udfvm.SignatureError, match=r"does not have: any\.say"):
        udf.with_options(host_functions=[other])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imports": "ignore"}, "imports='ignore'.*refuse.*trap"),
        ({"modules": ["a.wasm"]}, "modules= must be a mapping .*; got"),
        ({"modules": {"env": 3}}, "modules= has 3, which is no module"),
        ({"modules": {3: "(module)"}}, "modules= has 3, which is no text"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(udfvm.OptionError, match=message):
        udfvm.from_wasm(MODULE, "price", **options)


# What compilers add: the imports that a module of theirs has in every case.
COMPILERS = r"""
(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (import "env" "emscripten_notify_memory_growth" (func $grown (param i32)))
  (import "env" "_emscripten_memcpy_js" (func $copy (param i32 i32 i32)))
  (import "env" "_abort_js" (func $end))
  (import "env" "seed" (func $seed (result f64)))
  (import "./made_bg.js" "__wbg___wbindgen_throw_b855445ff6a94295"
    (func $throw (param i32 i32)))
  (import "./made_bg.js" "__wbindgen_init_externref_table" (func $table))
  (import "env" "console.log" (func $log (param i32)))
  (import "env" "console.warn" (func $warn (param i32)))
  (import "env" "trace" (func $trace (param i32 i32 f64 f64 f64 f64 f64)))
  (import "env" "Date.now" (func $date (result f64)))
  (import "env" "emscripten_get_now" (func $clock (result f64)))
  (import "env" "emscripten_resize_heap" (func $resize (param i32) (result i32)))
  (import "env" "__assert_fail" (func $fail (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\02\00\00\00\0a\00\00\00n\00o\00 \00\3d\d8\42\de")
  (data (i32.const 24) "\02\00\00\00\06\00\00\00a\00.\00t\00")
  (data (i32.const 60) "it is \c3\a9")
  (func (export "f") (param i32) (result i32)
    (call $table) (call $grown (i32.const 0))
    (call $copy (i32.const 100) (i32.const 60) (i32.const 4))
    (if (i32.eq (local.get 0) (i32.const 9)) (then
      (call $log (i32.const 8)) (call $warn (i32.const 32)) (call $log (i32.const -1))
      (call $trace (i32.const 32) (i32.const 2) (f64.const 0.5) (f64.const 3) (f64.const 0)
        (f64.const 0) (f64.const 0))))
    (if (i32.eq (local.get 0) (i32.const 10))
      (then (return (i32.trunc_f64_s (f64.div (call $date) (f64.const 1e3))))))
    (if (i32.eq (local.get 0) (i32.const 11))
      (then (return (f64.gt (call $clock) (f64.const 0)))))
    (if (i32.eq (local.get 0) (i32.const 12)) (then
      (return (i32.add (i32.add
        (i32.shl (call $resize (i32.const 70000)) (i32.const 8))
        (i32.shl (call $resize (i32.const -65536)) (i32.const 16))) (memory.size)))))
    (if (i32.eq (local.get 0) (i32.const 13))
      (then (call $fail (i32.const 60) (i32.const -1) (i32.const 7) (i32.const 0))))
    (if (i32.eq (local.get 0) (i32.const 5)) (then (call $end)))
    (if (i32.eq (local.get 0) (i32.const 6))
      (then (call $copy (i32.const 65533) (i32.const 60) (i32.const 4))))
    (if (i32.eq (local.get 0) (i32.const 7)) (then (return (i32.load (i32.const 100)))))
    (if (i32.eq (local.get 0) (i32.const 8)) (then
      (return (i32.wrap_i64 (i64.trunc_f64_s (call $seed))))))
    (if (i32.eq (local.get 0) (i32.const 1))
      (then (call $abort (i32.const 8) (i32.const 32) (i32.const 3) (i32.const 14))))
    (if (i32.eq (local.get 0) (i32.const 2))
      (then (call $abort (i32.const 0) (i32.const -1) (i32.const 3) (i32.const 14))))
    (if (i32.eq (local.get 0) (i32.const 3)) (then (call $throw (i32.const 60) (i32.const 8))))
    (if (i32.eq (local.get 0) (i32.const 4)) (then (call $throw (i32.const -1) (i32.const 8))))
    (local.get 0)))
"""


def test_imports_that_compilers_add() -> None:
    udf = udfvm.from_wasm(COMPILERS, "f")
    assert udf(0) == 0
    assert udf(7) == int.from_bytes(b"it i", "little")
    assert udf(8) != udf(8)
    before = int(time.time())
    assert before <= udf(10) <= time.time()
    assert udf(11) == 1
    assert udf(12) == 0x102, "one page more, and no 4 GiB"
    for case, message in (
        (1, r"the module aborted: no 🙂, in a\.t:3:14"),
        (2, r"the module aborted: \?, in \?:3:14"),
        (3, "the module threw: it is é"),
        (4, r"the module threw: \?"),
        (5, "the module aborted"),
        (6, "out of bounds memory access"),
        (13, r"the module aborted: assertion failed: it is é, in \?:7"),
    ):
        with pytest.raises(udfvm.UDFError, match=rf"RuntimeError: {message}\nBacktrace"):
            udf(case)


# Before version 4, Emscripten passes i64 to JavaScript, and to WASI, as two i32.
HALVES = """(module
  (import "wasi_snapshot_preview1" "fd_seek"
    (func $seek (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "env" "emscripten_memcpy_big" (func $copy (param i32 i32 i32) (result i32)))
  (import "env" "setTempRet0" (func $set (param i32)))
  (import "env" "getTempRet0" (func $get (result i32)))
  (import "env" "__cxa_allocate_exception" (func $exception (param i32) (result i32)))
  (import "env" "__cxa_throw" (func $throw (param i32 i32 i32)))
  (memory (export "memory") 1) (data (i32.const 16) "four")
  (func (export "seek") (result i32)
    (call $seek (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)))
  (func (export "clock") (param i32 i32) (result i32)
    (call $clock (local.get 0) (i32.const 0) (i32.const 0) (local.get 1)))
  (func (export "now") (result i64)
    (drop (call $clock (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)))
    (i64.load (i32.const 64)))
  (func (export "copied") (result i32)
    (i32.load (call $copy (i32.const 32) (i32.const 16) (i32.const 4))))
  (func (export "upper") (param i32) (result i32) (call $set (local.get 0)) (call $get))
  (func (export "throw") (call $throw (call $exception (i32.const 8)) (i32.const 0) (i32.const 0)))
  (func (export "rethrow") (call $throw (i32.const 8) (i32.const 0) (i32.const 0))))"""


def test_what_emscripten_imports_with_halves() -> None:
    def function(name: str) -> udfvm.Function:
        return udfvm.from_wasm(HALVES, name)

    assert function("seek")() == 70, "the standard output has no places"
    before = time.time_ns()
    assert before <= function("now")() <= time.time_ns()
    clock = function("clock")
    assert [clock(0, 64), clock(1, 64), clock(2, 64), clock(-1, 64)] == [0, 0, 28, 28]
    assert [clock(1, 65529), clock(1, -1)] == [21, 21], "outside of the memory"
    assert function("copied")() == int.from_bytes(b"four", "little")
    assert function("upper")(-7) == -7
    for name in ("throw", "rethrow"):
        with pytest.raises(udfvm.UDFError, match="the module threw an exception of C"):
            function(name)()
    module = HALVES.replace("(param i32 i32 i32 i32 i32)", "(param i32 i32)", 1)
    with pytest.raises(udfvm.SignatureError, match="incompatible import type"):
        udfvm.from_wasm(module.replace("(i32.const 0) (i32.const 1) (i32.const 64)", ""), "upper")


def test_what_assemblyscript_prints_is_in_the_log() -> None:
    printed: list[tuple[str, str]] = []
    udf = udfvm.from_wasm(COMPILERS, "f", log=lambda text, stream: printed.append((stream, text)))
    udf(9)
    assert "".join(text for stream, text in printed if stream == "stdout") == "no 🙂\n?\n"
    errors = "".join(text for stream, text in printed if stream == "stderr")
    assert errors == "a.t\ntrace: a.t 0.5, 3\n"


def console_log(text: str) -> None:
    seen.append((text,))


def test_a_host_function_comes_before_what_compilers_add() -> None:
    """Dots in names of imports are underscores in those of host functions."""
    seen.clear()
    udf = udfvm.from_wasm(COMPILERS, "f", host_functions=[console_log])
    with pytest.raises(udfvm.UDFError, match="console_log: an argument is outside of the module"):
        udf(9)
    assert seen == [("no 🙂",)]


USER = """
(module
  (import "counter" "next" (func $next (result i64)))
  (import "adder" "add" (func $add (param i64) (result i64)))
  (func (export "f") (result i64) (call $add (call $next)))
  (func (export "_start")))
"""
MODULES = {
    "counter": """(module (global $at (mut i64) (i64.const 0))
      (func (export "_initialize") (global.set $at (i64.const 41)))
      (func (export "next") (result i64)
        (global.set $at (i64.add (global.get $at) (i64.const 1))) (global.get $at)))""",
    "adder": """(module (import "counter" "next" (func $next (result i64)))
      (func (export "add") (param i64) (result i64) (i64.add (local.get 0) (call $next))))""",
}


def test_a_module_is_linked_before_those_that_import_it() -> None:
    backwards = dict(reversed(MODULES.items()))
    with pytest.raises(
        udfvm.SignatureError, match=r"counter\.next \(whose module is not before th"
    ):
        udfvm.from_wasm(USER, "f", modules=backwards)
    lacking = MODULES | {"counter": "(module)"}
    with pytest.raises(udfvm.SignatureError, match="which that module of modules= does not"):
        udfvm.from_wasm(USER, "f", modules=lacking)


def test_a_linked_module_that_does_not_start_is_named() -> None:
    failing = {
        "counter": MODULES["counter"].replace("(global.set $at (i64.const 41))", "unreachable")
    }
    with pytest.raises(udfvm.SignatureError, match="module counter of modules=: wasm `unreach"):
        udfvm.from_wasm(USER, "f", modules=MODULES | failing)


def test_modules_are_linked() -> None:
    udf = udfvm.from_wasm(USER, "f", modules=MODULES)
    assert [udf(), udf()] == [42 + 43] * 2
    assert udfvm.from_wasm(USER, "_start", name="command", modules=MODULES)("text") == ""


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({**MODULES, "counter": "(modul"}, "module counter of modules=: expected valid module"),
        ({"adder": MODULES["adder"]}, r"module adder of modules= imports .*: counter\.next; "),
        (
            {**MODULES, "counter": "(module)"},
            r"counter\.next \(which that module of modules= does not export\)",
        ),
        ({"counter": MODULES["counter"]}, r"the module imports .*: adder\.add; "),
        ({**MODULES, "adder": '(module (func (export "add")))'}, "incompatible import type"),
    ],
)
def test_modules_that_cannot_be_linked(modules: dict[str, str], message: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=message):
        udfvm.from_wasm(USER, "f", modules=modules)
