"""Modules that import their memory, as Emscripten's -sIMPORTED_MEMORY and --import-memory make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import udfvm

SOURCE = r"""
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define EXPORT(name) __attribute__((export_name(#name)))

__attribute__((import_module("env"), import_name("label")))
int label(int number, char *buffer, int capacity);

EXPORT(shout) char *shout(const char *text, size_t length)
{
    char *made = calloc(length + 1, 1);
    for (size_t at = 0; at < length; at++)
        made[at] = toupper(text[at]);
    printf("made %zu bytes\n", length);
    return made;
}

EXPORT(labelled) int labelled(int number)
{
    char buffer[20];
    const int length = label(number, buffer, sizeof buffer);
    return length * 1000 + buffer[length - 1];
}

EXPORT(grown) int grown(int mebibytes)
{
    char *block = malloc((size_t)mebibytes << 20);
    if (!block)
        return -1;
    memset(block, 7, (size_t)mebibytes << 20);
    return block[((size_t)mebibytes << 20) - 1];
}
"""
COMMAND = r"""
#include <stdio.h>
static int runs;
int main(void) { int first = getchar(); printf("%c%d", first, ++runs); return 0; }
"""


def label(number: int) -> str:
    return f"<{number}>"


def compiled(folder: Path, source: str, *flags: str) -> Path:
    pytest.importorskip("ziglang")
    made = folder / "made.wasm"
    command = [
        sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-s",
        "-Wl,--import-memory", *flags, "-x", "c", "-", "-o", str(made),
    ]  # fmt: skip
    subprocess.run(command, input=source.encode(), check=True)
    return made


@pytest.fixture(scope="module")
def reactor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    return compiled(folder, SOURCE, "-mexec-model=reactor", "-Wl,--export=malloc,--export=free")


def test_text_output_and_growth(reactor: Path) -> None:
    shout = udfvm.from_wasm(reactor, "shout", signature="(t: text) -> text", host_functions=[label])
    assert shout("straw") == "STRAW"
    assert shout(pa.array(["a", None, "bc"])).to_pylist() == ["A", None, "BC"]
    grown = udfvm.from_wasm(reactor, "grown", host_functions=[label])
    assert [grown(1), grown(40), grown(1)] == [7, 7, 7]
    assert grown(4000) == -1


def test_host_functions_find_it(reactor: Path) -> None:
    labelled = udfvm.from_wasm(reactor, "labelled", host_functions=[label])
    assert labelled(42) == 4000 + ord(">")


def test_a_module_that_exports_one_comes_first(reactor: Path) -> None:
    memory = '(module (memory (export "memory") 300) (data (i32.const 8) "x"))'
    shout = udfvm.from_wasm(
        reactor,
        "shout",
        signature="(t: text) -> text",
        host_functions=[label],
        modules={"env": memory},
    )
    assert shout("ab") == "AB"


def test_each_run_of_a_command_has_its_own(tmp_path: Path) -> None:
    command = udfvm.from_wasm(compiled(tmp_path, COMMAND), "_start", name="command")
    assert command(pa.array(["abc", "d"])).to_pylist() == ["a1", "d1"]


def test_it_is_nothing_that_a_module_lacks(reactor: Path) -> None:
    shout = next(found for found in udfvm.wasm.exports(reactor) if found.name == "shout")
    assert shout.usable and shout.needs == ("env.label",)


SECTIONS = {
    "nothing else": ("", '(func (export "f") (result i32) (memory.size))', 2),
    "a start function and data": (
        "",
        """(func $s (i32.store (i32.const 0) (i32.const 5))) (start $s)
           (table 1 funcref) (elem (i32.const 0) $s) (data (i32.const 8) "A")
           (func (export "f") (result i32)
             (i32.add (i32.load8_u (i32.const 8)) (i32.load (i32.const 0))))""",
        70,
    ),
    "another name of it": (
        "(global $g (mut i32) (i32.const 1))",
        '(export "mine" (memory 0)) (func (export "f") (result i32) (memory.size))',
        2,
    ),
    "another memory of that name": (
        '(memory (export "memory") 5)',
        '(func (export "f") (result i32) (i32.add (memory.size 0) (memory.size 1)))',
        7,
    ),
}


@pytest.mark.parametrize("what", sorted(SECTIONS))
def test_modules_of_other_forms(what: str) -> None:
    before, after, expected = SECTIONS[what]
    module = f'(module (import "js" "mem" (memory 2 9)) {before} {after})'
    assert udfvm.from_wasm(module, "f")() == expected


def test_a_module_of_that_name_has_to_have_it() -> None:
    module = '(module (import "env" "memory" (memory 1)) (func (export "f")))'
    with pytest.raises(udfvm.SignatureError, match=r"env\.memory \(a memory\) \(which that module"):
        udfvm.from_wasm(module, "f", modules={"env": "(module)"})


def test_a_shared_memory_is_refused() -> None:
    module = '(module (import "env" "memory" (memory 1 3 shared)) (func (export "f")))'
    with pytest.raises(udfvm.SignatureError, match="shared memory, which is for threads"):
        udfvm.from_wasm(module, "f")
