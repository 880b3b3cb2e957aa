"""Functions of plug-ins for Extism (extism.org), each from an input to an output, as UDFs.

``modules=`` links three modules: ``kernel.wat``, which has what plug-ins import, the plug-in, and
an adapter, which passes the input and takes the output. What a plug-in keeps does not last: each
call begins anew.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import udfvm

KERNEL = Path(__file__).with_name("kernel.wat")
ADAPTER = """(module
  (import "plugin" "{function}" (func $function (result i32)))
  (import "extism:host/env" "memory" (memory 1))
  (import "extism:host/env" "begin" (func $begin))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "input" (func $input (param i32)))
  (import "extism:host/env" "output" (func $output (result i32 i32)))
  (import "extism:host/env" "error_get" (func $error (result i64)))
  (import "wbg" "__wbindgen_throw" (func $throw (param i32 i32)))
  (export "memory" (memory 0))
  (data (i32.const 0) "the plug-in failed")
  (func $malloc (export "malloc") (param i32) (result i32)
    (call $begin)
    (i32.wrap_i64 (call $alloc (i64.extend_i32_u (local.get 0)))))
  (func (export "free") (param i32))
  (func (export "call") (param i32 i32) (result i32 i32) (local $failed i32)
    (if (i32.eqz (local.get 1))  ;; for no bytes nobody calls malloc
      (then (local.set 0 (call $malloc (i32.const 0)))))
    (call $input (local.get 0))
    (local.set $failed (call $function))
    (if (i64.ne (call $error) (i64.const 0))
      (then (call $throw (i32.wrap_i64 (call $error))
                         (i32.wrap_i64 (call $length (call $error))))))
    (if (local.get $failed) (then (call $throw (i32.const 0) (i32.const 18))))
    (call $output)))"""


def function_of(
    plugin: str | os.PathLike[str] | bytes, function: str, **options: Any
) -> udfvm.ScalarFunction:
    """Returns a function of a plug-in as a UDF of text. ``options`` are those of ``from_wasm``."""
    made = udfvm.from_wasm(
        ADAPTER.format(function=function),
        "call",
        name=function,
        signature="(input: text) -> text",
        modules={"extism:host/env": KERNEL, "plugin": plugin},
        imports="trap",
        **options,
    )
    assert isinstance(made, udfvm.ScalarFunction)
    return made


if __name__ == "__main__":
    path, name, text = sys.argv[1:]
    print(function_of(path, name)(text))
