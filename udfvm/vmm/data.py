"""Data files of functions, mapped once for all VMs that have them."""

from __future__ import annotations

from collections.abc import Sequence

from udfvm.static_typing import Any
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.failures import exception, thread_error


class Data:
    """Mapped files, by their names in the guest's ``/data``. They are unmapped with their last
    user.

    Attributes:
        identity: what tells the files, and the state that they are in, from others.
    """

    def __init__(self, files: Sequence[tuple[str, int]], identity: bytes) -> None:
        """``files``: names, and descriptors that are open for reading, which the core opens anew.

        Raises DataFileError for a file that cannot be mapped.
        """
        self.identity = identity
        names = [ffi.new("char[]", name.encode()) for name, _ in files]
        sources = ffi.new("struct udfvm_data_source[]", len(files))
        for source, name, (_, descriptor) in zip(sources, names, files, strict=True):
            source.name, source.fd = name, descriptor
        error = thread_error()
        handle = lib.udfvm_data_open(sources, len(files), error)
        if not handle:
            raise exception(error)
        self._handle: Any = ffi.gc(handle, lib.udfvm_data_close)
