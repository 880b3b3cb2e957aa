"""The next call cannot read registers that a call wrote."""

from __future__ import annotations

import ctypes

import pytest

import udfvm


@udfvm.udf
def registers(code: bytes, write: bool) -> bytes:
    """Runs machine code that stores to, or loads from, 64 bytes whose address is in RDI."""
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, mmap

    page = mmap(-1, 4096, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE | PROT_EXEC)
    page.write(code)
    data = (ctypes.c_uint64 * 8)(*([0x5EC2E7F00D5EC2E7] * 8 if write else [0] * 8))
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    run(ctypes.addressof(data))
    return bytes(data)


@pytest.mark.parametrize(
    ("load", "store"),
    [
        (b"\xc5\x7e\x6f\x3f", b"\xc5\x7e\x7f\x3f"),  # vmovdqu ymm15, [rdi]; vmovdqu [rdi], ymm15
        (b"\xdf\x2f", b"\xdd\x3f"),  # fild qword [rdi]; fnstsw [rdi]: the stack's top
        (b"\x4c\x8b\x1f", b"\x4c\x89\x1f"),  # mov r11, [rdi]; mov [rdi], r11
        (b"\x0f\x6f\x3f", b"\x0f\x7f\x3f"),  # movq mm7, [rdi]; movq [rdi], mm7
    ],
    ids=["ymm15", "x87", "r11", "mm7"],
)
def test_registers_are_restored(load: bytes, store: bytes) -> None:
    before = registers(store + b"\xc3", False)
    assert before == registers(store + b"\xc3", False)
    registers(load + b"\xc3", True)
    assert registers(store + b"\xc3", False) == before
    assert (0x5EC2E7F00D5EC2E7).to_bytes(8, "little") not in before


@udfvm.udf
def thread_base(code: bytes) -> int:
    """FS base, read by machine code."""
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, mmap

    page = mmap(-1, 4096, MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE | PROT_EXEC)
    page.write(code)
    return int(
        ctypes.CFUNCTYPE(ctypes.c_int64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    )


def test_segment_bases_are_restored() -> None:
    read_gs, write_gs = (
        b"\xf3\x48\x0f\xae\xc8\xc3",
        b"\x48\xb8\0\0\x66\0\0\0\0\0\xf3\x48\x0f\xae\xd8\xc3",
    )
    before = thread_base(read_gs)
    thread_base(write_gs)
    assert thread_base(read_gs) == before
