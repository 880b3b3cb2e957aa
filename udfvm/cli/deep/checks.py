"""What a first run on a machine must check, ranked: what would break the boundary comes first, what
only takes time last.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from udfvm import protocol
from udfvm.call.pool import Pool
from udfvm.cli.deep import guest, vcpu
from udfvm.cli.deep.report import DIFFERS, FAILS, HOLDS, UNKNOWN, Check, Found
from udfvm.errors import CallTimeoutError, Error, HostError
from udfvm.limits import DEFAULT_MEMORY, MAX_MEMORY, SCRATCH, WINDOW
from udfvm.texts import counted, format_size
from udfvm.vmm import System

_REPORT: Final = "report it with this output, and use Pool(jail=True) until it is answered"
_BASELINE: Final = 4  # honest calls that show which bytes of a state change by themselves
_XSTATE_BV: Final = slice(512, 520)  # of XSAVE: what the kernel noted as in use
_POINTERS: Final = slice(8, 24)  # of XSAVE: FIP and FDP
_PKE, _CET, _SMEP, _UMIP = 1 << 22, 1 << 23, 1 << 20, 1 << 11
_COMPONENTS: Final = {9: "PKRU", 11: "CET for users", 12: "CET for kernels", 17: "AMX", 18: "AMX"}
_PAGES: Final = 2000
_CALLS: Final = 300
_SLOW_PAGE_US: Final = 10.0
_SLOW_LOCK_US: Final = 100.0


class Machine(NamedTuple):
    """What checks use: a pool of one VM, and functions on it."""

    system: System
    pool: Pool
    others: frozenset[int]  # virtual processors of the process that were there before

    def run(self, code: bytes, timeout: float = 20) -> bytes:
        """Returns what the code wrote in the VM."""
        written = guest.run.with_options(pool=self.pool, timeout=timeout)(code + guest.RETURN)
        return bytes(written)

    def reads(self, code: bytes) -> bytes | None:
        """Returns what the code wrote, or None if it faulted."""
        try:
            return self.run(code)[16:]
        except Error:
            return None

    def vcpu(self) -> int:
        """Returns the descriptor of the one virtual processor. Raises HostError without one."""
        guest.nothing.with_options(pool=self.pool)()
        found = vcpu.descriptors() - self.others
        if len(found) != 1:
            raise HostError(f"one virtual processor was expected in this process, not {len(found)}")
        return found.pop()


def _module_parameter(module: str, name: str) -> str | None:
    try:
        return Path(f"/sys/module/{module}/parameters/{name}").read_text().strip()
    except OSError:
        return None


def _cpu_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("flags"):
            return set(line.split())
    return set()


# ---- What a call leaves ----


def _observed(machine: Machine) -> dict[str, bytes]:
    """Returns all that can be seen of the processor in and after an honest call."""
    inside = bytearray(machine.run(guest.SAVE)[16:])
    inside[_XSTATE_BV] = bytes(8)
    inside[_POINTERS] = bytes(16)  # those that a disturbed call leaves are looked for apart
    return {"seen inside": bytes(inside), **vcpu.states(machine.vcpu())}


def _changed(before: list[dict[str, bytes]], after: dict[str, bytes]) -> Iterator[str]:
    """Yields the states of which a byte differs that was always the same before."""
    first = before[0]
    for name, data in after.items():
        steady = (
            place
            for place in range(len(data))
            if all(name in one and one[name][place] == first[name][place] for one in before)
        )
        places = [place for place in steady if data[place] != first[name][place]]
        if places:
            yield f"{name} ({counted(len(places), 'byte')}, the first at {places[0]})"


def _disturb(machine: Machine, ending: str) -> None:
    try:
        machine.run(guest.DISTURB + guest.ENDS[ending], 0.3 if ending == "a timeout" else 20)
    except Error as error:
        if ending == "a return" or (ending == "a timeout") != isinstance(error, CallTimeoutError):
            raise


def state(machine: Machine) -> Check:
    """Registers, vector state, control state: before a call that changes them, and after."""
    before = [_observed(machine) for _ in range(_BASELINE)]
    found = []
    for ending in guest.ENDS:
        _disturb(machine, ending)
        found += [f"{what} after {ending}" for what in _changed(before, _observed(machine))]
    looked = ", ".join(before[0])
    return Check(
        "State before and after",
        "a call sees the same registers whatever the call before it did, and however that ended",
        Found(FAILS, "; ".join(found), _REPORT)
        if found
        else Found(HOLDS, f"the same after {', '.join(guest.ENDS)} ({looked})"),
    )


def pointers(machine: Machine) -> Check:
    """FIP and FDP: some processors of AMD leave them alone when the rest is loaded."""
    disturbed = machine.run(guest.FAULTING_X87 + guest.SAVE + guest.CLEAR_X87)
    places = struct.unpack_from("2Q", disturbed)
    left = struct.unpack_from("2Q", disturbed, 16 + _POINTERS.start)
    with contextlib.suppress(Error):
        machine.run(guest.FAULTING_X87 + guest.ENDS["a crash"])
    saved = struct.unpack_from("2Q", machine.run(guest.SAVE), 16 + _POINTERS.start)
    environment = struct.unpack_from("7I", machine.run(guest.STORE_X87), 16)
    after = (*saved, environment[3], environment[5])
    leaked = any(
        value > 0 and (value - place) % (1 << 32) < 4096 for value in after for place in places
    )
    seen = (
        f"FIP {after[0]:#x} and {after[2]:#x}, FDP {after[1]:#x} and {after[3]:#x};"
        f" the call before had {left[0]:#x} and {left[1]:#x}"
    )
    return Check(
        "x87 pointers (FIP and FDP)",
        "no address of an instruction or operand of the call before",
        Found(FAILS, seen, _REPORT) if leaked else Found(HOLDS, seen),
    )


def components(machine: Machine) -> Check:
    """AMX, protection keys and shadow stacks: leaf 0xD may list what calls do not put back."""
    leaves = vcpu.offered()
    leaf = leaves.get((0xD, 0), vcpu.Cpuid(0, 0, 0, 0))
    listed = leaf.eax | leaf.edx << 32
    data = machine.reads(guest.READ_XCR0)
    inside = None if data is None else struct.unpack_from("Q", data)[0]
    keys = machine.reads(guest.READ_KEYS) is not None
    control = vcpu.control_register_4(machine.vcpu())
    more = sorted({name for bit, name in _COMPONENTS.items() if listed >> bit & 1})
    seen = (
        f"leaf 0xD {listed:#x} ({', '.join(more) or 'none of these'}); the guest's XCR0"
        f" {'cannot be read' if inside is None else format(inside, '#x')}; rdpkru"
        f" {'works' if keys else 'faults'}; CR4 {control:#x}"
    )
    wrong = bool(control & (_PKE | _CET)) or (inside is not None and inside != machine.system.xcr0)
    if machine.system.is_pvm:
        found = Found(HOLDS, f"{seen}. Under PVM they are the host's; the restore covers all")
    elif wrong or keys:
        found = Found(FAILS, seen, _REPORT)
    else:
        found = Found(HOLDS, seen)
    return Check(
        "AMX, PKU and CET in leaf 0xD",
        f"the guest has XCR0 {machine.system.xcr0:#x} and no more; CR4.PKE and CR4.CET are clear",
        found,
    )


# ---- What rests on the processor ----


def ring0(machine: Machine) -> Check:
    """SMEP and UMIP."""
    leaf = vcpu.offered().get((7, 0), vcpu.Cpuid(0, 0, 0, 0))
    smep, umip = bool(leaf.ebx >> 7 & 1), bool(leaf.ecx >> 2 & 1)
    control = vcpu.control_register_4(machine.vcpu())
    read = [
        name for name, code in guest.DESCRIPTOR_READERS.items() if machine.reads(code) is not None
    ]
    seen = (
        f"KVM offers {'' if smep else 'no '}SMEP and {'' if umip else 'no '}UMIP; CR4 {control:#x};"
        f" {', '.join(read) or 'none'} of {', '.join(guest.DESCRIPTOR_READERS)} can be read"
    )
    unset = (smep and not control & _SMEP) or (umip and not control & _UMIP)
    if unset or (umip and read and not machine.system.is_pvm):
        found = Found(FAILS, seen, _REPORT)
    elif not (smep and umip):
        found = Found(DIFFERS, seen, "none: these two only stand behind the stubs of ring 0")
    else:
        found = Found(HOLDS, seen)
    return Check(
        "SMEP and UMIP", "both are offered and on, and sgdt and the like fault at ring 3", found
    )


def addresses(machine: Machine) -> Check:
    """MAXPHYADDR: memory of a guest that is above it cannot be reached."""
    leaf = vcpu.offered().get((0x80000008, 0), vcpu.Cpuid(36, 0, 0, 0))
    bits = leaf.eax >> 16 & 0xFF or leaf.eax & 0xFF
    beside = protocol.PROGRAM_BASE + 2 * WINDOW + SCRATCH
    usual, largest = (memory + beside for memory in (DEFAULT_MEMORY, MAX_MEMORY))
    seen = (
        f"{bits} bits, {format_size(1 << bits)}; a VM takes {format_size(usual)} usually, and"
        f" {format_size(largest)} with the most memory"
    )
    if usual > 1 << bits:
        found = Found(FAILS, seen, "pass a smaller memory=")
    elif largest > 1 << bits:
        found = Found(DIFFERS, seen, f"memory= has to end below {format_size(1 << bits)}")
    else:
        found = Found(HOLDS, seen)
    return Check(
        "MAXPHYADDR",
        "guest memory, which begins at 0, ends below it",
        found,
    )


def split_locks(machine: Machine) -> Check:
    """A lock across two cache lines: hosts may slow it down, or end the process that makes it."""
    flags = _cpu_flags()
    detected = [name for name in ("split_lock_detect", "bus_lock_detect") if name in flags]
    started = time.perf_counter()
    topic, expected = "Split locks", f"they work, each in less than {_SLOW_LOCK_US:.0f} us"
    try:
        data = machine.run(guest.SPLIT_LOCK)[16:]
    except Error as error:
        text = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return Check(topic, expected, Found(DIFFERS, text, "functions that make them fail there"))
    us = (time.perf_counter() - started) / guest.SPLIT_TIMES * 1e6
    counted_there = struct.unpack_from("<I", data, 62)[0]
    seen = f"{us:.1f} us each; the host detects them by {', '.join(detected) or 'nothing'}"
    if counted_there != guest.SPLIT_TIMES:
        return Check(topic, expected, Found(FAILS, f"{seen}; {counted_there} were made", _REPORT))
    slow = us > _SLOW_LOCK_US
    advice = "boot the host with split_lock_detect=off if your functions make them"
    return Check(topic, expected, Found(DIFFERS, seen, advice) if slow else Found(HOLDS, seen))


# ---- What takes time ----


def dirty_log(machine: Machine) -> Check:
    """PML and accessed and dirty bits: whether the log has every page, and what a page costs."""
    write = guest.write_pages.with_options(pool=machine.pool)
    write(1)
    started = time.perf_counter()
    left = sum(write(_PAGES) for _ in range(3))
    us = (time.perf_counter() - started) / (3 * _PAGES) * 1e6
    parameters = {
        f"{module}.{name}": value
        for module, names in {"kvm_intel": ("ept", "eptad", "pml"), "kvm_amd": ("npt",)}.items()
        for name in names
        if (value := _module_parameter(module, name)) is not None
    }
    told = ", ".join(f"{name}={value}" for name, value in parameters.items()) or "no parameters"
    seen = f"{counted(left, 'page')} of {3 * _PAGES:,} not put back; {us:.1f} us a page; {told}"
    off = [name for name, value in parameters.items() if value in ("N", "0")]
    if left:
        found = Found(FAILS, seen, _REPORT)
    elif off:
        found = Found(DIFFERS, seen, f"load the module with {' '.join(off)} on: pages cost less")
    elif us > _SLOW_PAGE_US:
        found = Found(DIFFERS, seen, "none on PVM and emulators; elsewhere, report it")
    else:
        found = Found(HOLDS, seen)
    return Check(
        "Dirty log (PML, accessed and dirty bits)",
        f"every page that a call wrote is put back, in less than {_SLOW_PAGE_US:.0f} us each",
        found,
    )


def exits(machine: Machine) -> Check:
    """How often a call leaves the guest."""
    topic, expected = "Exits of a call", "one for the reply, and few for interrupts of the host"
    nothing = guest.nothing.with_options(pool=machine.pool)
    for _ in range(20):
        nothing()
    descriptor = machine.vcpu()
    before = vcpu.counters(descriptor)
    if "exits" not in before:
        return Check(topic, expected, Found(UNKNOWN, "this kernel has no counters (Linux 5.14)"))
    started = time.perf_counter()
    for _ in range(_CALLS):
        nothing()
    us = (time.perf_counter() - started) / _CALLS * 1e6
    after = vcpu.counters(descriptor)
    rates = {
        name: (value - before[name]) / _CALLS
        for name, value in after.items()
        if name.endswith("exits") or name in ("pf_taken", "nmi_injections", "insn_emulation")
    }
    told = ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items() if rate)
    seen = f"{us:.1f} us a call; {told}"
    if rates["exits"] <= 2:
        return Check(topic, expected, Found(HOLDS, seen))
    advice = "none on PVM, which counts its own exits too; elsewhere, report it with the counters"
    return Check(topic, expected, Found(DIFFERS, seen, advice))


RANKED: Final[tuple[Callable[[Machine], Check], ...]] = (
    state,
    pointers,
    components,
    ring0,
    addresses,
    split_locks,
    dirty_log,
    exits,
)
