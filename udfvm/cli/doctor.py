"""``udfvm doctor``: what this machine offers for micro-VMs, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import click
from rich.table import Table

from udfvm import __version__
from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import console, print_table
from udfvm.errors import (
    BuildError,
    CacheError,
    HostError,
    JailError,
    KVMPermissionError,
    KVMUnavailableError,
)
from udfvm.images.cache import cache_entries
from udfvm.images.cache_files import cache_directory, cache_size, check_writable
from udfvm.images.cache_listing import stored_bytes
from udfvm.images.spec import wasmtime_library
from udfvm.installation import GUEST
from udfvm.texts import counted, format_size

_ROUNDS = 2000
_VENDORS = {
    "pvm": "PVM, without VT-x or AMD-V from below",
    "vmx": "standard KVM on Intel VT-x",
    "svm": "standard KVM on AMD-V",
}
_COMPILER = "gcc"  # the default of compiler= in from_c


def _huge_pages() -> str:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not path.exists():
        return "not offered by this kernel"
    mode = path.read_text()
    chosen = mode[mode.index("[") + 1 : mode.index("]")]
    return (
        chosen
        if chosen in ("always", "madvise")
        else f"{chosen} (images build faster with madvise)"
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {counted(os.cpu_count() or 1, 'processor')}"


def _cache() -> tuple[str, bool]:
    """Returns what the cache is, and True if it can be used."""
    usable = True
    try:
        check_writable(cache_directory())
        found = (
            f"{counted(len(cache_entries()), 'image')}, {format_size(stored_bytes())} of at most"
            f" {format_size(cache_size())}"
        )
    except CacheError as error:
        found, usable = f"not usable: {error}", False
    return f"{cache_directory()} ({found})", usable


def _version(package: str, absent: str = "not installed: reinstall udfvm") -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return absent


def _wasmtime() -> str:
    try:
        wasmtime_library()
    except BuildError as error:
        return f"not usable: {error}"
    return _version("wasmtime")


def _compiler() -> str:
    path = shutil.which(_COMPILER)
    if path is None:
        return "not found: udfvm.from_c needs it (apt-get install gcc), or another by compiler="
    try:
        text = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"{path} does not run: {error}"
    return f"{(text.splitlines() or ['no version'])[0]} at {path}"


def _standard_sqlite() -> str:
    """Checks the standard library's sqlite3. The build of Python decides whether it loads
    extensions.
    """
    try:
        import sqlite3
    except ImportError as error:
        return f"not usable: {error}"
    able = hasattr(sqlite3.Connection, "enable_load_extension")
    loads = (
        "loads extensions"
        if able
        else (
            "cannot load extensions (this Python was built without): functions cost more for each"
            " row there than in apsw"
        )
    )
    return f"SQLite {sqlite3.sqlite_version}, {loads}"


def _apsw() -> str:
    version = _version("apsw")
    try:
        import apsw
    except ImportError:
        return version
    return f"{version}, SQLite {apsw.sqlite_lib_version()}"


def _jail() -> str:
    """Returns the walls of jailed VMs, and those that this system does not permit."""
    from udfvm.vmm import WALLS, jail_walls

    try:
        standing = jail_walls()
    except (JailError, HostError) as error:
        return f"not usable: {error}"
    absent = [wall for wall in WALLS if wall not in (*standing, "cgroup")]
    refused = f" (not permitted here: {', '.join(absent)})" if absent else ""
    return ", ".join(standing) + refused


def _hardening() -> str:
    """Returns whether ``udfvm.harden()`` is possible, as another process finds out: there is no way
    back from it.
    """
    program = (
        "import udfvm, sys\ntry: udfvm.harden()\nexcept udfvm.HardenError as e: sys.exit(str(e))"
    )
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"not tried: {error}"
    reason = (tried.stderr.splitlines() or ["no reason given"])[-1]
    return "possible" if tried.returncode == 0 else f"not possible: {reason}"


def _found(table: Table) -> bool:
    """Adds what ``/dev/kvm`` is. Returns False if VMs cannot run."""
    from udfvm import vmm

    system = vmm.probe()
    table.add_row(
        "KVM", f"API {system.kvm_api_version}, {_VENDORS.get(system.vendor, 'unknown kind')}"
    )
    missing = [
        name for name in ("sync_regs", "manual_dirty_log", "xcrs") if not getattr(system, name)
    ]
    table.add_row(
        "KVM capabilities",
        (
            "all present"
            if not missing
            else f"missing: {', '.join(missing)} (a newer kernel has them)"
        ),
    )
    table.add_row("Vector state", f"XCR0 {system.xcr0:#x}")
    exits = sorted(vmm.measure_exits(_ROUNDS))
    table.add_row(
        "Exit round trip",
        f"{statistics.median(exits):.1f} us (99th percentile {exits[_ROUNDS * 99 // 100]:.1f} us)",
    )
    table.add_row("Walls of a jail", _jail())
    table.add_row("Hardened calls", _hardening())
    return not missing


@click.command()
@click.option("--deep", is_flag=True, help="Check what rests on this processor and its KVM.")
@click.option("--fix", is_flag=True, help="Say what to type so that KVM can be used.")
@json_option()
def doctor(deep: bool, fix: bool, as_json: bool) -> None:
    """Shows whether this machine can run micro-VMs.

    It lists what was found, and what is missing. The exit status is 1 if VMs cannot run or the
    image cache cannot be used.

    With --deep it runs functions instead, and says for each check what was expected, what was seen
    and what to do. What matters most comes first. The exit status is 1 if a check fails.

    With --fix it says, for this machine, the commands that give it /dev/kvm, or let you open it. It
    runs none of them: most need root, or another machine. The exit status is 1 if there is
    something to do.
    """
    if deep and fix:
        raise click.UsageError("--deep and --fix exclude each other")
    if fix:
        sys.exit(0 if _say_fixes(as_json) else 1)
    if deep:
        from udfvm.cli.deep import check_deeply

        sys.exit(0 if check_deeply(_processor(), as_json) else 1)
    _show(as_json)


def _say_fixes(as_json: bool) -> bool:
    """Prints what to type. Returns True if there is nothing to do."""
    from udfvm import vmm
    from udfvm.cli.kvm_fixes import fixes
    from udfvm.cli.surroundings import Surroundings

    steps = []
    try:
        vmm.probe()
    except KVMUnavailableError as error:
        may_open = not isinstance(error, KVMPermissionError)
        steps = fixes(Surroundings.read(), may_open=may_open)
    if as_json:
        print_json({"usable": not steps, "steps": [step._asdict() for step in steps]})
    elif not steps:
        click.echo("Nothing to do: /dev/kvm is there, and can be used.")
    for number, step in enumerate(() if as_json else steps, 1):
        click.echo(step.as_text(number))
    return not steps


def _show(as_json: bool) -> None:
    table = Table(show_header=False, box=None)
    table.add_row("udfvm", __version__)
    table.add_row("Python", f"{sys.version.split()[0]} at {os.path.realpath(sys.executable)}")
    table.add_row("Processor", _processor())
    failure = None
    try:
        usable = _found(table)
    except KVMUnavailableError as error:
        usable, failure = False, error
        table.add_row("KVM", "not usable, see below")
    table.add_row("Huge pages", _huge_pages())
    table.add_row(
        "Guest kernel", "present" if (GUEST / "kernel.bin").exists() else "missing: reinstall udfvm"
    )
    cache, has_cache = _cache()
    table.add_row("Image cache", cache)
    table.add_row("apsw", _apsw())
    table.add_row("Module sqlite3", _standard_sqlite())
    table.add_row("pyarrow", _version("pyarrow"))
    for package in ("numpy", "pandas"):
        table.add_row(
            package, _version(package, "not installed, and needed only by functions that use it")
        )
    table.add_row("wasmtime", _wasmtime())
    table.add_row(_COMPILER, _compiler())
    if as_json:
        labels, values = (list(column.cells) for column in table.columns)
        found = dict(zip(map(str, labels), map(str, values), strict=True))
        print_json({"usable": usable and has_cache, "found": found})
    else:
        print_table(console(), table)
    if failure is not None:
        click.echo(f"\n{failure}\n\n`udfvm doctor --fix` says what to type here.", err=True)
    sys.exit(0 if usable and has_cache else 1)
