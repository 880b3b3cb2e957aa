"""Backtraces of compiled code: names as people wrote them, the function's own frames, registers."""

from __future__ import annotations

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
        assert f"\n  #0 {name} (offset 0x" in str(caught.value)


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
