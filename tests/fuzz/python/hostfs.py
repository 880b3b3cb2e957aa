"""Paths that a guest asks the file server for: nothing outside of the roots is served."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from fuzz_inputs import Input

from udfvm.images.hostfs import HostFS

TOP = Path(tempfile.mkdtemp(prefix="udfvm-fuzz-")).resolve()
atexit.register(shutil.rmtree, TOP, ignore_errors=True)
ROOT, OTHER, OUTSIDE = TOP / "root", TOP / "other", TOP / "outside"
for folder in (ROOT / "sub", OTHER, OUTSIDE):
    folder.mkdir(parents=True)
for file in (ROOT / "file", ROOT / "sub" / "file", OTHER / "file", OUTSIDE / "secret"):
    file.write_bytes(b"outside" if file.parent == OUTSIDE else b"inside")
for link, target in {
    "up": "..", "out": str(OUTSIDE), "secret": "../outside/secret", "across": str(OTHER),
    "loop": "loop", "sub/back": "../file", "sub/up": "../..", "chain": "sub/up/other/file",
    "self": "/proc/self", "dots": "./sub/../sub/./file",
}.items():  # fmt: skip
    (ROOT / link).symlink_to(target)
SERVER = HostFS([ROOT, OTHER])
PLACES = [os.fsencode(path) for path in (ROOT, OTHER, OUTSIDE, TOP)]
SERVED = (os.fsencode(ROOT), os.fsencode(OTHER))


def is_served(path: bytes) -> bool:
    return any(path == root or path.startswith(root + b"/") for root in SERVED)


def one_input(data: bytes) -> None:
    given = Input(data)
    how, which = given.byte() % 4, given.byte()
    prefix = PLACES[which % len(PLACES)] + b"/" if which < 128 else b""
    path = prefix + given.rest.replace(b"\n", b"/../").replace(b"\t", b"sub/")
    try:
        if how == 0:
            handle, _ = SERVER.open(path)
            found = os.readlink(os.fsencode(f"/proc/self/fd/{handle}"))
            SERVER.close(handle)
            assert is_served(found), found
        elif how == 1:
            SERVER.stat(path, bool(which & 1))
        elif how == 2:
            SERVER.list(path)
        else:
            SERVER.readlink(path)
    except OSError:
        pass
