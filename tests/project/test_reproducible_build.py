"""What runs in guests is the same, byte for byte, wherever and whenever it is built: a second
build, in another folder, is compared with the one that is installed.

The usual run builds the guest kernel and what takes no time. ``UDFVM_REPRODUCE=all`` builds the
runtimes as well, which takes half a minute.
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
INSTALLED = ROOT / "udfvm" / "_guest"
RUNTIMES = ("_udfvm_agent", "native", "wasm")
ALL = os.environ.get("UDFVM_REPRODUCE") == "all"
PARTS = ("build_native", "guest", "udfvm", "meson.build", "meson.options")
LEFT_OUT = shutil.ignore_patterns("*.so", "_guest", "_core.c", "__pycache__")


def is_runtime(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in RUNTIMES


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
    made = {
        Path(target).relative_to("/_guest"): Path(file)
        for file, target in installed.items()
        if target.startswith("/_guest/")
        and (ALL or not is_runtime(target.removeprefix("/_guest/")))
    }
    targets = [str(file.relative_to(build)) for file in made.values() if build in file.parents]
    ninja_build(build, targets, environment)
    assert {"kernel.bin", "scratch_malloc.so"} <= {str(name) for name in made}
    assert not ALL or {"native", "wasm"} <= {str(name) for name in made}
    different = [
        str(name) for name, file in made.items()
        if file.read_bytes() != (INSTALLED / name).read_bytes()
    ]  # fmt: skip
    assert not different, "not as installed: build again, then compare what differs"
    listed = {
        path.relative_to(INSTALLED)
        for path in INSTALLED.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    left = {str(path) for path in listed - made.keys()}
    assert all(name == "digest" or (is_runtime(name) and not ALL) for name in left), left
