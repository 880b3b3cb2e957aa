"""All that a guest can write, as the security model lists it, is marked in the runs of
tests/hostile that search for what another tenant left; or a test shows that it cannot be.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from leak_guest import PLACES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
RAW = "".join(
    (ROOT / "tests" / path).read_text()
    for path in ("core/raw_guest.h", "hostile/leak_steps.h", "hostile/leaks.c")
)

# By section and first cell: constants of the raw guest and its host, places of functions, or the
# program that shows that no guest can write it.
MARKED: dict[str, dict[str, tuple[str, ...]]] = {
    "## Restore: what a guest can write, and how it is put back": {
        "program memory, and the first 2 MiB of the output window": (
            "RAW_PLACE_PROGRAM",
            "RAW_PLACE_STACK",
            "RAW_PLACE_KERNEL",
            "RAW_PLACE_KERNEL_STACKS",
            "RAW_PLACE_TRAP_PAGE",
            "RAW_PLACE_OUTPUT",
            "output window",
            "STEP_FILE",
            "STEP_HOST_FUNCTION",
            "free memory",
            "kernel",
            "stack",
            "wild",
        ),
        "unlogged memory: the rest of the output window, and scratch": (
            "RAW_PLACE_WINDOW",
            "RAW_PLACE_SCRATCH",
            "unlogged memory",
        ),
        "borrowed replies, which a program reads in guest memory": ("STEP_REPLY", "LAST_BORROWED"),
        "the input window": ("STEP_REQUEST", "STEP_IN_PLACE", "LAST_UNSENT", "LAST_STREAM"),
        "what is mapped of the reserve": ("STEP_RESERVE", "test_reserve.c"),
        "the processor": ("RAW_PLACE_REGISTERS", "registers"),
        "output (log)": ("STEP_LOG", "output"),
        "open files of the guest": ("STEP_FILE",),
    },
    "### What a program keeps": {
        "memory": ("heap", "maps", "stack", "threads"),
        "files": ("files", "environment"),
        "environment": ("environment",),
        "descriptors": ("descriptors",),
        "signals": ("signals",),
        "threads": ("threads",),
        "the process": ("process",),
        "the interpreter": ("interpreter",),
        "output": ("output",),
    },
    "### The processor's state": {
        "general registers, RIP, RFLAGS (AC, ID, NT, TF included)": (
            "RAW_PLACE_REGISTERS",
            "RAW_PLACE_FLAGS",
            "RAW_END_TRAP_FLAG",
        ),
        "DS ES FS GS, FS and GS base": ("RAW_PLACE_SELECTORS", "RAW_PLACE_BASES"),
        "LDTR, TR, GDTR, IDTR": ("RAW_LDT", "RAW_TABLES"),
        "x87, MMX, SSE, AVX, AVX-512, any component that XCR0 enables; MXCSR": (
            "RAW_PLACE_VECTORS",
            "RAW_MMX",
            "registers",
        ),
        "x87 FOP, FIP, FDP; a pending x87 exception": ("RAW_PLACE_VECTORS", "RAW_X87_PENDING"),
        "PKRU": ("RAW_PKRU",),
        "CR0 CR3 CR4 CR8 EFER XCR0, MSRs": ("test_instructions.c",),
        "CR2": ("RAW_PAGE_FAULT",),
        "ring-0 stack": ("RAW_DIVIDE", "RAW_END_FAULTS"),
        "trap page": ("RAW_PLACE_TRAP_PAGE",),
        "DR0 to DR3, DR7": ("test_instructions.c",),
        "DR6": ("RAW_SINGLE_STEP", "RAW_ICEBP"),
        "exceptions, interrupts, NMIs pending or being injected": ("RAW_END_LOOP", "RAW_INTERRUPT"),
        "a single step held back (`mov %ss` under the trap flag; Intel's pending debug"
        " exceptions)": (
            "RAW_STEP_INTO_CALL",
            "RAW_STEP_INTO_TRAP",
        ),
        "interrupt shadow": ("RAW_MOV_SS", "RAW_END_SHADOW"),
        "an instruction that KVM has not finished emulating": ("RAW_END_IN", "RAW_END_REP_INS"),
        "KVM's step over an OUT that has exited": ("RAW_END_OUTS", "RAW_END_COMPLETE"),
        "MP state": ("test_instructions.c",),
        "paging-structure caches, TLB": ("test_ring0.c",),
        "accessed and dirty bits, busy and accessed bits of descriptors": ("test_ring0.c",),
        "time stamp counter, cycle counters": ("test_instructions.c",),
        "paravirtual features": ("RAW_VMMCALL", "RAW_VMCALL"),
        "CPUID, number of the processor": ("test_processor.c",),
        "system calls by `sysenter`, `int n`, other gates": ("RAW_SYSENTER", "RAW_INTERRUPT"),
        "branch predictors, caches, XINUSE": ("not covered",),
    },
}


def rows(heading: str) -> list[str]:
    """The first cells of the first table below a heading."""
    table = PAGE.split(f"\n{heading}\n", 1)[1].split("| --- |", 1)[1].split("\n\n", 1)[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[1:]]


@pytest.mark.parametrize("heading", MARKED)
def test_each_state_is_marked(heading: str) -> None:
    assert set(rows(heading)) == set(MARKED[heading])
    for state, marks in MARKED[heading].items():
        assert marks
        for mark in marks:
            known = (
                mark in PLACES
                or mark == "not covered"
                or (mark.endswith(".c") and (ROOT / "tests" / "core" / mark).exists())
                or re.search(rf"\b{re.escape(mark)}\b", RAW)
            )
            assert known, f"{state}: {mark}"


def test_no_place_is_left_out() -> None:
    named = {mark for section in MARKED.values() for marks in section.values() for mark in marks}
    raw = set(re.findall(r"\b(?:RAW_PLACE|STEP)_[A-Z_0-9]+\b", RAW))
    assert raw - named - {"STEP_DISTURBANCE"} == set()
    assert set(PLACES) - named == set()
