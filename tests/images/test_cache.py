"""The image cache: what is in the place of its files, who owns them, what killed builds leave, its
size.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_files import ALL_KINDS, NOBODY, needs_root, put, remove

import udfvm
from udfvm import errors, vmm
from udfvm.cli import commands
from udfvm.images import base, cache, cache_files
from udfvm.images.spec import BaseSpec

PROGRAM = """
    import udfvm

    @udfvm.udf(packages=[])
    def double(x: int) -> int:
        return 2 * x

    print(double(21))
"""


def double(x: int) -> int:
    return 2 * x


def call() -> int:
    return int(udfvm.udf(packages=[])(double)(21))


@pytest.fixture(scope="module")
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
    """A copy of it, which is the cache."""
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


def run(
    program: str, directory: Path, *before: str, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "UDFVM_CACHE": str(directory), **more}
    command = [*before, sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def the(directory: Path, suffix: str) -> Path:
    (path,) = directory.glob(f"*{suffix}")
    return path


# ---- What is in the place of a file ----


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


# ---- Whose directory it is ----


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
        udfvm.CacheError, match="link is a symbolic link to what is not there: remove it"
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


# ---- What cannot be written ----


@needs_root
def test_a_cache_that_is_read_only_serves_what_it_has(here: Path, tmp_path: Path) -> None:
    mount = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind {here} {here} && mount -o remount,ro,bind {here} && exec "$0" "$@"',
    )
    assert run(PROGRAM, here).stdout == "42\n"
    assert run(PROGRAM, here, *mount).stdout == "42\n"
    for path in here.glob("*.layer"):
        path.unlink()
    done = run(PROGRAM, here, *mount)
    assert (
        done.returncode == 1
        and "CacheError" in done.stderr
        and str(here) in done.stderr
        and "UDFVM_CACHE" in done.stderr
    )


@needs_root
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=4m,mode=700 none {small} && exec "$0" "$@"',
    )
    done = run(
        f"""
        import os, udfvm
        {textwrap.indent(textwrap.dedent(PROGRAM), " " * 8).strip().replace("print(double(21))", "")}
        try:
            double(21)
        except udfvm.ImageError as error:
            print(error)
        print(os.listdir({str(small)!r}))
        os.environ["UDFVM_CACHE"] = {str(tmp_path / "large")!r}
        print(double(21))
    """,
        small,
        *mount,
    )
    first, second, third = done.stdout.splitlines()
    assert (
        str(small) in first and os.strerror(errno.ENOSPC) in first and "udfvm cache prune" in first
    )
    assert (second, third) == ("[]", "42")


@pytest.mark.skipif(
    os.geteuid() == 0 and not hasattr(os, "setresuid"), reason="another user is needed"
)
@needs_root
def test_what_this_user_may_not_read_or_write(outside: Path) -> None:
    (outside / "secret.base").touch(mode=0o600)
    program = f"""
        import os
        import tempfile                          # while this user may still read the library
        from pathlib import Path
        from udfvm import vmm, ImageError
        from udfvm.images import cache
        os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
        for attempt in (lambda: vmm.open_private(Path({str(outside / "secret.base")!r})),
                        lambda: cache.keep_bytes(Path({str(outside / "new.description")!r}), b"x"),
                        lambda: cache.keep_bytes(Path({str(outside / "a" / "new.description")!r}), b"x")):
            try:
                attempt()
            except ImageError as error:
                print(error)
    """
    lines = run(program, outside).stdout.splitlines()
    assert len(lines) == 3
    assert all(
        str(outside) in line and os.strerror(errno.EACCES) in line and "UDFVM_CACHE" in line
        for line in lines
    )


# ---- What killed builds leave ----


def leftovers(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.suffix in (".tmp", ".lock")}


def test_what_killed_builds_leave_is_swept_by_the_next(here: Path) -> None:
    for suffix in (".base", ".layer"):
        the(here, suffix).unlink()
    for wanted in ("*.tmp", "*.lock"):
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
        with subprocess.Popen(
            command, env={**os.environ, "UDFVM_CACHE": str(here)}, stdout=subprocess.DEVNULL
        ) as process:
            while not list(here.glob(wanted)):
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
    assert leftovers(here)
    assert call() == 42
    assert leftovers(here) == set()
    assert {path.suffix for path in here.iterdir()} == {".base", ".layer", ".verified"}


@pytest.mark.parametrize("name", ["x.tmp", "x.lock"])
def test_what_is_in_use_is_not_swept_however_old(here: Path, name: str) -> None:
    path = here / name
    with path.open("w") as file:
        path.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(path, (0, 0))
        cache.prune()
        assert path.exists()
    cache.prune()
    assert not path.exists()


def test_notes_of_images_that_are_gone_are_swept(here: Path) -> None:
    the(here, ".layer").unlink()
    cache.prune()
    assert {path.suffix for path in here.iterdir()} == {".base", ".verified"}
    assert the(here, ".verified").name.endswith(".base.verified")


# ---- Its size ----


def used_at(path: Path, when: float) -> None:
    """Makes it an image that was checked, and used last then."""
    note = path.with_name(f"{path.name}.verified")
    for file in (path, note):
        if file.exists():
            os.utime(file, (when, when))


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
        "vm = double.pool.core(double.image.base).take(double.image); print(1, flush=True); input()",
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
    most = cache.stored_bytes() + 5 * size // 2
    monkeypatch.setenv("UDFVM_CACHE_SIZE", str(most))
    for number in range(6):
        made = function(number)
        assert made(1) == number + 1
        made.pool.close()  # nobody uses it any more
        made.image.close()
        assert cache.stored_bytes() <= most
        assert made.image.path is not None and made.image.path.exists()
    assert len(list(here.glob("*.layer"))) < 6


def test_the_size_is_a_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UDFVM_CACHE_SIZE", raising=False)
    assert cache_files.cache_size() == 8 << 30
    monkeypatch.setenv("UDFVM_CACHE_SIZE", "1.5GiB")
    assert cache_files.cache_size() == 3 << 29
    monkeypatch.setenv("UDFVM_CACHE_SIZE", "much")
    the(here, ".layer").unlink()
    with pytest.raises(udfvm.ImageError, match="UDFVM_CACHE_SIZE"):
        call()


def test_processes_that_build_with_no_room_at_all(tmp_path: Path) -> None:
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
        and done.output.startswith("1 files removed, ")
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
