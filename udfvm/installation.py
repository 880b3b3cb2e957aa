"""The location of the installed package, and of its files for guests."""

from __future__ import annotations

from pathlib import Path

from udfvm.static_typing import Final

PACKAGE: Final = Path(__file__).resolve().parent
GUEST: Final = PACKAGE / "_guest"  # the guest kernel and the runtimes, built


def get_include() -> str:
    """Returns the folder of ``udfvm.h``, for compilers of native functions.

    >>> import os, udfvm
    >>> sorted(os.listdir(udfvm.get_include()))
    ['udfvm.h', 'udfvm_groups.h', 'udfvm_table.h']
    """
    return str(GUEST / "include")
