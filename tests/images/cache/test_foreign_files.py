"""A file of the cache that another may have put there is not used."""

from __future__ import annotations

from pathlib import Path

import pytest
from cached_images import call, the
from hostile_files import ALL_KINDS, put, remove

import udfvm
from udfvm import errors, vmm
from udfvm.images import base, cache
from udfvm.images.spec import BaseSpec


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("suffix", [".base", ".layer"])
def test_what_is_no_file_of_ours_is_no_image(here: Path, suffix: str, kind: str) -> None:
    path = the(here, suffix)
    put(kind, path)
    with pytest.raises(udfvm.ImageError, match=path.name) as caught:
        call()
    assert isinstance(caught.value, udfvm.CacheError)
    assert "remove it" in str(caught.value) or "UDFVM_CACHE" in str(caught.value)
    assert [entry for entry in cache.cache_entries() if entry.path == path and entry.report] == []
    cache.prune(0)
    remove(path)
    assert call() == 42


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("suffix", [".base", ".layer"])
def test_what_is_no_file_of_ours_is_no_lock(here: Path, suffix: str, kind: str) -> None:
    path = the(here, suffix)
    path.unlink()
    put(kind, path.with_suffix(".lock"))
    with pytest.raises(udfvm.ImageError, match=path.with_suffix(".lock").name):
        call()
    assert not (here / "nowhere").exists()
    remove(path.with_suffix(".lock"))
    assert call() == 42


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_no_file_of_ours_is_no_note(here: Path, kind: str) -> None:
    for note in here.glob("*.verified"):
        put(kind, note)
    others = {path: path.read_bytes() for path in here.glob("kept *")}
    assert call() == 42
    assert {path: path.read_bytes() for path in here.glob("kept *")} == others
    assert not (here / "nowhere").exists()


def test_a_note_is_not_written_through_a_link(here: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    note = the(here, ".base.verified")
    note.unlink()
    note.symlink_to(victim)
    assert call() == 42
    assert victim.read_text() == "precious"
    assert not note.is_symlink() and note.is_file()


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_no_file_of_ours_is_no_reply(here: Path, kind: str) -> None:
    path = here / "reply.description"
    cache.keep_bytes(path, b"kept")
    assert cache.cached_bytes(path) == b"kept"
    put(kind, path)
    with pytest.raises(udfvm.ImageError, match=path.name):
        cache.cached_bytes(path)
    remove(path)
    assert cache.cached_bytes(path) is None


def test_damaged_notes_are_no_notes(here: Path) -> None:
    for text in (b"", b"1 2 3 4 5", b"x" * 4096):
        layer = the(here, ".layer")
        the(here, ".layer.verified").write_bytes(text)
        with layer.open("r+b") as file:
            file.seek(layer.stat().st_size - 1)
            file.write(b"\x5a")
        with pytest.raises(errors.ImageError, match="damaged"):
            vmm.Image.open(layer, base.base_image(BaseSpec()))
        assert call() == 42
