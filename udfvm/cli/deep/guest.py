"""Machine code that checks run in a VM, and the functions that run it."""

from __future__ import annotations

from typing import Final

import udfvm

ROOM: Final = 16384  # bytes that code may write to; as many as XSAVE needs with AMX
SPLIT_TIMES: Final = 1000
_MARK = 0x5EC2E7F00D5EC2E7

RETURN: Final = b"\xc3"
# Each gets the address of ROOM bytes in RDI.
DESCRIPTOR_READERS: Final = {
    "sgdt": b"\x0f\x01\x07",
    "sidt": b"\x0f\x01\x0f",
    "sldt": b"\x0f\x00\x07",
    "str": b"\x0f\x00\x0f",
    "smsw": b"\x0f\x01\x27",
}
READ_XCR0: Final = (
    b"\x31\xc9"  # xor ecx, ecx
    b"\x0f\x01\xd0"  # xgetbv
    b"\x89\x07"  # mov [rdi], eax
    b"\x89\x57\x04"  # mov [rdi + 4], edx
)
READ_KEYS: Final = b"\x31\xc9\x0f\x01\xee\x89\x07"  # xor ecx, ecx; rdpkru; mov [rdi], eax
SAVE: Final = b"\x31\xc0\xf7\xd0\x89\xc2\x48\x0f\xae\x27"  # eax = edx = -1; xsave64 [rdi]
SPLIT_LOCK: Final = (
    b"\xb9" + SPLIT_TIMES.to_bytes(4, "little") + b"\xf0\x83\x47\x3e\x01"  # lock add [rdi + 62], 1
    b"\xff\xc9"  # dec ecx
    b"\x75\xf7"  # jnz
)
DISTURB: Final = (
    b"\x48\xb8" + _MARK.to_bytes(8, "little") + b"\x48\x89\x07"  # mov [rdi], MARK
    b"\xc7\x47\x08\x80\x7f\x00\x00"  # mov dword [rdi + 8], 0x7f80
    b"\x0f\xae\x57\x08"  # ldmxcsr [rdi + 8]: rounds up
    b"\x66\xc7\x47\x0c\x7f\x0f"  # mov word [rdi + 12], 0xf7f
    b"\xd9\x6f\x0c"  # fldcw [rdi + 12]: rounds to zero
    + b"\xdf\x2f"
    * 3  # fild qword [rdi]: FIP and FDP lead here
    + b"\xc5\x7e\x6f\x07"  # vmovdqu ymm8, [rdi]
    b"\xc5\x7e\x6f\x3f"  # vmovdqu ymm15, [rdi]
    b"\x49\x89\xc3\x49\x89\xc7"  # r11 = r15 = MARK
)
FAULTING_X87: Final = (
    b"\xdb\xe3"  # fninit
    b"\x66\xc7\x47\x0c\x7b\x03"  # mov word [rdi + 12], 0x37b
    b"\xd9\x6f\x0c"  # fldcw [rdi + 12]: dividing by zero faults
    b"\xd9\xe8"  # fld1
    b"\xd8\x37"  # fdiv dword [rdi]: its exception is pending now, with FIP and FDP
)
CLEAR_X87: Final = b"\xdb\xe2"  # fnclex
STORE_X87: Final = b"\xd9\x37"  # fnstenv [rdi]
ENDS: Final = {  # in which a call can end
    "a return": b"\x41\xbf\x00\x00\x00\x00",  # r15d = 0; what is put before saves R15
    "a crash": b"\x0f\x0b",  # ud2
    "a timeout": b"\xeb\xfe",  # jmp to itself
}


@udfvm.udf(timeout=20)
def run(code: bytes) -> bytes:
    """Returns what the code wrote, and before it the addresses of the code and of that memory."""
    import ctypes
    import mmap

    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    buffer = ctypes.create_string_buffer(ROOM + 64)
    start = -ctypes.addressof(buffer) % 64
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(ctypes.addressof(buffer) + start)
    places = address.to_bytes(8, "little") + (ctypes.addressof(buffer) + start).to_bytes(
        8, "little"
    )
    return places + buffer.raw[start : start + ROOM]


_pages = bytearray(16 << 20)


@udfvm.udf(timeout=60)
def write_pages(count: int) -> int:
    """Writes to so many pages. Returns how many of them somebody had written to."""
    found = 0
    for page in range(count):
        found += _pages[page * 4096]
        _pages[page * 4096] = 1
    return found


@udfvm.udf(timeout=20)
def nothing() -> int:
    """A call that does nothing."""
    return 0
