"""Memories of modules that grow in a call: they keep what they hold, and grow where they are."""

from __future__ import annotations

import pytest

import udfvm

# Grows a memory by so many pages, so often. Each time it writes the number of its size to the new
# end; in the end it reads them all. The result is the size, or how many steps there were, negative,
# where it could not grow any more.
GROW = """(module
  (memory (export "memory") 1) (memory $other 1)
  (func (export "grow") (param $steps i32) (param $pages i32) (result i32) (local $at i32)
    (local $step i32)
    (loop $more
      (local.set $step (i32.add (local.get $step) (i32.const 1)))
      (if (i32.lt_s (memory.grow (local.get $pages)) (i32.const 0))
        (then (return (i32.sub (i32.const 0) (local.get $step)))))
      (i32.store (call $end (memory.size)) (memory.size))
      (br_if $more (i32.lt_u (local.get $step) (local.get $steps))))
    (local.set $at (i32.const 1))
    (loop $read
      (local.set $at (i32.add (local.get $at) (local.get $pages)))
      (if (i32.ne (i32.load (call $end (local.get $at))) (local.get $at)) (then (unreachable)))
      (if (i32.load (i32.sub (call $end (local.get $at)) (i32.const 4))) (then (unreachable)))
      (br_if $read (i32.lt_u (local.get $at) (memory.size))))
    (memory.size))
  (func $end (param i32) (result i32)
    (i32.sub (i32.mul (local.get 0) (i32.const 65536)) (i32.const 4)))
  (func (export "both") (param $steps i32) (result i32) (local $step i32)
    (loop $more
      (local.set $step (i32.add (local.get $step) (i32.const 1)))
      (drop (memory.grow (i32.const 3)))
      (i32.store (i32.mul (local.get $step) (i32.const 196608)) (local.get $step))
      (drop (memory.grow $other (i32.const 3)))
      (i32.store $other (i32.mul (local.get $step) (i32.const 196608)) (local.get $step))
      (br_if $more (i32.lt_u (local.get $step) (local.get $steps))))
    (loop $read
      (if (i32.ne (i32.load (i32.mul (local.get $step) (i32.const 196608))) (local.get $step))
        (then (unreachable)))
      (if (i32.ne (i32.load $other (i32.mul (local.get $step) (i32.const 196608)))
                  (local.get $step))
        (then (unreachable)))
      (br_if $read (local.tee $step (i32.sub (local.get $step) (i32.const 1)))))
    (i32.add (memory.size) (memory.size $other))))"""
EMPTY = """(module (memory (export "memory") 0)
  (func (export "f") (param i32) (result i32)
    (drop (memory.grow (local.get 0))) (memory.size)))"""


def test_memories_grow_by_pages_in_place() -> None:
    grow = udfvm.from_wasm(GROW, "grow", memory="256MiB")
    assert grow(1700, 1) == 1701  # a copy of it would not fit besides
    assert grow(10, 170) == 1701
    assert grow(3, 1) == 4  # from the state of the beginning


def test_two_memories_in_turns() -> None:
    both = udfvm.from_wasm(GROW, "both", memory="256MiB")
    assert both(150) == 902
    assert both(1) == 8


def test_a_memory_that_cannot_grow_stays_as_it_is() -> None:
    grow = udfvm.from_wasm(GROW, "grow", memory="128MiB")
    for _ in range(2):
        stopped = -grow(3000, 1)
        assert 500 < stopped < 2048
    assert grow(20, 1) == 21


@pytest.mark.parametrize("pages", [0, 1, 40])
def test_a_memory_that_begins_empty(pages: int) -> None:
    assert udfvm.from_wasm(EMPTY, "f")(pages) == pages


def test_a_memory_that_does_not_fit_at_all() -> None:
    module = '(module (memory (export "memory") 4000) (func (export "f") (result i32) i32.const 1))'
    with pytest.raises(udfvm.SignatureError, match=r"no memory for the module.*raise memory="):
        udfvm.from_wasm(module, "f", memory="128MiB")
