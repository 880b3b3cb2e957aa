"""Components for tests: functions that return what they are given, for any type of WIT.

What ``list<T>`` is in a component's memory, its argument, is what it is there as a result
(component-model.bytecodealliance.org, canonical ABI), so a function from ``list<T>`` to ``list<T>``
needs to do nothing but hand on address and length.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

CORE: Final = """
  (core module $m
    (memory (export "memory") 64)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "reset") (param i32) (global.set $free (i32.const 4096)))
    (func (export "same") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1))
      (i32.const 16)))
  (core instance $i (instantiate $m))
"""

SIMPLE_TYPES: Final = {
    "bool": "bool",
    "s8": "int8",
    "s16": "int16",
    "s32": "int32",
    "s64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f32": "float",
    "f64": "double",
    "string": "string",
    "char": "string",
    "enum": "string",
    "flags": "list<item: string>",
}
TEXTS: Final = ("", "a", "añ", "日本\0語", 'quote " and \\', "\x1f\n", "🙂" * 40)
FLOATS: Final = (0.0, -0.0, 0.5, 0.25, 2.0**100, float("inf"), 7.0)
DOUBLES: Final = (0.0, -0.0, 0.5, -1e-3, 2.0**100, float("inf"), 7.0)
VALUES: Final[dict[str, Callable[[random.Random], Any]]] = {
    "bool": lambda chance: chance.random() < 0.5,
    "f32": lambda chance: chance.choice(FLOATS),
    "f64": lambda chance: chance.choice(DOUBLES),
    "string": lambda chance: chance.choice(TEXTS),
    "char": lambda chance: chance.choice("aß語🙂\0"),
}


def _integer(name: str, chance: random.Random) -> int:
    bits = int(name[1:])
    lowest = -(2 ** (bits - 1)) if name[0] == "s" else 0
    highest = lowest + 2**bits - 1
    return chance.choice((lowest, highest, 0, 1, chance.randint(lowest, highest)))


@dataclass(frozen=True)
class Wit:
    """A type of WIT: its name, or its constructor and what is in it."""

    name: str
    fields: tuple[tuple[str, Wit], ...] = ()
    words: tuple[str, ...] = ()

    def arrow(self) -> str:
        """The name of the Arrow type."""
        inner = [(name, field.arrow()) for name, field in self.fields]
        if self.name == "list":
            of_bytes = self.fields[0][1].name == "u8"
            arrow = "binary" if of_bytes else f"list<item: {inner[0][1]}>"
        elif self.name == "option":
            arrow = inner[0][1]
        elif self.name in ("record", "tuple"):
            arrow = f"struct<{', '.join(f'{name}: {field}' for name, field in inner)}>"
        else:
            arrow = SIMPLE_TYPES[self.name]
        return arrow

    def text(self, types: list[str]) -> str:
        """As the text format has it. What must have a name is defined in ``types``."""
        inner = [(name, field.text(types)) for name, field in self.fields]
        match self.name:
            case "list" | "option":
                return f"({self.name} {inner[0][1]})"
            case "tuple":
                return f"(tuple {' '.join(field for _, field in inner)})"
            case "record":
                definition = (
                    "(record "
                    + " ".join(f'(field "{name}" {field})' for name, field in inner)
                    + ")"
                )
            case "enum" | "flags":
                words = " ".join(f'"{word}"' for word in self.words)
                definition = f"({self.name} {words})"
            case _:
                return self.name
        name = f"$t{len(types)}"
        types.append(f'(type {name} {definition}) (export {name}e "t{len(types)}" (type {name}))')
        return f"{name}e"

    def value(self, chance: random.Random) -> Any:
        """A value, as pyarrow has it in Python."""
        if self.name in VALUES:
            value = VALUES[self.name](chance)
        elif self.name == "enum":
            value = chance.choice(self.words)
        elif self.name == "flags":
            value = [word for word in self.words if chance.random() < 0.5]
        elif self.name == "option":
            value = None if chance.random() < 0.4 else self.fields[0][1].value(chance)
        elif self.name == "list":
            items = [self.fields[0][1].value(chance) for _ in range(chance.choice((0, 0, 1, 2, 9)))]
            value = bytes(items) if self.arrow() == "binary" else items
        elif self.name in ("record", "tuple"):
            value = {name: field.value(chance) for name, field in self.fields}
        else:
            value = _integer(self.name, chance)
        return value


def simple(name: str) -> Wit:
    return Wit(name)


def list_of(item: Wit) -> Wit:
    return Wit("list", (("item", item),))


def option(inner: Wit) -> Wit:
    return Wit("option", (("some", inner),))


def record(**fields: Wit) -> Wit:
    return Wit("record", tuple((name.replace("_", "-"), field) for name, field in fields.items()))


def tuple_of(*fields: Wit) -> Wit:
    return Wit("tuple", tuple((str(index), field) for index, field in enumerate(fields)))


def same(item: Wit, more: str = "") -> str:
    """A component whose function ``same`` returns its argument, a list of this type, and that has
    more in it.
    """
    types: list[str] = []
    text = list_of(item).text(types)
    options = (
        '(memory (core memory $i "memory")) (realloc (core func $i "realloc")) (post-return (core'
        ' func $i "reset"))'
    )
    return f"""(component {CORE} {more} {" ".join(types)}
      (func (export "same") (param "the-list" {text}) (result {text})
        (canon lift (core func $i "same") {options})))"""


def through_host(item: Wit) -> str:
    """A component whose function ``same`` returns what a host function ``echo`` makes of its
    argument, a list of this type.
    """
    declared: list[str] = []
    text = list_of(item).text(declared)
    inside, aliases = [], []
    for declaration in declared:
        definition, _, exported = declaration.partition(" (export ")
        inner, name = exported.split(" ")[:2]
        inside.append(f"{definition} (export {name} (type {inner} (eq {inner[:-1]})))")
        aliases.append(f"(alias export $host {name} (type {inner}))")
    memory = '(memory (core memory $i "memory")) (realloc (core func $i "realloc"))'
    return f"""(component
      (import "demo:host/echoes" (instance $host {" ".join(inside)}
        (export "echo" (func (param "the-list" {text}) (result {text})))))
      {" ".join(aliases)} {CORE}
      (core func $echo (canon lower (func $host "echo") {memory}))
      (core module $code
        (import "w" "echo" (func $echo (param i32 i32 i32)))
        (func (export "same") (param i32 i32) (result i32)
          (call $echo (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
      (core instance $c
        (instantiate $code (with "w" (instance (export "echo" (func $echo))))))
      (func (export "same") (param "the-list" {text}) (result {text})
        (canon lift (core func $c "same") {memory} (post-return (core func $i "reset")))))"""
