"""Columns of random lists and structs go through functions of ``udfvm.h``, row by row and whole.

``UDFVM_EVERY_WAY`` is how many types there are. Each takes the images of two functions.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Final

import pyarrow as pa
from every_column import EveryColumn
from golden_files import difference

import udfvm

COUNT: Final = int(os.environ.get("UDFVM_EVERY_WAY", "3"))
LEAVES: Final = {
    "i8": pa.int8(), "i16": pa.int16(), "i32": pa.int32(), "i64": pa.int64(),
    "u8": pa.uint8(), "u16": pa.uint16(), "u32": pa.uint32(), "u64": pa.uint64(),
    "f32": pa.float32(), "f64": pa.float64(), "boolean": pa.bool_(), "text": pa.string(),
    "blob": pa.binary(),
}  # fmt: skip
# A function that hands on the arrays that it gets.
WHOLE: Final = """
UDFVM_VECTOR({name}_whole, optional_{type}, (optional_{type}, value))
{{
    static struct ArrowArray copy;
    copy = arguments[0];
    *result = copy;
}}
"""


class Types:
    """Types of udfvm.h, and their declarations."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.declarations: list[str] = []

    def nested(self, depth: int) -> tuple[str, pa.DataType]:
        """The name of a list or struct, and Arrow's type."""
        chance = self._chance
        if chance.random() < 0.5:
            name, type_ = self._any(depth - 1)
            item = f"optional_{name}"
            if depth > 1 and name.startswith("list_"):
                self._declare(f"UDFVM_LIST({item})")
            return f"list_{item}", pa.list_(type_)
        fields = [self._any(depth - 1) for _ in range(chance.choice([1, 2, 5]))]
        name = f"struct{len(self.declarations)}"
        pairs = ", ".join(f"(optional_{field}, f{i})" for i, (field, _) in enumerate(fields))
        self._declare(f"UDFVM_STRUCT({name}, {pairs})")
        return name, pa.struct([(f"f{i}", type_) for i, (_, type_) in enumerate(fields)])

    def _declare(self, text: str) -> None:
        if text not in self.declarations:
            self.declarations.append(text)

    def _any(self, depth: int) -> tuple[str, pa.DataType]:
        if depth and self._chance.random() < 0.6:
            return self.nested(depth)
        return self._chance.choice(list(LEAVES.items()))


def test_columns_of_every_type_come_back(tmp_path: Path) -> None:
    chance = random.Random(os.environ.get("UDFVM_EVERY_WAY", ""))
    types, columns = Types(chance), EveryColumn(chance)
    made = [types.nested(3) for _ in range(COUNT)]
    functions = [
        f"UDFVM_SCALAR(same{i}, optional_{name}, (optional_{name}, value)) {{ return value; }}"
        + WHOLE.format(name=f"same{i}", type=name)
        for i, (name, _) in enumerate(made)
    ]
    source = "\n".join(["#include <udfvm.h>", *types.declarations, *functions])
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I", udfvm.get_include()]
    subprocess.run(
        [*command, "-x", "c", "-", "-o", tmp_path / "made"], input=source, text=True, check=True
    )
    for i, (_, type_) in enumerate(made):
        for name in (f"same{i}", f"same{i}_whole"):
            same = udfvm.from_elf(tmp_path / "made", name)
            assert same.result.type.arrow == type_
            whole = columns.of(type_, 9)
            for column in (whole, whole.slice(2, 3), whole.slice(8), whole[:0]):
                assert not difference(pa.chunked_array([column]), pa.chunked_array([same(column)]))
            for value in whole.to_pylist():
                assert repr(same(value)) == repr(value)
