"""Components that import WASI: randomness, clocks, arguments, standard error."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

import udfvm

WASI = """
(component
  (import "wasi:random/random@0.2.VERSION" (instance $random
    (export "get-random-u64" (func (result u64)))
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (import "wasi:random/insecure-seed@0.2.0"
    (instance $seed (export "insecure-seed" (func (result (tuple u64 u64))))))
  (import "wasi:clocks/wall-clock@0.2.0" (instance $clock
    (type $time (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $time-type (eq $time)))
    (export "now" (func (result $time-type)))))
  (import "wasi:cli/environment@0.2.0"
    (instance $environment (export "get-arguments" (func (result (list string))))))
  (core module $memory (memory (export "memory") 2) (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $m (instantiate $memory))
  (core func $number (canon lower (func $random "get-random-u64")))
  (core func $bytes
    (canon lower (func $random "get-random-bytes") (memory (core memory $m "memory"))
      (realloc (core func $m "realloc"))))
  (core func $pair (canon lower (func $seed "insecure-seed") (memory (core memory $m "memory"))))
  (core func $now (canon lower (func $clock "now") (memory (core memory $m "memory"))))
  (core func $arguments (canon lower (func $environment "get-arguments")
    (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
  (core module $code
    (import "m" "memory" (memory 1)) (import "w" "number" (func $number (result i64)))
    (import "w" "bytes" (func $bytes (param i64 i32)))
    (import "w" "pair" (func $pair (param i32))) (import "w" "now" (func $now (param i32)))
    (import "w" "arguments" (func $arguments (param i32)))
    (func (export "number") (result i64) (call $number))
    (func (export "bytes") (param i32) (result i32)
      (call $bytes (i64.extend_i32_u (local.get 0)) (i32.const 16)) (i32.const 16))
    (func (export "seed") (result i32) (call $pair (i32.const 16)) (i32.const 16))
    (func (export "seconds") (result i64) (call $now (i32.const 16)) (i64.load (i32.const 16)))
    (func (export "arguments") (result i32) (call $arguments (i32.const 16)) (i32.const 16)))
  (core instance $i (instantiate $code (with "m" (instance $m)) (with "w" (instance
    (export "number" (func $number)) (export "bytes" (func $bytes)) (export "pair" (func $pair))
    (export "now" (func $now)) (export "arguments" (func $arguments))))))
  (func (export "number") (result u64) (canon lift (core func $i "number")))
  (func (export "bytes") (param "count" u32) (result (list u8))
    (canon lift (core func $i "bytes") (memory (core memory $m "memory"))))
  (func (export "seed") (result (tuple u64 u64))
    (canon lift (core func $i "seed") (memory (core memory $m "memory"))))
  (func (export "seconds") (result u64) (canon lift (core func $i "seconds")))
  (func (export "arguments") (result (list string))
    (canon lift (core func $i "arguments") (memory (core memory $m "memory")))))
"""


@pytest.mark.parametrize("version", [0, 3, 6])
def test_randomness_is_new_in_every_call(version: int) -> None:
    text = WASI.replace("VERSION", str(version))
    number, data, seed = (udfvm.from_wasm(text, name) for name in ("number", "bytes", "seed"))
    assert len({number() for _ in range(3)}) == 3
    assert len({data(20) for _ in range(3)}) == 3
    assert len(data(1000)) == 1000
    assert len({tuple(seed().values()) for _ in range(3)}) == 3
    same = udfvm.from_wasm(text, "number", deterministic=True)
    assert same() == same()


def test_wasi_of_components() -> None:
    text = WASI.replace("VERSION", "0")
    seconds, before = udfvm.from_wasm(text, "seconds"), time.time()
    assert before - 1 <= seconds() <= time.time() + 1  # it counts whole seconds
    assert udfvm.from_wasm(text, "arguments", args=["program", "ä"])() == ["program", "ä"]


STDERR = """
(component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error-type (type $outer)) (export "error" (type $inner (eq $outer)))
    (type $failure (variant (case "last-operation-failed" (own $inner)) (case "closed")))
    (export "stream-error" (type $failure-type (eq $failure)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $stream)) (param "contents" (list u8))
        (result (result (error $failure-type)))))))
  (alias export $streams "output-stream" (type $stream-type))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $stream-type (type $outer)) (export "output-stream" (type $stream (eq $outer)))
    (export "get-stderr" (func (result (own $stream))))))
  (core module $memory (memory (export "memory") 1) (data (i32.const 64) "unlucky numbers"))
  (core instance $m (instantiate $memory))
  (core func $get (canon lower (func $stderr "get-stderr")))
  (core func $write
    (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
      (memory (core memory $m "memory"))))
  (core module $code
    (import "w" "get" (func $get (result i32)))
    (import "w" "write" (func $write (param i32 i32 i32 i32)))
    (func (export "panic") (param i32) (result i32)
      (call $write (call $get) (i32.const 64) (local.get 0) (i32.const 16))
      (if (i32.eq (local.get 0) (i32.const 7)) (then unreachable))
      (local.get 0)))
  (core instance $i
    (instantiate $code
      (with "w" (instance (export "get" (func $get)) (export "write" (func $write))))))
  (func (export "panic") (param "length" u32) (result u32) (canon lift (core func $i "panic"))))
"""


def test_a_trap_tells_what_was_written_to_the_standard_error() -> None:
    panic = udfvm.from_wasm(STDERR, "panic")
    assert panic(pa.array([9, 15], pa.uint32())).to_pylist() == [9, 15]
    with pytest.raises(
        udfvm.UDFError,
        match=r"row 1: Trap: wasm `unreachable`(.|\n)*\nIts standard error:\nunlucky\Z",
    ):
        panic(pa.array([9, 7, 2], pa.uint32()))
