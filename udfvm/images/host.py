"""What a guest sees of this host: files and environment; and the key that identifies the host."""

from __future__ import annotations

import contextlib
import functools
import os
import site
import sys

from udfvm import vmm
from udfvm.installation import GUEST
from udfvm.static_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from udfvm.images.hostfs import HostFS
    from udfvm.vmm.callbacks import Files

LIBRARY_DIRECTORIES: Final = (
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-musl",
    "/usr/lib/x86_64-linux-musl",
    "/usr/local/lib",
)
LINK_DIRECTORIES: Final = ("/etc/alternatives",)  # links in library directories lead there
DATA_DIRECTORIES: Final = ("/usr/lib/locale", "/usr/share/zoneinfo")  # the same for all programs
SINGLE_FILES: Final = ("/etc/ld.so.cache", "/etc/localtime", "/lib/ld-musl-x86_64.so.1")
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
    "NUMPY_MADVISE_HUGEPAGE": "0",  # it would cost a system call for each large array
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


@functools.cache
def standard_directories() -> frozenset[str]:
    """Returns the directories of the standard library and of packages that this interpreter names.

    They are those of sysconfig, whose import and work take longer than a call. What ``site`` says
    is at hand: the interpreter has imported it.
    """
    return frozenset([os.path.dirname(os.__file__), *site.getsitepackages()])


def package_directories() -> tuple[str, ...]:
    """Returns the directories that guests import modules from, in the order of ``sys.path``.

    They are the standard library and installed packages, without the user's own source directories.
    """
    standard = standard_directories()
    kept = []
    for entry in sys.path:
        absolute = os.path.abspath(entry)
        installed = os.path.basename(absolute) in ("site-packages", "dist-packages", "lib-dynload")
        if entry and (installed or absolute in standard) and os.path.isdir(absolute):
            kept.append(absolute)
    return tuple(kept)


class _HostFiles:
    """The methods of ``HostFS``. Its folders are opened with the first file that a guest asks for:
    most calls read none.
    """

    def open(self, path: bytes) -> tuple[int, os.stat_result]:
        """Opens a regular file or a directory."""
        return _opened().open(path)

    def stat(self, path: bytes, follow: bool) -> os.stat_result:
        """Returns the status of a path."""
        return _opened().stat(path, follow)

    def read_into(self, handle: int, offset: int, buffer: memoryview) -> int:
        """Reads at an offset. Returns the bytes read."""
        return _opened().read_into(handle, offset, buffer)

    def close(self, handle: int) -> None:
        """Closes a handle."""
        _opened().close(handle)

    def list(self, path: bytes) -> list[tuple[bytes, int, int]]:
        """Returns the entries of a directory."""
        return _opened().list(path)

    def readlink(self, path: bytes) -> bytes:
        """Returns the target of a symbolic link."""
        return _opened().readlink(path)


_host_files: Final = _HostFiles()


def host_files() -> Files:
    """Returns the file server for all guests of this process."""
    return _host_files


@functools.cache
def _opened() -> HostFS:
    import sysconfig

    from udfvm.images.hostfs import HostFS

    interpreter = os.path.realpath(sys.executable)
    library = sysconfig.get_config_var("LIBDIR")
    directories = [*package_directories(), *LIBRARY_DIRECTORIES, *DATA_DIRECTORIES, str(GUEST)]
    directories += {sysconfig.get_path(name) for name in ("include", "platinclude")}
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library:
        directories.append(library)
    return HostFS(directories, [*SINGLE_FILES, interpreter], LINK_DIRECTORIES)


def _file_identity(path: str | os.PathLike[str]) -> str:
    status = os.stat(path)
    return f"{os.fspath(path)}:{status.st_size}:{status.st_mtime_ns}"


def processor() -> str:
    """Returns the processor's model and features: libraries in an image chose their code by
    them.
    """
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
    """Returns the names of the metadata in a package directory, which have the distributions'
    versions.
    """
    with contextlib.suppress(OSError):
        names = sorted(
            name for name in os.listdir(directory) if name.endswith((".dist-info", ".egg-info"))
        )
        return ",".join((directory, str(os.stat(directory).st_mtime_ns), *names))
    return directory


@functools.cache
def host_key() -> bytes:
    """Returns a hash of everything on this host that base images depend on."""
    interpreter = os.path.realpath(sys.executable)
    parts = [
        sys.version,
        os.uname().release,
        processor(),
        repr(vmm.probe()),
        _file_identity(interpreter),
        *(_installed(directory) for directory in package_directories()),
        repr(sorted(ENVIRONMENT.items())),
        (GUEST / "digest").read_text(),  # the build writes it: of all files in the folder
    ]
    if os.path.exists("/etc/ld.so.cache"):
        parts.append(_file_identity("/etc/ld.so.cache"))
    return vmm.sha256(*(part.encode() + b"\0" for part in parts))
