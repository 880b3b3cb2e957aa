"""Runs Meson, and installs what it built into a package.

Objects are kept in ``build/native``. ``UDFVM_SANITIZE`` (for example ``address,undefined``) builds
what runs on the host with sanitizers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from compileall import compile_dir
from pathlib import Path

import ninja

ROOT = Path(__file__).resolve().parents[1]
# General flags would reach guests, too, and DESTDIR is for installing a whole system.
IGNORED_VARIABLES = ("CFLAGS", "CPPFLAGS", "LDFLAGS", "DESTDIR")


def install(package: Path) -> None:
    """Builds everything and installs it into the folder of the package."""
    sanitizers = os.environ.get("UDFVM_SANITIZE", "")
    build = ROOT / "build" / "native" / f"{sys.implementation.cache_tag}-{sanitizers or 'plain'}"
    configure(build, sanitizers)
    if not meson("install", "-C", str(build), "--quiet", "--destdir", str(package)):
        sys.exit("The parts that are not Python cannot be built.")
    installed = json.loads((build / "meson-info" / "intro-installed.json").read_text())
    write_digest(package / "_guest", {package / path.lstrip("/") for path in installed.values()})
    if package.parent == ROOT:  # pip does so where it installs files
        compile_dir(package / "_guest", quiet=1)


def configure(build: Path, sanitizers: str) -> None:
    """Makes Meson read its files and look for sources, again or for the first time."""
    options = ("--prefix=/", f"-Dsanitize={sanitizers}", str(build), str(ROOT))
    if build.exists():
        if meson("setup", "--reconfigure", *options):
            return
        shutil.rmtree(build)  # Meson cannot continue a build of another version.
    if not meson("setup", *options):
        sys.exit("Meson cannot configure the build.")


def meson(*arguments: str) -> bool:
    """Runs Meson. Returns True if it succeeded, and shows its output if it did not."""
    environment = {
        name: value for name, value in os.environ.items() if name not in IGNORED_VARIABLES
    }
    done = subprocess.run(
        [sys.executable, "-m", "mesonbuild.mesonmain", *arguments],
        env={**environment, "CC": "gcc", "NINJA": str(Path(ninja.BIN_DIR) / "ninja")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
    return done.returncode == 0


def write_digest(guest: Path, installed: set[Path]) -> None:
    """Writes a digest of all files that go into images. Removes files that another build left."""
    digest = hashlib.sha256()
    for path in sorted(path for path in guest.rglob("*") if path.is_file()):
        if path in installed:
            name = path.relative_to(guest)
            digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
        else:
            path.unlink()
    (guest / "digest").write_text(digest.hexdigest() + "\n")
