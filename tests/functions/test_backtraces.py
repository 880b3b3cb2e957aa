"""Backtraces of compiled code: names as people wrote them, the function's own frames, registers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import udfvm

# Names that compilers make, and what they stand for. c++filt says the same of those of C++, but for
# parameters, arguments of templates and what short names stand for.
NAMES = {
    "main": "main",
    "_ZN5outer5innerEi": "outer::inner",
    "_ZNK5outer4Made3getEv": "outer::Made::get",
    "_ZN5outer4MadeC2Ev": "outer::Made::Made",
    "_ZN5outer4MadeD1Ev": "outer::Made::~Made",
    "_Z3addii": "add",
    "_Z3maxIiET_S0_S0_": "max<...>",
    "_ZNSt6vectorIiSaIiEE9push_backERKi": "std::vector<...>::push_back",
    "_ZN5outerI3FooLi5EE5innerEv": "outer<...>::inner",
    "_ZNSs6appendEPKc": "std::string::append",
    "_ZN4core9panicking9panic_fmt17h0123456789abcdefE": "core::panicking::panic_fmt",
    "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE": (
        "<alloc::string::String as core::fmt::Debug>::fmt"
    ),
    "_RNvCs1234_7mycrate3foo": "mycrate::foo",
    "_RNvCs1234_7mycrate3foo.llvm.123": "mycrate::foo",
    "_ZL5innerPK3Fool.constprop.0.cold": "inner",
    "_ZN5outerL5innerEi": "outer::inner",
    "_RNvMs_NtCs1234_7mycrate3barNtB4_3Baz4quux": "<mycrate::bar::Baz>::quux",
    "_RINvCs1234_7mycrate3mapmNtB2_3FooE": "mycrate::map::<u32, mycrate::Foo>",
    "_RINvCs1234_7mycrate3mapRShAtj3_TbdEE": "mycrate::map::<&[u8], [u16; 0x3], (bool, f64)>",
    "_RNCNvCs1234_7mycrate4main0B3_": "mycrate::main::{closure}",
    "_RNvXCs1234_7mycrateNtB2_3FooNtCs5678_4core5Debug3fmt": ("<mycrate::Foo as core::Debug>::fmt"),
    # What is no such name, or refers to parts that are not known, stays as it is.
    "_Z": "_Z",
    "_R": "_R",
    "_ZN": "_ZN",
    "_ZN9999abE": "_ZN9999abE",
    "_ZNSolsEPFRSoS_E": "_ZNSolsEPFRSoS_E",
    "_RNvB_": "_RNvB_",
    "_RINvB3_3fooE": "_RINvB3_3fooE",
    "_R" + "I" * 300: ("_R" + "I" * 300)[:256],
}
LIBRARIES = ("std::", "core::", "<alloc::")
MODULE = f"""
(module
  (type $crash (func (param i32) (result i32)))
  (table funcref (elem {" ".join(f"${name}" for name in NAMES)}))
  {"".join(f"(func ${name} (type $crash) unreachable)" for name in NAMES)}
  (func (export "crash") (param i32) (result i32)
    (call_indirect (type $crash) (i32.const 0) (local.get 0))))
"""


def test_names_are_readable() -> None:
    crash = udfvm.from_wasm(MODULE, "crash")
    for index, name in enumerate(NAMES.values()):
        with pytest.raises(udfvm.UDFError) as caught:
            crash(index)
        own, _, libraries = str(caught.value).partition("\nIn libraries that #0 called")
        if name.startswith(LIBRARIES):
            assert f"\n  #1 {name} (offset 0x" in libraries and "#0 function " in own
        else:
            assert f"\n  #0 {name} (offset 0x" in own and not libraries


NATIVE = """
__attribute__((noinline)) int inner(int x) __asm__("_ZN5outer5innerEi");
int inner(int x) { return *(volatile int *)0 + x; }
int crash(int x) { return inner(x) + 1; }
"""


def test_frames_of_the_function_come_first_and_registers_last() -> None:
    crash = udfvm.from_c(NATIVE, "crash", signature="(i32) -> i32")
    with pytest.raises(udfvm.GuestCrashError) as caught:
        crash(1)
    frames, registers = (
        str(caught.value).partition("Backtrace, innermost first:\n")[2].split("\nRegisters:\n")
    )
    first, second = frames.splitlines()
    assert "outer::inner+0x" in first and "crash+0x" in second
    assert "rip=0x" in registers and "#" not in registers


# ---- Frames of libraries come after the function's, where it called them ----

RUST = """
#[inline(never)]
fn pick(values: &[i32], at: usize) -> i32 { values[at] + 1 }
#[inline(never)]
fn choose(x: i32) -> i32 { let values = vec![1, 2, x]; pick(&values, x as usize) }
#[no_mangle]
pub extern "C" fn crash(x: i32) -> i32 { if x == 9 { std::process::abort() } choose(x) * 2 }
#[no_mangle]
pub extern "C" fn parses(x: i32) -> i32 { format!("a{x}").parse::<i32>().unwrap() }
"""
CPP = """
#include <cassert>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <vector>
namespace outer {
[[gnu::noinline]] int inner(int x)
{
    switch (x) {
    case 1: throw std::runtime_error("no");
    case 2: std::terminate();
    case 3: std::abort();
    case 4: return std::vector<int>().at(9);
    case 5: assert(x == 0);
    }
    return x;
}
}
extern "C" int crash(int x) { return outer::inner(x) + 1; }
"""


def frames_of(error: pytest.ExceptionInfo[udfvm.UDFError]) -> tuple[list[str], list[str]]:
    """The names of the function's own frames, and of those of libraries."""
    text = str(error.value).partition("Backtrace, innermost first:\n")[2]
    own, _, rest = text.partition("\nRegisters:")[0].partition("\nIn libraries that #0 called")
    names = [
        [line.split(" ", 4)[4].rpartition("+0x")[0] for line in part.splitlines() if "#" in line]
        for part in (own, rest.partition("\n")[2])
    ]
    return names[0], names[1]


def made(folder: Path, compiler: str, source: str, *options: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    path, made = folder / f"source.{'rs' if compiler == 'rustc' else 'cpp'}", folder / "made.so"
    path.write_text(source)
    subprocess.run([compiler, *options, "-o", made, path], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("options", [(), ("-C", "symbol-mangling-version=v0")])
def test_a_panic_of_rust_shows_the_function_first(tmp_path: Path, options: tuple[str, ...]) -> None:
    options = ("-C", "panic=abort", *options)
    path = made(tmp_path, "rustc", RUST, "--crate-type=cdylib", *options)
    crash = udfvm.from_elf(path, "crash", signature="(i32) -> i32")
    with pytest.raises(udfvm.GuestCrashError) as caught:
        crash(7)
    own, libraries = frames_of(caught)
    assert own == ["source::pick", "source::choose", "crash"]
    assert "core::panicking::panic_bounds_check" in libraries
    with pytest.raises(udfvm.GuestCrashError) as caught:
        crash(9)
    assert frames_of(caught)[0] == ["crash"]
    parses = udfvm.from_elf(path, "parses", signature="(i32) -> i32")
    with pytest.raises(udfvm.GuestCrashError) as caught:
        parses(1)
    own, libraries = frames_of(caught)
    assert own == ["parses"] and "core::result::unwrap_failed" in libraries


def test_a_panic_that_cannot_leave_a_function(tmp_path: Path) -> None:
    """Rust's library maps the object once more, right before itself, to read its symbols."""
    path = made(tmp_path, "rustc", RUST, "--crate-type=cdylib", "-O")
    crash = udfvm.from_elf(path, "crash", signature="(i32) -> i32")
    with pytest.raises(udfvm.GuestCrashError) as caught:
        crash(7)
    own, libraries = frames_of(caught)
    assert own == ["crash"] and "core::panicking::panic_cannot_unwind" in libraries


@pytest.mark.parametrize("options", [(), ("-static-libstdc++", "-static-libgcc")])
def test_the_end_of_a_program_in_cpp_shows_the_function_first(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = made(tmp_path, "g++", CPP, "-shared", "-fPIC", "-std=c++17", *options)
    crash = udfvm.from_elf(path, "crash", signature="(i32) -> i32")
    assert crash(0) == 1
    called = ["__cxa_throw", "std::terminate", "abort", "std::vector<...>::at", "__assert_fail"]
    for number, name in enumerate(called, start=1):
        with pytest.raises(udfvm.GuestCrashError) as caught:
            crash(number)
        own, libraries = frames_of(caught)
        assert own == ["outer::inner", "crash"], number
        assert name in libraries and "abort" in libraries
