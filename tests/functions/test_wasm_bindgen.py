"""Modules of Rust as wasm-bindgen makes them: its names of imports and exports, its text, and its
results that are errors. ``bound`` writes by hand what wasm-bindgen makes of a small crate.
"""

from __future__ import annotations

import pyarrow as pa
import pytest

import udfvm

#: The functions of the crate, for each way in which a Result<String, JsError> is returned.
RESULTS = {
    "stored": """
  (func (export "twice") (param $to i32) (param $at i32) (param $length i32)
    (local $made i32)
    (if (i32.eqz (local.get $length)) (then
      (i32.store offset=8 (local.get $to) (call $error (i32.const 16) (i32.const 5)))
      (i32.store offset=12 (local.get $to) (i32.const 1))
      (return)))
    (local.set $made (call $doubled (local.get $at) (local.get $length)))
    (i32.store (local.get $to) (local.get $made))
    (i32.store offset=4 (local.get $to) (i32.shl (local.get $length) (i32.const 1))))""",
    "returned": """
  (func (export "twice") (param $at i32) (param $length i32) (result i32 i32 i32 i32)
    (if (i32.eqz (local.get $length)) (then (return
      (i32.const 0) (i32.const 0) (call $error (i32.const 16) (i32.const 5)) (i32.const 1))))
    (call $doubled (local.get $at) (local.get $length))
    (i32.shl (local.get $length) (i32.const 1)) (i32.const 0) (i32.const 0))""",
}
#: How it makes a value of JavaScript of a text.
MAKERS = {
    "__wbindgen_error_new": "i32",
    "__wbindgen_string_new": "externref",
    "__wbindgen_cast_2241b6af4c4b2941": "externref",
    "__wbg_Error_e17e777aac105295": "i32",
}


def bound(
    *, maker: str = "__wbindgen_error_new", results: str = "stored", names: str = "malloc free"
) -> str:
    allocate, release = (f"__wbindgen_{name}" for name in names.split())
    reference = MAKERS[maker] == "externref"
    return f"""(module
  (import "./it_bg.js" "{maker}" (func $make (param i32 i32) (result {MAKERS[maker]})))
  (import "./it_bg.js" "__wbindgen_object_drop_ref" (func $drop (param i32)))
  (import "./it_bg.js" "__wbg_log_930380f052f55ab3" (func $log (param i32 i32)))
  (import "./it_bg.js" "__wbg_error_930380f052f55ab4" (func $warn (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "empty")
  (global $next (mut i32) (i32.const 1024))
  (global $live (mut i32) (i32.const 0))
  (global $started (mut i32) (i32.const 0))
  (func $error (param i32 i32) (result i32)
    (call $make (local.get 0) (local.get 1)) {"drop (i32.const 132)" if reference else ""})
  (func $new (export "{allocate}") (param $length i32) (param i32) (result i32)
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $length))))
  (func $gone (export "{release}") (param i32 i32 i32)
    (global.set $live (i32.sub (global.get $live) (i32.const 1))))
  (func $doubled (param $at i32) (param $length i32) (result i32) (local $made i32)
    (local.set $made
      (call $new (i32.shl (local.get $length) (i32.const 1)) (i32.const 1)))
    (memory.copy (local.get $made) (local.get $at) (local.get $length))
    (memory.copy (i32.add (local.get $made) (local.get $length)) (local.get $at)
      (local.get $length))
    (call $gone (local.get $at) (local.get $length) (i32.const 1))
    (local.get $made))
  {RESULTS[results]}
  (func (export "tell") (param $at i32) (param $length i32) (result i32)
    (call $log (local.get $at) (local.get $length))
    (call $warn (i32.const 16) (i32.const 5))
    (call $warn (i32.const -1) (i32.const 5))
    (call $drop (i32.const 132))
    (i32.const 1))
  (func (export "live") (result i32) (global.get $live))
  (func (export "__wbindgen_start") (global.set $started (i32.const 41)))
  (func (export "started") (result i32) (global.get $started)))"""


TWICE = "(text: text) -> text"


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("results", RESULTS)
def test_results_that_are_errors(maker: str, results: str) -> None:
    udf = udfvm.from_wasm(bound(maker=maker, results=results), "twice", signature=TWICE)
    assert udf("né") == "néné"
    assert udf(pa.array(["a", "bc"])).to_pylist() == ["aa", "bcbc"]
    with pytest.raises(udfvm.UDFError, match=r"row 1: RuntimeError: .* an error: empty$"):
        udf(pa.array(["a", "", "b"]))


def test_an_error_whose_text_is_not_known() -> None:
    """It does not come from a call before."""
    module = bound().replace("(call $make (local.get 0) (local.get 1))", "(i32.const 200)")
    udf = udfvm.from_wasm(module, "twice", signature=TWICE)
    with pytest.raises(udfvm.UDFError, match="RuntimeError: the function returned an error w"):
        udf("")


def test_the_long_text_of_an_error_is_cut() -> None:
    """At a character: 1600 bytes would end within the last."""
    module = bound().replace("(i32.const 16) (i32.const 5)", "(i32.const 2048) (i32.const 9001)")
    module = module.removesuffix(")") + '(data (i32.const 2048) "x' + "é" * 4500 + '"))'
    udf = udfvm.from_wasm(module, "twice", signature=TWICE)
    with pytest.raises(udfvm.UDFError, match=r"an error: xé{799}$"):
        udf("")


@pytest.mark.parametrize("names", ["export_0 export_1", "export export2"])
def test_allocators_without_names_are_told_by_their_types(names: str) -> None:
    udf = udfvm.from_wasm(bound(names=names), "twice", signature=TWICE)
    assert udf("ab") == "abab"
    # Two functions of that type: which one allocates cannot be told.
    other = '(func (export "__wbindgen_export_7") (param i32 i32) (result i32) (i32.const 0)))'
    module = bound(names=names).removesuffix(")") + other
    with pytest.raises(udfvm.SignatureError, match="those of wasm-bindgen"):
        udfvm.from_wasm(module, "twice", signature=TWICE)


def test_what_it_logs() -> None:
    printed: list[tuple[str, str]] = []
    udf = udfvm.from_wasm(
        bound(),
        "tell",
        signature="(text: text) -> i32",
        log=lambda text, stream: printed.append((stream, text)),
    )
    assert udf("é") == 1
    assert "".join(text for stream, text in printed if stream == "stdout") == "é\n"
    assert "".join(text for stream, text in printed if stream == "stderr") == "empty\n?\n"


@pytest.mark.parametrize("kind", ["i32", "externref"])
def test_the_hook_of_a_panic_tells_its_message(kind: str) -> None:
    """console_error_panic_hook puts the stack of an Error behind it, for which there is a place."""
    module = f"""(module
  (import "./it_bg.js" "__wbg_new_693216e109162396" (func $new (result {kind})))
  (import "./it_bg.js" "__wbg_stack_0ddaca5d1abfb52f" (func $stack (param i32 {kind})))
  (import "./it_bg.js" "__wbg_error_09919627ac0992f5" (func $error (param i32 i32)))
  (memory (export "memory") 1) (data (i32.const 16) "panicked at src/lib.rs:7: é")
  (func (export "f") (param $to i32) (result i32)
    (i64.store (i32.const 64) (i64.const -1))
    (call $stack (local.get $to) (call $new))
    (if (i32.load (i32.const 68)) (then (return (i32.const -1))))
    (call $error (i32.const 16) (i32.add (i32.const 28) (i32.load (i32.const 68))))
    unreachable))"""
    udf = udfvm.from_wasm(module, "f")
    with pytest.raises(udfvm.UDFError, match=r"Its standard error:\n *panicked at src/lib.rs:7: é"):
        udf(64)
    assert udf(-4) == -1, "outside of the memory"


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [("", 41), ("_initialize", 41), ("__wasm_call_ctors", 41), ("__another", 0)],
)
def test_what_must_run_first_runs_first(replaced: str, expected: int) -> None:
    module = bound().replace("__wbindgen_start", replaced or "__wbindgen_start")
    assert udfvm.from_wasm(module, "started")() == expected


def test_one_of_those_that_must_run_first_is_enough() -> None:
    other = '(func (export "__wasm_call_ctors") (global.set $started (i32.const 9))))'
    assert udfvm.from_wasm(bound().removesuffix(")") + other, "started")() == 41
    with pytest.raises(udfvm.SignatureError, match="its __wbindgen_start failed: wasm"):
        udfvm.from_wasm(
            bound().replace("(global.set $started (i32.const 41))", "unreachable"), "started"
        )()


def price(article: int, name: str) -> float:
    return article * len(name) / 2


def test_host_functions_have_the_names_of_the_crate() -> None:
    module = """(module
  (import "./it_bg.js" "__wbg_price_1e123dfa64a6d658"
    (func $price (param i32 i32 i32) (result f64)))
  (memory (export "memory") 1) (data (i32.const 16) "abc")
  (func (export "f") (result f64) (call $price (i32.const 5) (i32.const 16) (i32.const 3))))"""
    assert udfvm.from_wasm(module, "f", host_functions=[price])() == 7.5
    for name in ("__wbg_price_1e123dfa64a6d65", "__wbg_price_1E123dfa64a6d658", "__wbg_price"):
        another = module.replace("__wbg_price_1e123dfa64a6d658", name)
        with pytest.raises(udfvm.SignatureError, match=f"{name}"):
            udfvm.from_wasm(another, "f", host_functions=[price])
