"""A virtual processor of this process, as KVM tells of it: by requests of ``ioctl`` that only look.

The core keeps its descriptors to itself, so they are found among those of the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from typing import Final, NamedTuple

_READ, _WRITE = 2, 1


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | 0xAE << 8 | number


_STATES: Final = {  # what a call could leave behind, and the bytes of its structure
    "registers": (0x81, 144),
    "special registers": (0x83, 312),
    "XSAVE": (0xA4, 4096),
    "XCRs": (0xA6, 392),
    "debug registers": (0xA1, 128),
    "events": (0x9F, 64),
}
_STATS_FD: Final = _request(0, 0xCE, 0)
_SUPPORTED_CPUID: Final = _request(_READ | _WRITE, 0x05, 8)
_MAX_LEAVES: Final = 256
_CR4_OFFSET: Final = 8 * 24 + 2 * 16 + 3 * 8  # of struct kvm_sregs: segments, tables, CR0, 2, 3


class Cpuid(NamedTuple):
    """The registers of a leaf, as KVM offers it to guests."""

    eax: int
    ebx: int
    ecx: int
    edx: int


def offered() -> dict[tuple[int, int], Cpuid]:
    """Returns KVM's leaves for guests, by leaf and subleaf."""
    buffer = bytearray(8 + 40 * _MAX_LEAVES)
    struct.pack_into("I", buffer, 0, _MAX_LEAVES)
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(kvm, _SUPPORTED_CPUID, buffer)
    finally:
        os.close(kvm)
    found = {}
    for number in range(struct.unpack_from("I", buffer)[0]):
        leaf, subleaf, _, *registers = struct.unpack_from("7I", buffer, 8 + 40 * number)
        found[leaf, subleaf] = Cpuid(*registers)
    return found


def descriptors() -> set[int]:
    """Returns the descriptors of this process that are virtual processors."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("anon_inode:kvm-vcpu"):
                found.add(int(name))
    return found


def states(vcpu: int) -> dict[str, bytes]:
    """Returns what KVM knows of the processor, for comparisons."""
    found = {}
    for name, (number, size) in _STATES.items():
        buffer = bytearray(size)
        with contextlib.suppress(OSError):
            fcntl.ioctl(vcpu, _request(_READ, number, size), buffer)
            found[name] = bytes(buffer)
    return found


def control_register_4(vcpu: int) -> int:
    """Returns CR4 of the guest."""
    return int(struct.unpack_from("Q", states(vcpu)["special registers"], _CR4_OFFSET)[0])


def counters(vcpu: int) -> dict[str, int]:
    """Returns KVM's counters of the processor; none on a kernel that has them not."""
    try:
        stats = fcntl.ioctl(vcpu, _STATS_FD)
    except OSError:
        return {}
    try:
        _, name_size, count, _, described, data = struct.unpack("6I", os.pread(stats, 24, 0))
        found = {}
        for number in range(count):
            entry = os.pread(stats, 16 + name_size, described + number * (16 + name_size))
            offset = struct.unpack_from("I", entry, 8)[0]
            name = entry[16:].split(b"\0")[0].decode("ascii", "replace")
            found[name] = int(struct.unpack("Q", os.pread(stats, 8, data + offset))[0])
        return found
    finally:
        os.close(stats)
