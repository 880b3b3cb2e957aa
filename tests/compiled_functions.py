"""What the tests of compiled functions in SQL share."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import apsw
import pytest
from guest_addresses import GUEST_ADDRESSES

import udfvm
import udfvm.sqlite

SOURCE = r"""
#include <udfvm.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

UDFVM_SCALAR(ratio, optional_f64, (f64, a), (f64, b))
{
    return b == 0 ? udfvm_null_f64() : udfvm_some_f64(a / b);
}
UDFVM_SCALAR(or_seven, i64, (optional_i64, value)) { return value.valid ? value.value : 7; }
UDFVM_SCALAR(negate, boolean, (boolean, value)) { return !value; }
UDFVM_SCALAR(narrow, i16, (i8, a), (u32, b), (f32, c)) { return (int16_t)(a - (int)b + (int)c); }
UDFVM_SCALAR(half, f32, (f32, value)) { return value / 2; }
UDFVM_SCALAR(twice, text, (text, value))
{
    udfvm_text made = { udfvm_allocate(2 * value.length + 1), 2 * value.length };
    memcpy((char *)made.data, value.data, value.length);
    memcpy((char *)made.data + value.length, value.data, value.length);
    return made;
}
UDFVM_SCALAR(tail, optional_blob, (blob, value))
{
    return value.length ? udfvm_some_blob((udfvm_blob){ value.data + 1, value.length - 1 })
                        : udfvm_null_blob();
}
UDFVM_SCALAR(root, f64, (f64, value))
{
    if (value < 0)
        udfvm_fail("no root of %g", value);
    return sqrt(value);
}
UDFVM_SCALAR(same, i64, (i64, value)) { return value; }
UDFVM_VECTOR(total, f64, (f64, a), (f64, b))
{
    const double *a = arguments[0].buffers[1], *b = arguments[1].buffers[1];
    double *out = (double *)result->buffers[1];
    for (int64_t row = 0; row < result->length; row++)
        out[row] = a[row] + b[row];
}
static int64_t state;
UDFVM_SCALAR(calls, i64) { return ++state; }
UDFVM_SCALAR(crash, i64, (i64, value)) { return value == 3 ? *(volatile int *)8 : value; }
UDFVM_SCALAR(endless, i64, (i64, value)) { for (;;) state++; return value; }
UDFVM_SCALAR(leaves, i64, (i64, value)) { _exit((int)value); }
UDFVM_SCALAR(forges, i64, (i64, value))
{
    memset((void *)UDFVM_OUTPUT_BASE, 0xff, 64);
    ((void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE)(UDFVM_STATUS_OK, (uint64_t)value);
    return 1;
}
UDFVM_SCALAR(privileged, i64, (i64, value))
{
    __asm__ volatile("outb %%al, $0x80" ::"a"((char)value));
    return value;
}
double plain(double a, int64_t b) { return a * (double)b; }
"""


SIGNATURES = {
    "ratio": "(double, double) -> double",
    "or_seven": "(int?) -> int",
    "negate": "(bool) -> bool",
    "narrow": "(int, int, double) -> int",
    "half": "(double) -> double",
    "twice": "(text) -> text",
    "tail": "(blob) -> blob",
    "root": "(double) -> double",
    "same": "(int) -> int",
    "total": "(double, double) -> double",
    "plain": "(double, int) -> double",
    "calls": "() -> int",
    "crash": "(int) -> int",
    "endless": "(int) -> int",
    "leaves": "(int) -> int",
    "forges": "(int) -> int",
    "privileged": "(int) -> int",
}


MODULE = """(module
    (func (export "area") (param f64 f64) (result f64) local.get 0 local.get 1 f64.mul)
    (func (export "next") (param i32) (result i32) local.get 0 i32.const 1 i32.add)
    (func $trap (export "trap") (param i64) (result i64)
        local.get 0 i64.eqz if unreachable end local.get 0)
    (func (export "spin") (param i64) (result i64) loop br 0 end unreachable)
    (global $count (mut i64) (i64.const 0))
    (func (export "calls") (result i64)
        global.get $count i64.const 1 i64.add global.set $count global.get $count))"""


WASM_SIGNATURES = {
    "area": "(double, double) -> double",
    "next": "(int) -> int",
    "trap": "(int) -> int",
    "spin": "(int) -> int",
    "calls": "() -> int",
}


def compiled(folder: Path, source: str) -> bytes:
    command = [
        "gcc",
        "-O1",
        "-shared",
        "-fPIC",
        "-I",
        udfvm.get_include(),
        "-x",
        "c",
        "-o",
        str(folder / "f.so"),
        "-",
        "-lm",
    ]
    subprocess.run(command, input=GUEST_ADDRESSES + source, text=True, check=True)
    return (folder / "f.so").read_bytes()


def query(connection: apsw.Connection, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
    return connection.execute(sql, bindings).fetchall()


def error_of(connection: apsw.Connection, sql: str, *bindings: Any) -> str:
    with pytest.raises(apsw.Error) as caught:
        query(connection, sql, *bindings)
    assert query(connection, "SELECT vm_udf('same', 5), vm_udf('w_next', 5)") == [(5, 6)], (
        "the next call is as before"
    )
    return str(caught.value)
