"""Where functions run: in micro-VMs; or, if the environment says so, in the program's own process.

``UDFVM_BACKEND=unsafe-inprocess`` is for tests of one's own functions where there is no KVM. It is
never chosen otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys

from udfvm.errors import OptionError, UnsafeBackendError
from udfvm.installation import PACKAGE
from udfvm.static_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

VARIABLE: Final = "UDFVM_BACKEND"
IN_PROCESS: Final = "unsafe-inprocess"
SETTING: Final = f"{VARIABLE}={IN_PROCESS}"

# Frames between the user's code and what warns.
_PASSED: Final = (f"{PACKAGE}{os.sep}", contextlib.__file__, functools.__file__)
_warned: Final[set[tuple[int, bytes]]] = set()  # processes, and images of functions


class UnsafeBackendWarning(UserWarning):
    """A function runs in this process, and nothing isolates it: ``UDFVM_BACKEND`` says so.

    There is one warning for each function in each process, where its image is needed first.

    >>> issubclass(udfvm.UnsafeBackendWarning, UserWarning)
    True
    """


def in_process() -> bool:
    """Returns whether functions run in this process. Raises OptionError for a backend that does not
    exist.
    """
    backend = os.environ.get(VARIABLE, "")
    if backend == IN_PROCESS:
        return True
    if backend in ("", "kvm"):
        return False
    raise OptionError(
        f"{VARIABLE}={backend!r} is no backend: unset it, for micro-VMs; {IN_PROCESS!r} runs"
        " functions in this process, with no isolation at all, for tests"
    )


def refuse_in_process(what: str, why: str = "it may be a stranger's") -> None:
    """Raises UnsafeBackendError for what must not run in this process, if functions do."""
    if in_process():
        raise UnsafeBackendError(
            f"{what} does not run with {SETTING}, without a micro-VM: {why}. Unset {VARIABLE}, on"
            " a machine with /dev/kvm"
        )


def refuse_of_pool(
    udf: str | None, runtime: str, tenant: str | None, *, jail: bool, is_own: bool
) -> None:
    """Refuses what a pool is to run, if it may be a stranger's: source text, what is stored, and
    all functions of a tenant; if it is compiled code; and if it is to be jailed.
    """
    what = "this" if udf is None else f"UDF {udf!r}"
    if runtime != "python":
        code = "WebAssembly" if runtime == "wasm" else "native code"
        refuse_in_process(what, f"it is {code}, and only Python can run in the process")
    if not is_own:
        refuse_in_process(what, "it is no function of this program, and may be a stranger's")
    if tenant is not None:
        refuse_in_process(what, f"its pool serves the tenant {tenant!r}, who may be a stranger")
    if jail:
        refuse_in_process(what, "its pool is to have jails")


def warn_in_process(name: str, image: bytes) -> None:
    """Warns that a function runs in this process, where its image is first needed in it: of a
    function that is declared again and again there is one warning.
    """
    process = os.getpid()
    if (process, image) in _warned:
        return
    import warnings

    # Python's own filters show a warning of a line once, and each of these is to be seen. A filter
    # of the program comes first.
    warnings.filterwarnings("always", category=UnsafeBackendWarning, append=True)
    warnings.warn(
        f"UDF {name!r} runs IN THIS PROCESS, and not in a micro-VM, because {SETTING} is set."
        " Nothing isolates it: it can do all that this program can, and no limit stops it. This is"
        " for tests of your own functions",
        UnsafeBackendWarning,
        stacklevel=_level_of_user(),
    )
    _warned.add((process, image))


def _level_of_user() -> int:
    """Returns the ``stacklevel``, for who called this function, of the first frame that is not this
    package's.
    """
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PASSED):
        frame = frame.f_back
        level += 1
    return level
