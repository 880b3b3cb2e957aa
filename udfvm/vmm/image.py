"""Sealed images, mapped, and the headers of their files."""

from __future__ import annotations

import os
from pathlib import Path

from udfvm.static_typing import Any
from udfvm.vmm._core import ffi, lib
from udfvm.vmm.failures import file_exception, thread_error
from udfvm.vmm.private_files import open_private


class Image:
    """A sealed image, mapped. It is closed with its last user. ``close`` drops this object's
    reference.
    """

    def __init__(self, handle: Any, base: Image | None) -> None:
        self._handle = ffi.gc(handle, lib.udfvm_image_close)
        self.base = base
        self.path: Path | None = None  # of its file, if it was opened by path
        self.in_process = False  # its functions run in this process: it has no pages

    @classmethod
    def open(cls, path: Path, base: Image | None = None) -> Image:
        """Opens a base image of the cache, or with ``base`` a layer of it. Checks it unless that
        was done before.

        Raises FileNotFoundError, CacheError if the file must not be used, and ImageError if it is
        damaged or foreign.
        """
        error = thread_error()
        directory, name = os.fsencode(path.parent), os.fsencode(path.name)
        handle = lib.udfvm_image_open_cached(
            directory, name, base._handle if base else ffi.NULL, error
        )
        if not handle:
            raise file_exception(error, path)
        image = cls(handle, base)
        image.path = path
        return image

    @property
    def address(self) -> int:
        """Address of the core's object, for C code of this process."""
        return int(ffi.cast("uintptr_t", self._handle))

    @property
    def metadata(self) -> bytes:
        """The metadata stored with the image."""
        length = ffi.new("size_t *")
        data = lib.udfvm_image_metadata(self._handle, length)
        return bytes(ffi.buffer(data, length[0]))

    @property
    def digest(self) -> bytes:
        """32 bytes that identify the content."""
        statistics = self._statistics()  # owns the memory that the buffer shows
        return bytes(ffi.buffer(statistics.digest))

    @property
    def memory(self) -> int:
        """The bytes of guest memory of its VMs."""
        return int(self._statistics().memory)

    @property
    def pages(self) -> int:
        """The number of stored pages of 4 KiB."""
        return int(self._statistics().pages)

    def _statistics(self) -> Any:
        statistics = ffi.new("struct udfvm_image_statistics *")
        lib.udfvm_image_statistics(self._handle, statistics)
        return statistics

    def close(self) -> None:
        """Drops this object's reference. VMs and layers keep theirs."""
        ffi.release(self._handle)


def read_metadata(path: Path) -> dict[str, Any]:
    """Returns the metadata of an image file without opening and checking the image; empty if they
    cannot be read.
    """
    import json

    header = ffi.new("struct udfvm_image_location *")
    with open(open_private(path), "rb") as file:
        if lib.udfvm_image_locate_metadata(file.fileno(), header):
            return {}
        file.seek(header.offset)
        try:
            parsed = json.loads(file.read(min(header.length, 1 << 24)))
        except ValueError:
            return {}
    return parsed if isinstance(parsed, dict) else {}


def read_identity(path: Path) -> tuple[bytes, bytes] | None:
    """Returns the digests of an image and of its base (zeros for a base image) from the header;
    None if the file is not an image.
    """
    header = ffi.new("struct udfvm_image_location *")
    descriptor = open_private(path)
    try:
        if lib.udfvm_image_locate_metadata(descriptor, header):
            return None
    finally:
        os.close(descriptor)
    return bytes(ffi.buffer(header.digest)), bytes(ffi.buffer(header.base_digest))
