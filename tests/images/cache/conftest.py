"""Image caches that are filled: with the images of one function, with more layers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cached_images import call, the, used_at

from udfvm import vmm
from udfvm.images import base


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the images of one function."""
    directory = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDFVM_CACHE", str(directory))
        assert call() == 42
    return directory


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--sparse=always", f"{source}/.", target], check=True)


@pytest.fixture
def here(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the filled cache, which is the cache of the test."""
    directory = tmp_path / "cache"
    directory.mkdir(mode=0o700)
    copy(filled, directory)
    monkeypatch.setenv("UDFVM_CACHE", str(directory))
    monkeypatch.setattr(base, "_open_bases", base._OpenBases())
    return directory


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory that everybody can get to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def layers(here: Path) -> list[Path]:
    """Five more layers of the base image, each used a second after the one before."""
    original = the(here, ".layer")
    base = vmm.Image.open(the(here, ".base"))
    made = []
    for index in range(5):
        path = here / f"{original.stem}.copy{index}.layer"
        shutil.copyfile(original, path)
        path.chmod(0o600)
        vmm.Image.open(path, base).close()
        made.append(path)
    base.close()
    for index, path in enumerate([the(here, ".base"), original, *made]):
        used_at(path, 1000 + index)
    return made
