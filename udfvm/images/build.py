"""Images: what they are built from, and how.

A base image is named by a hash of all that its content depends on (``BaseSpec`` and this host), a
layer by its base and what it loads.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from udfvm import errors, vmm
from udfvm.call.forks import ForkLock
from udfvm.call.output import shown
from udfvm.codec import guest_error
from udfvm.images.cache import cached_bytes, cached_image, keep_bytes
from udfvm.images.cache_files import cache_directory
from udfvm.images.hostfs import HostFS
from udfvm.images.system_calls import syscall_name
from udfvm.installation import GUEST
from udfvm.limits import DEFAULT_LOG, DEFAULT_MEMORY, SCRATCH, WINDOW, Limits

_Read = TypeVar("_Read")
_DIGEST: Final = 32  # bytes

_NATIVE_ROOM: Final = 24 << 20  # bytes for the native runtime, its libraries, heap and stack
LIBRARY_DIRECTORIES: Final = (
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/local/lib",
)
WASMTIME_VERSION: Final = "50"  # WASMTIME_MAJOR of guest/runtimes/wasm/wasmtime.h
LINK_DIRECTORIES: Final = ("/etc/alternatives",)  # which library directories have links to
SINGLE_FILES: Final = ("/etc/ld.so.cache", "/etc/localtime")
ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "LD_BIND_NOW": "1",
    "MALLOC_ARENA_MAX": "1",
    "MKL_NUM_THREADS": "1",
    "LD_PRELOAD": str(GUEST / "scratch_malloc.so"),
    "NUMEXPR_NUM_THREADS": "1",
    "NUMPY_MADVISE_HUGEPAGE": "0",  # a system call for each large array, for nothing
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


class BaseSpec(NamedTuple):
    """What a base image holds: guest memory in bytes, modules imported at boot (sorted), bytes of
    each window, and the runtime, "python", "native" or "wasm".
    """

    memory: int = DEFAULT_MEMORY
    packages: tuple[str, ...] = ()
    window: int = WINDOW
    runtime: str = "python"


# ---- What a guest sees of this host ----


def package_directories() -> tuple[str, ...]:
    """Directories that modules are imported from in a guest, in the order of ``sys.path``: the
    standard library and installed packages, not the user's own source directories.
    """
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    kept = []
    for entry in sys.path:
        absolute = os.path.abspath(entry)
        installed = os.path.basename(absolute) in ("site-packages", "dist-packages", "lib-dynload")
        if entry and (installed or absolute in standard) and os.path.isdir(absolute):
            kept.append(absolute)
    return tuple(kept)


@functools.cache
def host_files() -> HostFS:
    """The file server for all guests of this process."""
    interpreter = os.path.realpath(sys.executable)
    library = sysconfig.get_config_var("LIBDIR")
    directories = [*package_directories(), *LIBRARY_DIRECTORIES, "/usr/share/zoneinfo", str(GUEST)]
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library:
        directories.append(library)
    return HostFS(directories, [*SINGLE_FILES, interpreter], LINK_DIRECTORIES)


# ---- Keys ----


def _file_identity(path: str | os.PathLike[str]) -> str:
    status = os.stat(path)
    return f"{os.fspath(path)}:{status.st_size}:{status.st_mtime_ns}"


def processor() -> str:
    """Model and features of the processor: libraries in an image chose their code by them."""
    wanted = ("vendor_id", "cpu family", "model\t", "model name", "flags")
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        first = []
        for line in lines:
            if not line.strip():
                break
            if line.startswith(wanted):
                first.append(line.strip())
    return "\n".join(first)


def _installed(directory: str) -> str:
    """Names and versions of the distributions in a package directory, by the names of their
    metadata.
    """
    with contextlib.suppress(OSError):
        names = sorted(
            name for name in os.listdir(directory) if name.endswith((".dist-info", ".egg-info"))
        )
        return ",".join((directory, str(os.stat(directory).st_mtime_ns), *names))
    return directory


@functools.cache
def _host_key() -> bytes:
    """Hash of everything on this host that goes into any base image."""
    interpreter = os.path.realpath(sys.executable)
    parts = [
        sys.version,
        os.uname().release,
        processor(),
        repr(vmm.probe()),
        _file_identity(interpreter),
        *(_installed(directory) for directory in package_directories()),
        repr(sorted(ENVIRONMENT.items())),
        (GUEST / "digest").read_text(),  # of all files there, from the build
    ]
    if os.path.exists("/etc/ld.so.cache"):
        parts.append(_file_identity("/etc/ld.so.cache"))
    return vmm.sha256(*(part.encode() + b"\0" for part in parts))


def base_key(spec: BaseSpec) -> str:
    """Name of a base image in the cache."""
    return vmm.sha256(_host_key(), repr((spec, _place(spec))).encode()).hex()


def layer_key(base: vmm.Image, identity: bytes, limits: Limits) -> str:
    """Name of a layer in the cache. ``identity`` is what tells the function from others."""
    return vmm.sha256(base.digest, bytes([limits.deterministic]), identity).hex()


class _OpenBases(ForkLock):
    """The base images that this process has open: each is mapped, and checked, once."""

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[Path, vmm.Image] = {}


_open_bases: Final = _OpenBases()


# ---- Building ----


def _python_command(spec: BaseSpec) -> list[str]:
    import json

    interpreter = os.path.realpath(sys.executable)
    configuration = {
        "path": list(package_directories()),
        "packages": list(spec.packages),
        "extension": str(GUEST / f"_udfvm_agent{sysconfig.get_config_var('EXT_SUFFIX')}"),
    }
    return [interpreter, "-S", "-s", "-P", "-B", str(GUEST / "agent.py"), json.dumps(configuration)]


def _native_command(_: BaseSpec) -> list[str]:
    return [str(GUEST / "native")]


def _wasm_command(_: BaseSpec) -> list[str]:
    return [str(GUEST / "wasm"), wasmtime_library()]


_COMMANDS: Final[dict[str, Callable[[BaseSpec], list[str]]]] = {
    "python": _python_command, "native": _native_command, "wasm": _wasm_command,
}  # fmt: skip


def wasmtime_library() -> str:
    """Path of libwasmtime in the package ``wasmtime``, of the version that the runtime was written
    for. Raises BuildError.
    """
    import importlib.metadata
    import importlib.util

    try:
        version = importlib.metadata.version("wasmtime")
        found = importlib.util.find_spec("wasmtime")
    except (ImportError, ValueError):
        version, found = "", None
    if found is None or not found.submodule_search_locations:
        raise errors.BuildError(
            "UDFs in Wasm need the package wasmtime, which is not installed: pip install"
            " 'udfvm[wasm]'"
        )
    if version.partition(".")[0] != WASMTIME_VERSION:
        wanted = f"version {WASMTIME_VERSION} of the package wasmtime"
        raise errors.BuildError(
            f"UDFs in Wasm need {wanted}, not {version}: pip install 'udfvm[wasm]'"
        )
    return os.path.join(found.submodule_search_locations[0], "linux-x86_64", "_libwasmtime.so")


def _place(spec: BaseSpec) -> int:
    """Where the runtime is put. The native one lies at the end of memory, so that the rest is one
    piece, from where executables of fixed addresses are linked to.
    """
    return max(spec.memory // 2, spec.memory - _NATIVE_ROOM) if spec.runtime == "native" else 0


def _boot_payload(spec: BaseSpec) -> bytes:
    """``struct udfvm_boot`` and its strings."""
    arguments = _COMMANDS[spec.runtime](spec)
    environment = {**ENVIRONMENT, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}
    strings = [*arguments, *(f"{name}={value}" for name, value in environment.items())]
    header = struct.pack("<QQII", spec.memory, _place(spec), len(arguments), len(environment))
    return header + b"".join(os.fsencode(string) + b"\0" for string in strings)


def _report(vm: vmm.VM, log: str, seconds: float, **more: Any) -> bytes:
    """The build report, kept in the image."""
    import json

    counted = vm.seal_report()
    report = {
        "created": time.time(),
        "seconds": round(seconds, 3),
        "python": sys.version.split()[0],
        "memory_used": counted.memory_used,
        "syscalls": counted.syscalls,
        "trapped_syscalls": counted.trapped,
        "unknown_syscalls": {
            syscall_name(number): count for number, count in counted.unknown.items()
        },
        "log": log,
        **more,
    }
    return json.dumps(report).encode()


def base_image(spec: BaseSpec, timeout_ns: int = Limits().build_timeout_ns) -> vmm.Image:
    """The base image for a spec, from the cache or newly booted, for which ``timeout_ns``
    nanoseconds are allowed.

    Raises BuildError with what the guest printed where the interpreter or a package does not start,
    KVMUnavailableError without KVM.
    """

    def build(descriptor: int) -> None:
        started = time.monotonic()
        limits = Limits(memory=spec.memory, timeout_ns=timeout_ns, max_log=1 << 20)
        kernel = (GUEST / "kernel.bin").read_bytes()
        vm, log = vmm.boot(
            kernel, _boot_payload(spec), spec.memory, spec.window, host_files(), limits, SCRATCH
        )
        with vm:
            report = _report(
                vm,
                log,
                time.monotonic() - started,
                kind="base",
                packages=list(spec.packages),
                memory=spec.memory,
            )
            vm.seal(descriptor, report, key)

    key = base_key(spec)
    with _open_bases.lock:
        path = cache_directory() / f"{key}.base"
        if path not in _open_bases.images:
            _open_bases.images[path] = cached_image(path, None, build)
        return _open_bases.images[path]


def load_limits(limits: Limits) -> Limits:
    """Limits of a call in which a function with these limits is loaded."""
    return Limits(
        timeout_ns=limits.build_timeout_ns, max_log=max(DEFAULT_LOG, limits.max_log),
        deterministic=limits.deterministic,
    )  # fmt: skip


def load_call(
    vm: vmm.VM, request: int, payload: bytes, limits: Limits, name: str, advice: str = ""
) -> vmm.Reply:
    """A call in which a function is loaded. Raises BuildError, with what it printed, where its
    program ends meanwhile, or is not done in time.
    """
    try:
        return vm.call(request, payload, vmm.core_limits(limits), name)
    except errors.CallTimeoutError as error:
        seconds = limits.timeout_ns / 1e9
        message = (
            f"UDF {name!r}: the function was not ready within {seconds:g} s: raise build_timeout="
        )
        raise errors.BuildError(message, vm.log()) from error
    except errors.GuestExitError as error:
        message = f"{error}; the function was not ready by then{advice}"
        raise errors.BuildError(message, vm.log()) from error


def udf_layer(
    base: vmm.Image,
    pool: vmm.Pool,
    identity: bytes,
    payload: Callable[[], bytes],
    limits: Limits,
    name: str,
    advice: str = "",
) -> vmm.Image:
    """The layer of one function, from the cache or newly loaded on a VM of the base.

    ``identity`` names the function, ``payload`` makes the LOAD request where it is needed. Raises
    UDFError where the function cannot be unpickled or fails on its sample, BuildError, with
    ``advice``, where the program ends.
    """

    def build(descriptor: int) -> None:
        started = time.monotonic()
        load = load_limits(limits)
        with pool.vm(base) as vm:
            reply = load_call(vm, vmm.REQUEST_LOAD, payload(), load, name, advice)
            if not reply.sealed:
                failure = guest_error.parse(reply.data, name)
                failure.output = shown(reply.log)
                raise failure
            log = reply.log.decode("utf-8", "replace")
            vm.seal(
                descriptor,
                _report(vm, log, time.monotonic() - started, kind="layer", name=name),
                key,
            )

    key = layer_key(base, identity, limits)
    return cached_image(cache_directory() / f"{key}.layer", base, build)


def cached_reply(
    base: vmm.Image,
    identity: bytes,
    suffix: str,
    ask: Callable[[], bytes],
    read: Callable[[bytes], _Read],
) -> _Read:
    """What ``read`` makes of a reply of compiled code's runtime, which is in the cache or, by
    ``ask``, comes from a VM: looking into large code takes seconds. A cached one that ``read``
    raises ProtocolError for is asked for again.
    """
    path = cache_directory() / f"{layer_key(base, identity, Limits())}{suffix}"
    kept = cached_bytes(path)
    with contextlib.suppress(errors.ProtocolError):
        if kept is not None and kept[:_DIGEST] == _kept_digest(path, kept[_DIGEST:]):
            return read(kept[_DIGEST:])
    reply = ask()
    made = read(reply)
    keep_bytes(path, _kept_digest(path, reply) + reply)
    return made


def _kept_digest(path: Path, reply: bytes) -> bytes:
    """Stands before a reply that is kept: of its name too, so that it is none under another."""
    return vmm.sha256(path.name.encode() + b"\0", reply)
