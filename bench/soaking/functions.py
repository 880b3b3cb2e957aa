"""The functions that a soak calls: of every kind and language, and those that fail."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

import udfvm

C = """
#include <udfvm.h>
UDFVM_SCALAR(native_sum, f64, (f64, a), (f64, b)) { return a + b + SHIFT; }
UDFVM_SCALAR(native_crash, i64, (i64, address)) { return *(volatile int64_t *)address; }
UDFVM_AGGREGATE(native_total, double, f64, (f64, value)) { *group += value; }
UDFVM_FINISH(native_total) { return *group; }
UDFVM_INVERSE(native_total, (f64, value)) { *group -= value; }
UDFVM_MERGE(native_total) { *group += *other; }
UDFVM_TABLE(native_count, i64, (i64, last))
{
    for (int64_t value = 1; value <= last; value++)
        udfvm_emit_native_count(value);
}
"""
WASM = """(module
    (import "udfvm" "emit_wasm_count" (func $emit (param i64)))
    (func (export "wasm_sum") (param f64 f64) (result f64) local.get 0 local.get 1 f64.add)
    (func (export "wasm_trap") (param i64) (result i64) unreachable)
    (func (export "wasm_total_init") (result f64) f64.const 0)
    (func (export "wasm_total_step") (param f64 f64) (result f64)
        local.get 0 local.get 1 f64.add)
    (func (export "wasm_total_finish") (param f64) (result f64) local.get 0)
    (func (export "wasm_count") (param $last i64) (local $value i64)
        (loop $again
            (local.set $value (i64.add (local.get $value) (i64.const 1)))
            (call $emit (local.get $value))
            (br_if $again (i64.lt_s (local.get $value) (local.get $last))))))"""
COMPONENT = """(component
    (core module $m
        (func (export "product") (param f64 f64) (result f64) local.get 0 local.get 1 f64.mul))
    (core instance $i (instantiate $m))
    (type $pair (record (field "x" f64) (field "y" f64)))
    (export $exported "pair" (type $pair))
    (func (export "product") (param "of" $exported) (result f64)
        (canon lift (core func $i "product"))))"""


@udfvm.udf
def plus(a: float, b: float) -> float:
    return a + b


@udfvm.udf
def shout(text: str) -> str:
    return text.upper()


@udfvm.udf(vectorized=True, elementwise=True, input_types=["double"], output_type="double")
def twice(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return x * 2


@udfvm.table_function(columns={"value": int})
def count_to(last: int) -> range:
    return range(1, last + 1)


@udfvm.aggregate
class spread:  # noqa: N801 - named as in SQL
    """The largest less the least."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float) -> None:
        self.values.append(value)

    def inverse(self, value: float) -> None:
        self.values.remove(value)

    def merge(self, other: spread) -> None:
        self.values += other.values

    def finish(self) -> float | None:
        return max(self.values) - min(self.values) if self.values else None


@udfvm.udf
def fails(x: int) -> int:
    if x > 2:
        raise ValueError(f"{x} is too much")
    return x


@udfvm.udf(timeout=0.05)
def endless(x: int) -> int:
    while x > 2:
        pass
    return x


@udfvm.udf
def slow(x: int) -> int:
    while x > 2:
        pass
    return x


@udfvm.udf
def crashes(x: int) -> int:
    import ctypes

    return x if x <= 2 else ctypes.string_at(x)[0]


@udfvm.udf
def leaves(x: int) -> int:
    if x > 2:
        os._exit(3)
    return x


@udfvm.udf(log=lambda _text, _stream: None)
def prints(x: int) -> int:
    print("x" * 1000)
    return x


@udfvm.udf(max_output="64KiB")
def long_text(length: int) -> str:
    return "x" * length


def half(x: float) -> float:
    """A host function."""
    if x < 0:
        raise ArithmeticError("negative")
    return x / 2


@udfvm.udf(host_functions=[half])
def quarter(x: float) -> float:
    return half(half(x))


@udfvm.udf(data={"functions": __file__})
def lines(text: str) -> int:
    """How many lines of this file have a text."""
    with open("/data/functions", encoding="utf-8") as file:
        return sum(text in line for line in file)


@udfvm.udf
def in_turns(count: int) -> int:
    """Threads of the guest, which a timer preempts, and a socket between them."""
    import socket
    import threading

    here, there = socket.socketpair()

    def send() -> None:
        for number in range(count):
            there.send(bytes([number % 256]))
        there.close()

    sender = threading.Thread(target=send)
    sender.start()
    received = 0
    while part := here.recv(16):
        received += len(part)
    sender.join()
    here.close()
    return received


@dataclass(frozen=True)
class Functions:
    """The functions, with VMs of one pool."""

    pool: udfvm.Pool
    plus: Any
    shout: Any
    twice: Any
    count_to: Any
    spread: Any
    fails: Any
    endless: Any
    slow: Any
    crashes: Any
    leaves: Any
    prints: Any
    long_text: Any
    quarter: Any
    lines: Any
    in_turns: Any
    native_sum: Any
    native_crash: Any
    native_total: Any
    native_count: Any
    wasm_sum: Any
    wasm_trap: Any
    wasm_total: Any
    wasm_count: Any
    product: Any


TIMEOUT = 600.0  # of calls that are to end well, also on a machine that stands still for a while
PYTHON = (
    plus, shout, twice, count_to, spread, fails, endless, slow, crashes, leaves, prints, long_text,
    quarter, lines, in_turns,
)  # fmt: skip
NATIVE = ("native_sum", "native_crash", "native_total", "native_count")
WASM_SIGNATURES = {
    "wasm_sum": None,
    "wasm_trap": None,
    "wasm_total": None,
    "wasm_count": "(last: i64) ->> struct<value: i64>",
}


def of_pool(pool: udfvm.Pool) -> Functions:
    """Returns the functions of a pool. Their images are built by their first calls."""
    made: dict[str, Any] = {
        each.name: each.with_options(pool=pool, timeout=TIMEOUT) for each in PYTHON
    }
    made["endless"] = endless.with_options(pool=pool)
    for name in NATIVE:
        made[name] = native(name, 0, pool)
    for name, signature in WASM_SIGNATURES.items():
        made[name] = udfvm.from_wasm(WASM, name, signature=signature, pool=pool, timeout=TIMEOUT)
    made["product"] = udfvm.from_wasm(COMPONENT, "product", pool=pool, timeout=TIMEOUT)
    return Functions(pool=pool, **made)


def native(name: str, shift: int, pool: udfvm.Pool) -> Any:
    """Returns a function in C, which the compiler makes now."""
    flags = (f"-DSHIFT={shift}",)
    return udfvm.from_c(C, name, flags=flags, pool=pool, timeout=TIMEOUT, log="drop")
