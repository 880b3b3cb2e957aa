"""Data files: files that a function is given by ``data=``. They do not travel into its image: the
micro-VMs of this process map them, and share their memory.

A path is looked at where the function is declared, and the file is opened when the function's image
is built. From then on a call fails if the file was written meanwhile: what a function computes must
not depend on how far another program has come with its writing. To other processes go the path, and
the SHA-256 of the content.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from udfvm.checks import shown
from udfvm.errors import (
    DataFileChangedError,
    DataFileError,
    DataFileNotFoundError,
    OptionError,
)
from udfvm.forks import ForkLock
from udfvm.protocol import DATA_BASE, DATA_END, MAX_DATA_FILES, MAX_DATA_NAME
from udfvm.static_typing import TYPE_CHECKING, Final
from udfvm.texts import format_size
from udfvm.tuples import NamedTuple

if TYPE_CHECKING:
    import weakref

    from udfvm.vmm.data import Data

_HUGE_PAGE: Final = 2 << 20
MAX_BYTES: Final = DATA_END - DATA_BASE - _HUGE_PAGE  # of all files, each rounded up to 2 MiB
_EXAMPLE: Final = "such as {'model': 'model.bin'}"


class DataFile(NamedTuple):
    """A file of ``data=``. ``digest`` is the SHA-256 of its content where the function was pickled;
    empty where it was declared.
    """

    name: str
    path: str
    size: int
    digest: bytes = b""


class _State(NamedTuple):
    """What tells a file from others, and its content from an earlier one."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class DataFiles:
    """The data files of a function."""

    def __init__(self, files: tuple[DataFile, ...]) -> None:
        self.files = files

    @classmethod
    def of(cls, udf: str, given: object) -> DataFiles | None:
        """Returns the files that ``data=`` of a function means; None if there are none.

        Raises OptionError for what is no mapping of names to paths, and DataFileError for a file
        that cannot be read.
        """
        if given is None or isinstance(given, DataFiles):
            return given
        if not isinstance(given, Mapping):
            raise OptionError(
                f"UDF {udf!r}: data= must be a mapping of names to paths, {_EXAMPLE}; got"
                f" {shown(given)}"
            )
        if len(given) > MAX_DATA_FILES:
            raise OptionError(
                f"UDF {udf!r}: data= has {len(given)} files, more than {MAX_DATA_FILES}: put small"
                " ones into one file, such as a zip archive"
            )
        files = tuple(_declared(udf, name, path) for name, path in sorted(given.items(), key=str))
        _check_total(udf, files)
        return cls(files) if files else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataFiles) and self.files == other.files

    def __hash__(self) -> int:
        return hash(self.files)

    def __repr__(self) -> str:
        return repr({each.name: each.path for each in self.files})

    def __reduce__(self) -> tuple[object, ...]:
        return DataFiles, (tuple(_with_digest(each) for each in self.files),)

    def opened(self, udf: str) -> Data:
        """Returns the files as they are now, mapped: the same object while it is in use and no file
        was written.

        Raises DataFileError for a file that cannot be used, or that is another one than where the
        function was pickled.
        """
        descriptors: list[int] = []
        try:
            for each in self.files:
                descriptors.append(_open(udf, each))
            states = [_state(descriptor) for descriptor in descriptors]
            for each, descriptor, state in zip(self.files, descriptors, states, strict=True):
                _check_content(udf, each, descriptor, state)
            names = [each.name for each in self.files]
            data = _mapped(udf, list(zip(names, descriptors, strict=True)), states)
            for each, descriptor, state in zip(self.files, descriptors, states, strict=True):
                if _state(descriptor)[:4] != state[:4]:
                    raise _failure(DataFileChangedError, udf, each, "is being written")
            return data
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


# ---- Declaring ----


def _declared(udf: str, name: object, path: object) -> DataFile:
    if not isinstance(name, str) or not name or name in (".", "..") or not name.isprintable():
        raise OptionError(
            f"UDF {udf!r}: data= has {shown(name)} as a name, which no file can have: take a name"
            f" {_EXAMPLE}"
        )
    if "/" in name:
        raise OptionError(
            f"UDF {udf!r}: data= has the name {name!r}: a name has no slash; the function finds the"
            " file as /data/NAME"
        )
    if len(name.encode("utf-8", "surrogatepass")) > MAX_DATA_NAME:
        raise OptionError(
            f"UDF {udf!r}: data= has a name of more than {MAX_DATA_NAME} bytes: {shown(name)}"
        )
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise OptionError(
            f"UDF {udf!r}: data= has no path for {name!r}, but {shown(path)}; pass the path of a"
            " file, and values that are in memory as arguments or globals"
        )
    file = DataFile(name, os.path.abspath(os.fsdecode(path)), 0)
    descriptor = _open(udf, file)
    try:
        return file._replace(size=os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _check_total(udf: str, files: tuple[DataFile, ...]) -> None:
    total = sum(each.size + -each.size % _HUGE_PAGE for each in files)
    if total > MAX_BYTES:
        raise _failure(
            DataFileError,
            udf,
            max(files, key=lambda each: each.size),
            f"is too large: the files of data= may have {format_size(MAX_BYTES)} together, and have"
            f" {format_size(total)}; give a function a part of them",
        )


# ---- Opening ----


def _failure(
    cls: type[DataFileError], udf: str, file: DataFile, text: str, number: int | None = None
) -> DataFileError:
    owner = f"UDF {udf!r}: " if udf else ""  # it is not known where a function is pickled
    made = cls(f"{owner}data file {file.name!r} ({file.path}) {text}")
    made.errno, made.filename = number, file.path
    return made


def _open(udf: str, file: DataFile) -> int:
    """Opens a regular file that is not empty."""
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        cls = DataFileNotFoundError if missing else DataFileError
        advice = ": the path is that of the machine that the function runs on" if missing else ""
        text = f"cannot be read: {error.strerror}{advice}"
        raise _failure(cls, udf, file, text, error.errno) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):
        text = "is a directory: name its files one by one, or give it as an archive"
    elif stat.S_ISREG(status.st_mode):
        text = "is empty: is it still being written?"
    else:
        text = "is no regular file, and so cannot be mapped: copy its content to a file"
    raise _failure(DataFileError, udf, file, text)


def _state(descriptor: int) -> _State:
    status = os.fstat(descriptor)
    return _State(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


_lock: Final = ForkLock()
_in_use: Final[dict[bytes, weakref.ref[Data]]] = {}


def _mapped(udf: str, files: list[tuple[str, int]], states: list[_State]) -> Data:
    """Returns files as this process has mapped them already, or maps them."""
    import weakref

    from udfvm.vmm import sha256
    from udfvm.vmm.data import Data

    known_by = [(name, *state) for (name, _), state in zip(files, states, strict=True)]
    identity = sha256(repr(known_by).encode())
    with _lock.lock:
        known = _in_use.get(identity)
        data = known() if known is not None else None
        if data is None:
            try:
                data = Data(files, identity)
            except DataFileError as error:
                error.args = (f"UDF {udf!r}: {error}",)
                raise
            for gone in [key for key, each in _in_use.items() if each() is None]:
                del _in_use[gone]
            _in_use[identity] = weakref.ref(data)
        return data


# ---- Other processes ----

_digests: Final[dict[_State, bytes]] = {}
_digests_lock: Final = ForkLock()
_MAX_DIGESTS: Final = 256


def _digest(descriptor: int, state: _State) -> bytes:
    """Returns the SHA-256 of a file; of one in a state that was seen before, without reading it."""
    with _digests_lock.lock:
        known = _digests.get(state)
    if known is None:
        import hashlib

        with open(descriptor, "rb", closefd=False) as file:
            known = hashlib.file_digest(file, "sha256").digest()
        with _digests_lock.lock:  # other threads compute digests meanwhile
            while len(_digests) >= _MAX_DIGESTS:
                del _digests[next(iter(_digests))]
            _digests[state] = known
    return known


def _with_digest(file: DataFile) -> DataFile:
    if file.digest:
        return file
    descriptor = _open("", file)
    try:
        state = _state(descriptor)
        return file._replace(size=state.size, digest=_digest(descriptor, state))
    finally:
        os.close(descriptor)


def _check_content(udf: str, file: DataFile, descriptor: int, state: _State) -> None:
    """Raises DataFileError if a file is not the one that it was where the function was pickled."""
    if not file.digest:
        return
    if state.size != file.size:
        differs = f"has {format_size(state.size)} here, and {format_size(file.size)}"
    elif _digest(descriptor, state) != file.digest:
        differs = "has another content here than"
    else:
        return
    raise _failure(
        DataFileError,
        udf,
        file,
        f"{differs} where the function came from: copy that file to this machine, or declare the"
        " function in a module that is imported here",
    )
