"""Work on bytes in the core: hashes, and copies of megabytes."""

from __future__ import annotations

from udfvm.static_typing import Any
from udfvm.vmm._core import ffi, lib


def sha256(*parts: bytes) -> bytes:
    """Returns the SHA-256 of concatenated parts. ``hashlib`` would load a large cryptography
    library.
    """
    state, digest = ffi.new("struct udfvm_sha256 *"), ffi.new("uint8_t[32]")
    lib.udfvm_sha256_start(state)
    for part in parts:
        lib.udfvm_sha256_add(state, ffi.from_buffer(part), len(part))
    lib.udfvm_sha256_end(state, digest)
    return bytes(ffi.buffer(digest))


def copy(target: memoryview, source: memoryview) -> None:
    """Copies bytes to writable memory of the same length, megabytes with two threads.

    The interpreter's lock is released meanwhile.

    >>> target = bytearray(4)
    >>> copy(memoryview(target), memoryview(b"1234"))
    >>> target
    bytearray(b'1234')
    """
    if len(target) != len(source):
        raise ValueError(f"{len(source)} bytes cannot be copied to {len(target)}")
    lib.udfvm_copy(
        ffi.from_buffer(target, require_writable=True), ffi.from_buffer(source), len(source)
    )


def address_of(structure: Any) -> int:
    """Returns the address of a structure, for C code of this process."""
    return int(ffi.cast("uintptr_t", structure))
