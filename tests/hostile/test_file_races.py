"""Names that change while files are opened: a directory and a link to the outside take turns in its
place. What the file server and the image cache open lies inside, or is refused.

``UDFVM_HOSTILE=100`` tries a hundred times as often.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from udfvm.errors import CacheError
from udfvm.images.hostfs import HostFS
from udfvm.vmm.private_files import open_private

ROUNDS = 1500 * int(os.environ.get("UDFVM_HOSTILE", "1"))
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[list[int]]:
    """Exchanges two names for as long as the block runs; how often."""
    libc = ctypes.CDLL(None, use_errno=True)
    ended = threading.Event()
    swaps = [0]

    def swap() -> None:
        names = os.fsencode(one), os.fsencode(other)
        while not ended.is_set():
            assert libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0
            swaps[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        ended.set()
        thread.join()


def tree(top: Path, link_to: Path) -> tuple[Path, Path]:
    """A directory, and beside it a link to another, of which each has a file of the same name."""
    for folder, text in ((top / "root" / "d", "inside"), (link_to, "outside")):
        folder.mkdir(parents=True, mode=0o700)
        (folder / "file").write_text(text)
        (folder / "file").chmod(0o600)
    (top / "root" / "link").symlink_to(link_to)
    return top / "root" / "d", top / "root" / "link"


def test_files_of_guests(tmp_path: Path) -> None:
    directory, link = tree(tmp_path, tmp_path / "outside")
    served = refused = 0
    with HostFS([tmp_path / "root"]) as files, swapping(directory, link) as swaps:
        while served + refused < ROUNDS:
            try:
                handle, _ = files.open(os.fsencode(directory / "file"))
            except OSError:
                refused += 1
                continue
            text = os.pread(handle, 16, 0)
            files.close(handle)
            assert text == b"inside"
            served += 1
    assert served and swaps[0] > 0


def test_files_of_the_cache(tmp_path: Path) -> None:
    """The link leads to a directory that others can write."""
    directory, link = tree(tmp_path, tmp_path / "outside")
    (tmp_path / "outside").chmod(0o777)
    opened = refused = 0
    with swapping(directory, link) as swaps:
        while opened + refused < ROUNDS:
            try:
                descriptor = open_private(directory / "file")
            except (CacheError, OSError):
                refused += 1
                continue
            text = os.pread(descriptor, 16, 0)
            os.close(descriptor)
            assert text == b"inside"
            opened += 1
    assert opened and swaps[0] > 0
