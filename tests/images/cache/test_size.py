"""The cache keeps its size: what was used least recently goes first, what is in use stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from cached_images import PROGRAM, call, the, used_at
from click.testing import CliRunner
from hostile_files import put

import udfvm
from udfvm import vmm
from udfvm.cli import commands
from udfvm.images import cache, cache_files, cache_listing


def test_the_least_recently_used_go_first(here: Path, layers: list[Path]) -> None:
    size = layers[0].stat().st_blocks * 512
    total = cache.stored_bytes()
    # Two of them must go: the first, of the fixture, and copy0.
    done = cache.prune(total - size - 1)
    assert done.files == 2 and done.left_bytes == cache.stored_bytes() < total - size
    assert [path.exists() for path in layers] == [False, True, True, True, True]
    names = {path.name for path in here.iterdir()}
    assert {name.removesuffix(".verified") for name in names} <= names
    base = vmm.Image.open(the(here, ".base"))
    vmm.Image.open(layers[1], base)  # a use
    cache.prune(cache.stored_bytes() - 2 * size)
    assert [path.exists() for path in layers[1:3]] == [True, False]


def test_a_base_goes_after_its_layers(here: Path, layers: list[Path]) -> None:
    size = layers[0].stat().st_blocks * 512
    cache.prune(cache.stored_bytes() - 5 * size)
    assert the(here, ".base").exists()
    for suffix in cache_listing.REPLIES:
        cache.keep_bytes(here / f"reply{suffix}", b"x")
    assert cache.prune(0).left_bytes == 0
    assert list(here.iterdir()) == []


def test_reading_a_reply_is_a_use(here: Path, layers: list[Path]) -> None:
    first, second = here / "first.description", here / "second.compiled"
    for path in (first, second):
        cache.keep_bytes(path, b"x" * 10_000)
        used_at(path, 100)
    assert cache.cached_bytes(first) == b"x" * 10_000
    cache.prune(cache.stored_bytes() - 1)
    assert first.exists() and not second.exists()


def test_layers_whose_base_is_gone_go_first(here: Path, layers: list[Path]) -> None:
    base = the(here, ".base")
    other = here / "other.description"
    cache.keep_bytes(other, b"x" * 10_000)
    used_at(other, 500)  # before all layers
    base.unlink()
    cache.prune()
    cache.prune(cache.stored_bytes() - 1)
    assert other.exists() and sum(path.exists() for path in here.glob("*.layer")) == 5


def test_what_is_in_use_here_stays(here: Path, layers: list[Path]) -> None:
    base = vmm.Image.open(the(here, ".base"))
    used = vmm.Image.open(layers[0], base)
    base.close()
    for path in (the(here, ".base"), *layers):
        used_at(path, 1)
    cache.prune(0)
    assert {path.name for path in here.iterdir() if path.suffix in (".base", ".layer")} == {
        the(here, ".base").name,
        layers[0].name,
    }
    used.close()
    cache.prune(0)
    assert list(here.iterdir()) == []


def test_what_another_process_uses_stays(here: Path, layers: list[Path]) -> None:
    program = PROGRAM.replace(
        "print(double(21))",
        "vm = double.pool._for_base(double.image.base).take(double.image)\n"
        "    print(1, flush=True)\n    input()",
    )
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(
        command,
        env={**os.environ, "UDFVM_CACHE": str(here)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "1\n"
        cache.prune(0)
        assert sorted(path.suffix for path in here.iterdir()) == [
            ".base",
            ".layer",
            ".verified",
            ".verified",
        ]
        process.communicate("\n")
    cache.prune(0)
    assert list(here.iterdir()) == []


def test_an_image_that_is_being_built_stays(here: Path, layers: list[Path]) -> None:
    lock = layers[0].with_suffix(".lock")
    with lock.open("w") as file:
        lock.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        cache.prune(0)
        assert layers[0].exists() and not layers[1].exists()


def test_what_sealed_functions_and_runtimes_name_stays(here: Path, layers: list[Path]) -> None:
    base = the(here, ".base")
    cache_files.write_text(
        here / "functions" / "f.udf",
        f"udfvm-function 2\nbase {base.name}\nlayer {layers[0].name}\n",
    )
    cache.prune(0)
    assert base.exists() and layers[0].exists() and not layers[1].exists()
    (here / "functions" / "f.udf").unlink()
    cache_files.write_text(
        here / "runtimes" / "python.runtime", f"udfvm-runtime 2\nbase {base.name}\n"
    )
    cache.prune(0)
    assert base.exists() and not layers[0].exists()


def test_holes_do_not_count(here: Path) -> None:
    base = the(here, ".base")
    before = cache.stored_bytes()
    assert before < base.stat().st_size / 4
    assert cache.prune(before).files == 0


def test_builds_keep_the_cache_at_its_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def function(number: int) -> udfvm.ScalarFunction:
        space: dict[str, object] = {}
        exec(f"def f(x: int) -> int:\n    return x + {number}\n", space)
        return udfvm.udf(packages=[], pool=udfvm.Pool())(space["f"])  # type: ignore[call-overload,no-any-return]

    assert call() == 42
    size = the(here, ".layer").stat().st_blocks * 512
    limit = cache.stored_bytes() + 5 * size // 2
    monkeypatch.setenv("UDFVM_CACHE_SIZE", str(limit))
    for number in range(6):
        made = function(number)
        assert made(1) == number + 1
        made.pool.close()  # nobody uses it any more
        made.image.close()
        assert cache.stored_bytes() <= limit
        assert made.image.path is not None and made.image.path.exists()
    assert len(list(here.glob("*.layer"))) < 6


def test_a_full_cache_is_not_pruned_at_each_build(
    here: Path, layers: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loses an eighth at once: some builds then find room."""
    size = layers[0].stat().st_blocks * 512
    assert 8 * size < cache.stored_bytes()
    limit = cache.stored_bytes() + size // 2
    monkeypatch.setenv("UDFVM_CACHE_SIZE", str(limit))
    pruned: list[int] = []
    prune = cache.prune

    def counted(max_size: int) -> cache.Pruned:
        done = prune(max_size)
        pruned.append(done.files)
        return done

    monkeypatch.setattr(cache, "prune", counted)
    for number in range(3):
        cache.keep_bytes(here / f"{number}.description", b"x" * size)
        assert cache.stored_bytes() <= limit
    assert len(pruned) == 1 and pruned[0] > 1


def test_the_size_is_a_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UDFVM_CACHE_SIZE", raising=False)
    assert cache_files.cache_size() == 8 << 30
    monkeypatch.setenv("UDFVM_CACHE_SIZE", "1.5GiB")
    assert cache_files.cache_size() == 3 << 29
    monkeypatch.setenv("UDFVM_CACHE_SIZE", "much")
    the(here, ".layer").unlink()
    with pytest.raises(udfvm.ImageError, match="UDFVM_CACHE_SIZE"):
        call()


def test_processes_that_build_in_a_cache_of_no_size(tmp_path: Path) -> None:
    """Each image is removed as soon as nobody uses it."""
    environment = {**os.environ, "UDFVM_CACHE": str(tmp_path / "cache"), "UDFVM_CACHE_SIZE": "0"}
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=300)[0] for process in processes] == ["42\n"] * 3


def test_the_commands(here: Path, layers: list[Path]) -> None:
    listed = CliRunner(env={"COLUMNS": "200"}).invoke(commands, ["cache", "list"]).output
    assert (
        "last used" in listed
        and time.strftime("%Y-%m-%d %H:%M", time.localtime(1003)) in listed
        and "of at most 8 GiB" in listed
    )
    done = CliRunner().invoke(commands, ["cache", "prune", "--size", str(cache.stored_bytes() - 1)])
    assert (
        done.exit_code == 0
        and done.output.startswith("1 file removed, ")
        and str(here) in done.output
    )
    assert "0 files removed" in CliRunner().invoke(commands, ["cache", "prune"]).output
    assert "not a size" in str(
        CliRunner().invoke(commands, ["cache", "prune", "--size", "much"]).output
    )
    assert "6 images removed" in CliRunner().invoke(commands, ["cache", "clear"]).output
    assert list(here.iterdir()) == []


def test_clearing_takes_what_it_can(here: Path) -> None:
    outside = here.parent / "outside"
    outside.write_text("kept")
    for kind, name in (("FIFO", "a.base"), ("directory", "b.base"), ("dangling link", "c.layer")):
        put(kind, here / name)
    (here / "d.layer").symlink_to(outside)
    cache.clear_cache()
    assert [path.name for path in here.iterdir()] == ["b.base"] and outside.read_text() == "kept"


def test_clearing_keeps_what_sealed_functions_and_runtimes_name(
    here: Path, layers: list[Path]
) -> None:
    base, sealed = the(here, ".base"), here / "functions" / "f.udf"
    cache_files.write_text(sealed, f"udfvm-function 2\nbase {base.name}\nlayer {layers[0].name}\n")
    output = CliRunner().invoke(commands, ["cache", "clear"]).output
    assert "5 images removed" in output and "2 of sealed functions" in output
    assert base.exists() and layers[0].exists() and sealed.exists() and not layers[1].exists()
    vmm.Image.open(layers[0], vmm.Image.open(base))
    output = CliRunner().invoke(commands, ["cache", "clear", "--all"]).output
    assert "2 images removed" in output and "kept" not in output
    assert [path.name for path in here.rglob("*") if path.is_file()] == []
