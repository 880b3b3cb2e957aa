"""``udfvm doctor``: what was found, and what is missing."""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from udfvm.cache import cache_entries, stored_bytes
from udfvm.cache_files import cache_directory, cache_size
from udfvm.errors import CacheError, KVMUnavailableError
from udfvm.image import GUEST

_ROUNDS = 2000


def _huge_pages() -> str:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not path.exists():
        return "not offered by this kernel"
    mode = path.read_text()
    chosen = mode[mode.index("[") + 1 : mode.index("]")]
    return f"{chosen}{'' if chosen in ('always', 'madvise') else ' (images build faster with madvise or always)'}"


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} processors"


def _cache() -> str:
    try:
        found = f"{len(cache_entries())} images, {stored_bytes() / 1e6:.0f} MB of at most {cache_size() / 1e6:.0f} MB"
    except CacheError as error:
        found = f"not usable: {error}"
    return f"{cache_directory()} ({found})"


def _found(table: Table) -> bool:
    """Adds what ``/dev/kvm`` is; False where VMs cannot run."""
    from udfvm import vmm

    system = vmm.probe()
    kinds = {"pvm": "PVM (no VT-x or AMD-V from below)", "vmx": "Intel VT-x", "svm": "AMD-V"}
    table.add_row("KVM", f"API {system.kvm_api_version}, {kinds.get(system.vendor, 'unknown kind')}")
    missing = [name for name in ("sync_regs", "manual_dirty_log", "xcrs") if not getattr(system, name)]
    table.add_row("KVM capabilities", "all present" if not missing else f"missing: {', '.join(missing)} (a newer kernel has them)")
    table.add_row("Vector state", f"XCR0 {system.xcr0:#x}")
    exits = sorted(vmm.measure_exits(_ROUNDS))
    table.add_row("Exit round trip", f"{statistics.median(exits):.1f} us (99th percentile {exits[_ROUNDS * 99 // 100]:.1f} us)")
    return not missing


@click.command()
def doctor() -> None:
    """Shows what micro-VMs find on this machine, and what they miss."""
    table = Table(show_header=False, box=None)
    table.add_row("Python", f"{sys.version.split()[0]} at {os.path.realpath(sys.executable)}")
    table.add_row("Processor", _processor())
    problem = None
    try:
        usable = _found(table)
    except KVMUnavailableError as error:
        usable, problem = False, error
        table.add_row("KVM", "not usable, see below")
    table.add_row("Huge pages", _huge_pages())
    table.add_row("Guest kernel", "present" if (GUEST / "kernel.bin").exists() else "missing: reinstall udfvm")
    table.add_row("Image cache", _cache())
    Console(soft_wrap=True).print(table)
    if problem is not None:
        click.echo(f"\n{problem}", err=True)
    sys.exit(0 if usable else 1)
