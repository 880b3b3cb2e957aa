"""The read-only file server for guests. It serves regular files and directories below recorded
roots, and nothing else.

It looks a path up beneath a root with ``openat2`` and ``RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS``
(openat2(2)). So the kernel itself prevents that ``..`` or a symbolic link leads out of the root,
whatever is renamed meanwhile. If a link points out of its root, the server looks its target up
anew, from the start: the target must lie beneath a root, too. On its way it may pass through
directories such as Debian's ``/etc/alternatives``, from which the server follows links but serves
nothing.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable, Iterable

from udfvm.static_typing import Final

_SYS_OPENAT2: Final = 437
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_BENEATH: Final = 0x08
_LINKS_MAX: Final = 40
_READ_MAX: Final = 1 << 30
_TYPES: Final = {stat.S_IFREG: 8, stat.S_IFDIR: 4, stat.S_IFLNK: 10}


@functools.cache
def _openat2() -> Callable[[int, bytes, int, int], tuple[int, int]]:
    """Returns a function for the system call. It takes a directory, a path, flags and resolve
    flags, and returns a descriptor and an error number.

    Most processes read no file for a guest, and do not load ctypes.
    """
    import ctypes

    class OpenHow(ctypes.Structure):
        """``struct open_how``."""

        _fields_ = (
            ("flags", ctypes.c_uint64),
            ("mode", ctypes.c_uint64),
            ("resolve", ctypes.c_uint64),
        )

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long

    def openat2(directory: int, path: bytes, flags: int, resolve: int) -> tuple[int, int]:
        how = OpenHow(flags, 0, resolve)
        size = ctypes.c_size_t(ctypes.sizeof(how))
        number, folder = ctypes.c_long(_SYS_OPENAT2), ctypes.c_long(directory)
        return int(
            syscall(number, folder, ctypes.c_char_p(path), ctypes.byref(how), size)
        ), ctypes.get_errno()

    return openat2


def _open_beneath(directory: int, path: bytes, flags: int) -> int:
    """Opens a relative path without leaving the directory. Raises OSError."""
    while True:
        descriptor, number = _openat2()(
            directory, path, flags | os.O_CLOEXEC, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS
        )
        if descriptor >= 0:
            return descriptor
        if number not in (
            errno.EINTR,
            errno.EAGAIN,
        ):  # EAGAIN: a race with a rename
            raise OSError(number, os.strerror(number))


def _normal(path: bytes) -> bytes:
    """Returns an absolute path without empty components and ``.``. A ``..`` stays: its meaning
    depends on links.
    """
    if not path.startswith(b"/") or b"\0" in path or len(path) > 4096:
        raise OSError(errno.EINVAL, "not an absolute path")
    return b"/" + b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))


class HostFS:
    """Serves files below ``directories``, and the single files ``files``.

    Those that do not exist are left out. Links in the directories ``links`` are followed if a link
    of a served directory leads to them. Handles are descriptors of this process. Methods raise
    OSError. Several threads may use it.

    >>> with HostFS([os.path.dirname(os.__file__)]) as files:
    ...     handle, status = files.open(os.__file__.encode())
    ...     files.close(handle)
    ...     files.open(b"/etc/passwd")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory
    """

    def __init__(
        self,
        directories: Iterable[str | os.PathLike[str]],
        files: Iterable[str | os.PathLike[str]] = (),
        links: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        self._roots: dict[bytes, int] = {}
        self._files = frozenset(_normal(os.fsencode(path)) for path in files)
        self._links = frozenset(_normal(os.fsencode(path)) for path in links)
        for directory in directories:
            for name in {os.path.abspath(directory), os.path.realpath(directory)}:
                self._add_root(_normal(os.fsencode(name)))
        self._ancestors = frozenset(
            ancestor
            for root in (*self._roots, *self._files)
            for ancestor in self._prefixes(root)
            if ancestor not in self._roots
        )

    def _add_root(self, name: bytes) -> None:
        if name in self._roots:
            return
        try:
            self._roots[name] = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return

    @staticmethod
    def _prefixes(path: bytes) -> list[bytes]:
        parts = path.split(b"/")
        return [b"/".join(parts[:count]) or b"/" for count in range(1, len(parts))]

    # ---- Looking up ----

    def _lookup(self, path: bytes, flags: int) -> int:
        """Returns an O_PATH descriptor for the path."""
        name = _normal(path)
        linked = False  # a link led to `name`
        for _ in range(_LINKS_MAX):
            if name in self._files:
                return os.open(name, flags | os.O_PATH | os.O_CLOEXEC)
            root = self._root_of(name)
            if root is None:
                if not linked or name.rpartition(b"/")[0] not in self._links:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                name = _target_of(name)
                continue
            try:
                return _open_beneath(
                    self._roots[root], name[len(root) + 1 :] or b".", flags | os.O_PATH
                )
            except OSError as failure:
                if failure.errno != errno.EXDEV:
                    raise
            name, linked = self._past_first_link_out(root, name)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _root_of(self, name: bytes) -> bytes | None:
        """Returns the longest root that is a prefix of the path."""
        candidate = name
        while len(candidate) > 1:
            if candidate in self._roots:
                return candidate
            candidate = candidate.rpartition(b"/")[0]
        return None

    def _past_first_link_out(self, root: bytes, name: bytes) -> tuple[bytes, bool]:
        """Returns the path with the first link that leads out of the root replaced, and True.

        A ``..`` that would climb out of the root is resolved by name.
        """
        parts = name[len(root) + 1 :].split(b"/")
        done = root
        for index, part in enumerate(parts):
            here = done + b"/" + part
            if part == b"..":
                return _resolve_dots(name), False
            try:
                descriptor = _open_beneath(
                    self._roots[root], here[len(root) + 1 :], os.O_PATH | os.O_NOFOLLOW
                )
            except OSError as failure:
                if failure.errno != errno.EXDEV:
                    raise
                return _resolve_dots(name), False
            try:
                link = (
                    os.readlink(b"", dir_fd=descriptor)
                    if stat.S_ISLNK(os.fstat(descriptor).st_mode)
                    else None
                )
            finally:
                os.close(descriptor)
            if link is not None:
                target = link if link.startswith(b"/") else done + b"/" + link
                return _resolve_dots(_normal(b"/".join((target, *parts[index + 1 :])))), True
            done = here
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    # ---- What guests ask for ----

    def open(self, path: bytes) -> tuple[int, os.stat_result]:
        """Opens a regular file or a directory."""
        descriptor = self._lookup(path, 0)
        try:
            status = os.fstat(descriptor)
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise PermissionError(errno.EACCES, "neither a regular file nor a directory")
            # O_PATH first: opening a device or a FIFO has effects. Only a checked file is opened,
            # through its descriptor.
            return os.open(
                f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
            ), status
        finally:
            os.close(descriptor)

    def stat(self, path: bytes, follow: bool) -> os.stat_result:
        """Returns the status of a path; of a link itself if ``follow`` is False.

        The directories above a root have a status, but no entries.
        """
        name = _normal(path)
        if name in self._ancestors:
            return os.stat(name)
        descriptor = self._lookup(name, 0 if follow else os.O_NOFOLLOW)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def read_into(self, handle: int, offset: int, buffer: memoryview) -> int:
        """Reads at an offset. Returns the bytes read; 0 at the end of the file."""
        if offset < 0 or len(buffer) > _READ_MAX:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return os.preadv(handle, [buffer], offset)

    def close(self, handle: int) -> None:
        """Closes a handle."""
        os.close(handle)

    def list(self, path: bytes) -> list[tuple[bytes, int, int]]:
        """Returns name, inode and type of each entry, sorted by name, without devices, sockets and
        FIFOs.
        """
        handle, status = self.open(path)
        try:
            if not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            entries = []
            with os.scandir(handle) as iterator:
                for entry in iterator:
                    entry_type = _entry_type(entry)
                    name = os.fsencode(entry.name)
                    if entry_type is not None and len(name) <= 255:
                        entries.append((name, entry.inode(), entry_type))
            return sorted(entries)
        finally:
            os.close(handle)

    def readlink(self, path: bytes) -> bytes:
        """Returns the target of a symbolic link below a root."""
        name = _normal(path)
        if name in self._ancestors or name in self._roots:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        descriptor = self._lookup(name, os.O_NOFOLLOW)
        try:
            if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return os.readlink(b"", dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def end(self) -> None:
        """Closes the roots. Nothing can be opened afterwards."""
        roots, self._roots = self._roots, {}
        for descriptor in roots.values():
            os.close(descriptor)

    def __enter__(self) -> HostFS:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def _entry_type(entry: os.DirEntry[str]) -> int | None:
    if entry.is_symlink():
        return _TYPES[stat.S_IFLNK]
    if entry.is_dir(follow_symlinks=False):
        return _TYPES[stat.S_IFDIR]
    return _TYPES[stat.S_IFREG] if entry.is_file(follow_symlinks=False) else None


def _target_of(link: bytes) -> bytes:
    """Returns the target of a link. Raises OSError for any other file."""
    target = os.readlink(link)
    if not target.startswith(b"/"):
        target = link.rpartition(b"/")[0] + b"/" + target
    return _resolve_dots(_normal(target))


def _resolve_dots(path: bytes) -> bytes:
    """Removes each ``..`` with the component before it. This is right if that component is not a
    link; the result is only a name to look up anew.
    """
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part:
            parts.append(part)
    return b"/" + b"/".join(parts)
