"""Names that change while files are opened: a directory and a link to the outside take turns in its
place. What the file server and the image cache open lies inside, or is refused.

``UDFVM_HOSTILE=100`` tries a hundred times as often.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
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


def race(names: tuple[Path, Path], opened: Callable[[], int], close: Callable[[int], None]) -> None:
    """Opens a file again and again while the names are exchanged: it is the one inside, or none."""
    served = refused = 0
    with swapping(*names) as swaps:
        while served + refused < ROUNDS:
            try:
                descriptor = opened()
            except (CacheError, OSError):
                refused += 1
                continue
            text = os.pread(descriptor, 16, 0)
            close(descriptor)
            assert text == b"inside"
            served += 1
    assert served and swaps[0] > 0


def test_files_of_guests(tmp_path: Path) -> None:
    names = tree(tmp_path, tmp_path / "outside")
    path = os.fsencode(names[0] / "file")
    with HostFS([tmp_path / "root"]) as files:
        race(names, lambda: files.open(path)[0], files.close)


def test_files_of_the_cache(tmp_path: Path) -> None:
    """The link leads to a directory that others can write."""
    names = tree(tmp_path, tmp_path / "outside")
    (tmp_path / "outside").chmod(0o777)
    race(names, lambda: open_private(names[0] / "file"), os.close)
