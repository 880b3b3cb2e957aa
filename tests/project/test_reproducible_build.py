"""What runs in guests is the same, byte for byte, wherever and whenever it is built: a second
build, in another folder, is compared with the one that is installed.

The usual run builds the guest kernel and what takes no time. ``UDFVM_REPRODUCE=all`` builds the
runtimes as well, and what has the stubs of ring 0, which takes a minute.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ninja
import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / "udfvm"
RUNTIMES = ("_udfvm_agent", "native", "wasm")
STUBS = {"vmm/libudfvm.so", "vmm/udfvm-jail"}
ALL = os.environ.get("UDFVM_REPRODUCE") == "all"
PARTS = ("build_native", "guest", "udfvm", "meson.build", "meson.options")
LEFT_OUT = shutil.ignore_patterns("*.so", "_guest", "_core.c", "__pycache__")


def runs_in_guests(name: str) -> bool:
    return name.startswith("_guest/") or name in STUBS


def takes_time(name: str) -> bool:
    return name in STUBS or Path(name).name.split(".", maxsplit=1)[0] in RUNTIMES


def ninja_build(build: Path, targets: list[str], environment: dict[str, str]) -> None:
    command = [Path(ninja.BIN_DIR) / "ninja", "-C", build, *targets]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.skipif(bool(os.environ.get("UDFVM_SANITIZE")), reason="another build is installed")
def test_a_build_elsewhere_makes_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "a folder of another name" / "source"
    source.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=LEFT_OUT)
        else:
            shutil.copyfile(ROOT / part, source / part)
    environment = {**os.environ, "CC": "gcc", "TZ": "Pacific/Auckland", "LC_ALL": "C",
                   "SOURCE_DATE_EPOCH": "0"}  # fmt: skip
    build = source / "build" / "native" / f"{sys.implementation.cache_tag}-plain"
    setup = [sys.executable, "-m", "mesonbuild.mesonmain", "setup", "--prefix=/", build, source]
    done = subprocess.run(setup, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    installed = json.loads((build / "meson-info" / "intro-installed.json").read_text())
    targets = {target.removeprefix("/"): Path(file) for file, target in installed.items()}
    made = {
        name: file
        for name, file in targets.items()
        if runs_in_guests(name) and (ALL or not takes_time(name))
    }
    built = [str(file.relative_to(build)) for file in made.values() if build in file.parents]
    ninja_build(build, built, environment)
    assert {"_guest/kernel.bin", "_guest/scratch_malloc.so"} <= made.keys()
    assert not ALL or {"_guest/native", "_guest/wasm", *STUBS} <= made.keys()
    different = [
        name for name, file in made.items()
        if file.read_bytes() != (INSTALLED / name).read_bytes()
    ]  # fmt: skip
    assert not different, "not as installed: build again, then compare what differs"
    listed = {
        str(path.relative_to(INSTALLED))
        for path in INSTALLED.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and runs_in_guests(str(path.relative_to(INSTALLED)))
    }
    left = listed - made.keys()
    assert all(name == "_guest/digest" or (takes_time(name) and not ALL) for name in left), left
