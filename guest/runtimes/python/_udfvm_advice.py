"""Advice for exceptions that are due to what the host has and a micro-VM does not have.

The guest knows nothing of the host, so the advice holds whether or not the host has the file or
package.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any, Final

FILES: Final = (
    "udfvm: a micro-VM has no files of this machine but those of Python and of installed packages"
    " (none with files=False), and a /tmp of its own: give it another by data={'model':"
    " 'model.bin'} (found as /data/model), or pass what it holds as an argument, or let a host"
    " function read it (host_functions=). Files of your own packages come along where"
    " code reads them by importlib.resources or pkgutil, or opens them by __file__ and a name"
)
WRITING: Final = (
    "udfvm: a micro-VM has no files of this machine, and a function writes only in /tmp, which each"
    " call finds as it was when the image was sealed: open a path there, such as /tmp/out.txt, and"
    " return what is to be kept, or let a host function write it (host_functions=)"
)
SPACE: Final = "udfvm: a micro-VM has the files of /tmp in its memory: raise memory="
MEMORY: Final = "udfvm: a micro-VM has no more memory than memory= says: raise it"
OWN_LIMIT: Final = (
    "udfvm: the function itself limits its address space (RLIMIT_AS), and this would exceed that"
)
NETWORK: Final = (
    "udfvm: a micro-VM has no network: pass what the function needs as an argument, or let a host"
    " function get it (host_functions=)"
)
PROCESSES: Final = (
    "udfvm: a micro-VM has one process and starts no others: let a host function run the program"
    " (host_functions=)"
)
VARIABLES: Final = (
    "udfvm: a micro-VM has no environment variables of this machine: pass the value as an argument,"
    " or read it into a global outside"
)
TERMINAL: Final = (
    "udfvm: a micro-VM has no terminal, so input() and debuggers have nobody to ask: pass the value"
    " as an argument, and debug the function's code outside"
)
MODULES: Final = (
    "udfvm: a micro-VM finds the packages that are installed for the Python that declared the"
    " function (with files=False only what packages= names or an import in the function does), and"
    " modules of your own that an import in the function names: install the package for that Python"
)
STORED_MODULES: Final = (
    "udfvm: a stored function finds common modules of the standard library, and what packages= of"
    " the policy names (without Python: `udfvm prepare --package`)"
)

_BY_NUMBER: Final[dict[int | None, str]] = {
    errno.ENOENT: FILES,
    errno.EACCES: FILES,
    errno.EPERM: FILES,
    errno.EROFS: WRITING,
    errno.ENOSPC: SPACE,
    errno.EAFNOSUPPORT: NETWORK,
    errno.ENETUNREACH: NETWORK,
    errno.EHOSTUNREACH: NETWORK,
    errno.ECONNREFUSED: NETWORK,  # 127.0.0.1 is the micro-VM's own
}
_BY_NAME: Final = {"socket.gaierror": NETWORK, "bdb.BdbQuit": TERMINAL}
_STARTERS: Final = frozenset(
    {
        "fork",
        "forkpty",
        "_fork_exec",
        "fork_exec",
        "execv",
        "execve",
        "posix_spawn",
        "posix_spawnp",
        "_spawnvef",
    }
)
_NO_INPUT: Final = "EOF when reading a line"  # of input()
_NO_DATABASE: Final = "unable to open database file"
_MAX_CHAIN: Final = 16

stored = False  # True for a function that is stored in a database


def of(exception: BaseException) -> str:
    """Returns a line that explains an exception or one of its causes; empty if there is none to
    give. It never raises.
    """
    try:
        return next(filter(None, map(_advice, _chain(exception))), "")
    except BaseException:  # noqa: BLE001 - code of the user's classes runs
        return ""


def _chain(exception: BaseException | None) -> Iterator[BaseException]:
    """Yields an exception and its causes. URLError keeps its cause in an attribute."""
    for _ in range(_MAX_CHAIN):
        if exception is None:
            return
        yield exception
        reason = getattr(exception, "reason", None)
        if isinstance(reason, BaseException):
            yield reason
        exception = exception.__cause__ or (
            None if exception.__suppress_context__ else exception.__context__
        )


def _advice(exception: BaseException) -> str:
    cls = type(exception)
    name = f"{cls.__module__}.{cls.__qualname__}"
    number = exception.errno if isinstance(exception, OSError) else None
    if isinstance(exception, ModuleNotFoundError):
        return STORED_MODULES if stored else MODULES
    if _is_variable(exception):
        return VARIABLES
    if number == errno.ENOSYS and _starts_process(exception):
        return PROCESSES
    asks = cls is EOFError and str(exception) == _NO_INPUT
    if asks or name in _BY_NAME:
        return _BY_NAME.get(name, TERMINAL)
    if isinstance(exception, MemoryError) and str(exception):
        return OWN_LIMIT if limits_itself() else MEMORY
    no_database = name == "sqlite3.OperationalError" and str(exception) == _NO_DATABASE
    return FILES if no_database else _BY_NUMBER.get(number, "")


def limits_itself() -> bool:
    """Returns True if the function has set a limit of its address space. It never raises."""
    resource = sys.modules.get("resource")  # with which it has done so
    try:
        return bool(resource and resource.getrlimit(resource.RLIMIT_AS)[0] != -1)
    except BaseException:  # noqa: BLE001 - the user may have replaced it
        return False


def _is_variable(exception: BaseException) -> bool:
    """Returns True if an exception is about a missing environment variable."""
    getter = type(os.environ).__getitem__.__code__
    return isinstance(exception, KeyError) and _raised_by(exception) is getter


def _starts_process(exception: BaseException) -> bool:
    code = _raised_by(exception)
    return code is not None and not _STARTERS.isdisjoint(code.co_names)


def _raised_by(exception: BaseException) -> CodeType | None:
    """Returns the code that raised an exception."""
    frame: Any = exception.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return None if frame is None else frame.tb_frame.f_code
