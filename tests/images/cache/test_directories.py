"""The cache's directory is the user's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cached_images import call
from click.testing import CliRunner
from hostile_files import NOBODY, needs_root

import udfvm
from udfvm import vmm
from udfvm.cli import commands
from udfvm.images import cache


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_directory_that_others_can_write_is_no_cache(here: Path, mode: int) -> None:
    here.chmod(mode)
    with pytest.raises(udfvm.ImageError, match="chmod go-w"):
        call()
    with pytest.raises(udfvm.ImageError, match="can be written"):
        cache.clear_cache()
    here.chmod(0o700)
    assert call() == 42


@needs_root
@pytest.mark.parametrize("mode", [0o777, 0o755, 0o700])
def test_a_directory_of_another_user_is_no_cache(here: Path, mode: int) -> None:
    os.chown(here, NOBODY, NOBODY)
    here.chmod(mode)
    with pytest.raises(udfvm.ImageError, match="belongs to another user"):
        call()
    assert "belongs to another user" in CliRunner().invoke(commands, ["doctor"]).output.replace(
        "\n", " "
    )


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_directories_above_it_count_where_others_get_to_them(outside: Path, mode: int) -> None:
    directory = outside / "a" / "b" / "cache"
    directory.mkdir(parents=True)
    (outside / "a").chmod(mode)
    with pytest.raises(udfvm.ImageError, match=r"/a can be written"):
        vmm.open_private_directory(directory)
    (outside / "a").chmod(mode | 0o1000)  # as /tmp is
    os.close(vmm.open_private_directory(directory))
    (outside / "a").chmod(mode)
    outside.chmod(0o700)
    os.close(vmm.open_private_directory(directory))


@needs_root
def test_directories_of_others_above_it_count(outside: Path) -> None:
    directory = outside / "a" / "cache"
    directory.mkdir(parents=True)
    os.chown(outside / "a", NOBODY, NOBODY)
    with pytest.raises(udfvm.ImageError, match=r"/a belongs to another user"):
        vmm.open_private_directory(directory)


def test_links_on_the_way_are_followed(outside: Path) -> None:
    directory = outside / "real" / "cache"
    directory.mkdir(parents=True)
    (directory / "file").touch(mode=0o600)
    (outside / "relative").symlink_to("real")
    (outside / "absolute").symlink_to(outside / "relative" / ".." / "real")
    for way in ("relative", "absolute", "real/../relative", "./real/.", "absolute//"):
        os.close(vmm.open_private(Path(f"{outside}/{way}/cache/file")))
    (outside / "loop").symlink_to("loop")
    with pytest.raises(udfvm.ImageError, match="symbolic link"):
        vmm.open_private(outside / "loop" / "file")
    (outside / "real").chmod(0o777)
    for way in ("relative", "absolute"):
        with pytest.raises(udfvm.ImageError, match="can be written"):
            vmm.open_private(outside / way / "cache" / "file")


@needs_root
def test_links_of_others_on_the_way_are_not(outside: Path) -> None:
    (outside / "real").mkdir()
    outside.chmod(0o1777)
    (outside / "link").symlink_to("real")
    os.close(vmm.open_private_directory(outside / "link"))
    os.lchown(outside / "link", NOBODY, NOBODY)
    with pytest.raises(udfvm.ImageError, match="link of another user"):
        vmm.open_private_directory(outside / "link")


def test_relative_and_long_paths(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outside)
    (outside / "cache").mkdir()
    os.close(vmm.open_private_directory(Path("cache")))
    os.close(vmm.open_private_directory(Path()))
    with pytest.raises(FileNotFoundError):
        vmm.open_private(Path("cache/nothing"))
    for path in (Path("x" * 300, "y"), Path("cache", "x" * 300), Path(*["deep"] * 3000)):
        with pytest.raises((udfvm.ImageError, FileNotFoundError)):
            vmm.open_private(path)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_link_to_nowhere_is_no_cache(
    outside: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    link = outside / "link"
    link.symlink_to(outside / "nowhere")
    monkeypatch.setenv("UDFVM_CACHE", str(link / below))
    with pytest.raises(
        udfvm.CacheError, match="link is a symbolic link to a file that does not exist: remove it"
    ):
        call()
    assert link.is_symlink()
    assert not (outside / "nowhere").exists()


def test_new_directories_are_the_users_alone(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDFVM_CACHE", str(outside / "a" / "b"))
    before = os.umask(0)
    try:
        cache.keep_bytes(outside / "a" / "b" / "c.description", b"")
    finally:
        os.umask(before)
    modes = [
        path.stat().st_mode & 0o777
        for path in (outside / "a", outside / "a" / "b", outside / "a" / "b" / "c.description")
    ]
    assert modes == [0o700, 0o700, 0o600]
