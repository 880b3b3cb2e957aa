"""The programs of tests/core and tests/hostile: what each needs, and how many tests it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core_programs import HOSTILE, PROGRAMS, Programs

WRAPPED = (
    "calloc",
    "fcntl",
    "flock",
    "fstat",
    "fstatat",
    "ftruncate",
    "futimens",
    "getrandom",
    "ioctl",
    "lseek",
    "madvise",
    "malloc",
    "mmap",
    "mprotect",
    "munmap",
    "open",
    "openat",
    "prctl",
    "pread",
    "pthread_attr_setaffinity_np",
    "pthread_create",
    "pwrite",
    "pwritev",
    "read",
    "realloc",
    "renameat",
    "sched_getaffinity",
    "sched_setaffinity",
    "timer_create",
    "timer_settime",
    "write",
)
WRAP_ALL = ",".join(["-Wl", *(f"--wrap={name}" for name in WRAPPED)])
WRAP_IOCTL = "-Wl,--wrap=ioctl"
WRAP_MADVISE = "-Wl,--wrap=madvise"
WRAP_ENTRY = "-Wl,--wrap=ioctl,--wrap=prctl"
# Hardened calls, whose filter ends the program where it refuses something: a core program of any
# name takes these options.
STRICT_FILTER = ("-Wl,--wrap=syscall", str(PROGRAMS / "strict_filter.c"))


@dataclass(frozen=True)
class CoreProgram:
    """``tests`` is the number of lines that say ``holds``."""

    tests: int
    wrap: str = ""  # an option of the linker
    usual: tuple[str, ...] = ()  # arguments behind the raw guest
    raw_guest: bool = True  # its first argument
    quick: tuple[str, ...] = ()  # the same, for fewer rounds
    long: bool = False  # it has no quick form
    folder: Path = PROGRAMS

    def build(self, programs: Programs, name: str, sanitizers: str, *options: str) -> Path:
        """Returns the program. Without ``udfvm-jail``: see ``Programs.jailed``."""
        wrap = (self.wrap,) if self.wrap else ()
        return programs.build(name, sanitizers, *wrap, *options, folder=self.folder)


QUICK = ("--quick",)

# Programs that share tests/core/raw_image.h.
RAW = {
    "test_damaged_images": CoreProgram(2, quick=QUICK),
    "test_host_functions": CoreProgram(1, quick=QUICK),
    "test_host_writes": CoreProgram(3, quick=QUICK),
    "test_interruption": CoreProgram(3, quick=QUICK),
    "test_lifetime": CoreProgram(2, quick=QUICK),
    "test_log": CoreProgram(2, quick=QUICK),
    "test_pool_reuse": CoreProgram(3, quick=QUICK),
    "test_reach": CoreProgram(4, quick=QUICK),
    "test_reserve": CoreProgram(6, quick=QUICK),
    "test_restore": CoreProgram(4, quick=QUICK),
    "test_ticks": CoreProgram(3, quick=QUICK),
    "test_unlogged_memory": CoreProgram(2, quick=QUICK),
}
# Programs of VMs that pools have.
POOLS = {
    "test_accounts": CoreProgram(6),
    "test_pool": CoreProgram(4),
    "test_windows": CoreProgram(2),
    "test_null_errors": CoreProgram(2),
}
# Programs that share tests/core/snapshot.h.
PROCESSOR = {
    "test_exits": CoreProgram(6, WRAP_IOCTL),
    "test_instructions": CoreProgram(1, WRAP_IOCTL),
    "test_processor": CoreProgram(5, WRAP_IOCTL),
    "test_ring0": CoreProgram(5, WRAP_IOCTL),
    "test_unlogged_residency": CoreProgram(1, WRAP_IOCTL),
}
OTHERS = {
    "test_data": CoreProgram(6, WRAP_ALL),
    "test_harden": CoreProgram(6, WRAP_ENTRY),
    "test_deadline": CoreProgram(6),
    "test_deadline_signals": CoreProgram(5),
    "test_failing_life": CoreProgram(1, WRAP_ALL, long=True),
    "test_failing_steps": CoreProgram(18, WRAP_ALL),
    "test_hot_set": CoreProgram(4, WRAP_MADVISE),
    "test_layer": CoreProgram(9),
    "test_parting": CoreProgram(5, raw_guest=False),
    "test_streaming": CoreProgram(4),
    "test_worker": CoreProgram(5, raw_guest=False),
}
# Programs that need the parts of udfvm-jail, or one beside them.
JAIL = {
    "test_between_calls": CoreProgram(8),
    "test_jail": CoreProgram(9),
    "test_pool_operations": CoreProgram(2),
    "test_walls": CoreProgram(6, raw_guest=False),
}
ATTACKS = {
    "attacks": CoreProgram(1, WRAP_IOCTL, ("10000",), quick=("1000",), folder=HOSTILE),
    "leaks": CoreProgram(1, WRAP_IOCTL, ("1000",), quick=("200",), folder=HOSTILE),
    "sealed_states": CoreProgram(1, WRAP_IOCTL, ("1500",), quick=("150",), folder=HOSTILE),
    "streams": CoreProgram(3, folder=HOSTILE),
}
ALL = {**RAW, **POOLS, **PROCESSOR, **OTHERS, **JAIL, **ATTACKS}
