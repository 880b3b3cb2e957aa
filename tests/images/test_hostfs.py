"""The file server, and attacks on its confinement."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import udfvm
from udfvm.images.hostfs import HostFS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("root", "other", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "root" / "sub").mkdir()
    (tmp_path / "root" / "sub" / "deep").write_text("deep")
    return tmp_path


@pytest.fixture
def files(tree: Path) -> Iterator[HostFS]:
    with HostFS(
        [tree / "root", tree / "other"], [tree / "outside" / "single", "/dev/null"]
    ) as served:
        yield served


def content(files: HostFS, path: Path | str) -> str:
    handle, status = files.open(os.fsencode(path))
    try:
        buffer = bytearray(status.st_size)
        assert files.read_into(handle, 0, memoryview(buffer)) == len(buffer)
        return buffer.decode()
    finally:
        files.close(handle)


def refused(files: HostFS, path: Path | str | bytes) -> int:
    with pytest.raises(OSError) as caught:
        files.open(os.fsencode(path))
    with pytest.raises(OSError):
        files.stat(os.fsencode(path), True)
    with pytest.raises(OSError):
        files.list(os.fsencode(path))
    return caught.value.errno or 0


def test_files_below_the_roots_are_served(files: HostFS, tree: Path) -> None:
    assert content(files, tree / "root" / "file") == "root"
    assert content(files, f"{tree}/root//sub/./deep") == "deep"
    assert content(files, f"{tree}/root/sub/../file") == "root"
    assert [name for name, _, _ in files.list(os.fsencode(tree / "root"))] == [b"file", b"sub"]
    assert stat.S_ISDIR(files.stat(os.fsencode(tree), True).st_mode)
    (tree / "outside" / "single").write_text("single")
    assert content(files, tree / "outside" / "single") == "single"


def test_nothing_else_is(files: HostFS, tree: Path) -> None:
    for path in (
        tree / "outside" / "file",
        "/etc/passwd",
        "/proc/self/mem",
        "/proc/self/root/etc/passwd",
        "/dev/mem",
    ):
        assert refused(files, path) == errno.ENOENT
    with pytest.raises(OSError):
        files.list(os.fsencode(tree))


@pytest.mark.parametrize(
    "climb",
    [
        "root/../outside/file",
        "root/sub/../../outside/file",
        "root/../../../../../../etc/passwd",
        "root/sub/../../../etc/passwd",
    ],
)
def test_dots_do_not_climb_out(files: HostFS, tree: Path, climb: str) -> None:
    assert refused(files, f"{tree}/{climb}") == errno.ENOENT


def test_links_do_not_lead_out(files: HostFS, tree: Path) -> None:
    root = tree / "root"
    (root / "absolute").symlink_to(tree / "outside" / "file")
    (root / "relative").symlink_to("../outside/file")
    (root / "chain1").symlink_to("chain2")
    (root / "chain2").symlink_to("sub/../../outside")
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "proc").symlink_to("/proc/self/root")
    (root / "loop").symlink_to("loop")
    for name in (
        "absolute",
        "relative",
        "chain1/file",
        "chain2",
        "passwd",
        "proc/etc/passwd",
        "proc",
    ):
        assert refused(files, root / name) == errno.ENOENT
    assert refused(files, root / "loop") == errno.ELOOP
    assert files.readlink(os.fsencode(root / "passwd")) == b"/etc/passwd"
    assert stat.S_ISLNK(files.stat(os.fsencode(root / "passwd"), False).st_mode)


def test_links_between_roots_work(files: HostFS, tree: Path) -> None:
    (tree / "root" / "over").symlink_to(tree / "other" / "file")
    (tree / "root" / "there").symlink_to("../other")
    assert content(files, tree / "root" / "over") == "other"
    assert content(files, tree / "root" / "there" / "file") == "other"


def test_a_link_swapped_meanwhile_never_leads_out(files: HostFS, tree: Path) -> None:
    link, spare = tree / "root" / "swapped", tree / "root" / "spare"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in ("sub", "../outside"):
                spare.symlink_to(target)
                spare.rename(link)

    (tree / "outside" / "deep").write_text("outside")
    link.symlink_to("sub")
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = set()
        for _ in range(3000):
            try:
                seen.add(content(files, link / "deep"))
            except OSError as error:
                seen.add(str(error.errno))
    finally:
        stop.set()
        thread.join()
    assert "outside" not in seen and "deep" in seen


def test_only_regular_files_and_directories_are_opened(files: HostFS, tree: Path) -> None:
    os.mkfifo(tree / "root" / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tree / "root" / "socket"))
    for name in (tree / "root" / "fifo", tree / "root" / "socket", "/dev/null"):
        with pytest.raises(OSError):
            files.open(os.fsencode(name))
    assert {name for name, _, _ in files.list(os.fsencode(tree / "root"))} == {b"file", b"sub"}
    listener.close()


def test_strange_paths(files: HostFS, tree: Path) -> None:
    long = (b"/" + b"x" * 5000, b"/" * 4000, b"/" + b"../" * 1000)
    for path in (b"", b"relative", b"\0", os.fsencode(tree) + b"/root/file\0", b"/..", *long):
        with pytest.raises(OSError):
            files.open(path)


def test_strange_reads(files: HostFS, tree: Path) -> None:
    handle, _ = files.open(os.fsencode(tree / "root" / "file"))
    assert files.read_into(handle, 1 << 40, memoryview(bytearray(10))) == 0
    with pytest.raises(OSError):
        files.read_into(handle, -1, memoryview(bytearray(10)))
    files.close(handle)


def test_closed_roots_serve_nothing(tree: Path) -> None:
    files = HostFS([tree / "root"])
    files.end()
    with pytest.raises(FileNotFoundError):
        files.open(os.fsencode(tree / "root" / "file"))


# ---- From inside a function ----


@udfvm.udf
def reads(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(100)


@udfvm.udf
def lists(path: str) -> str:
    return ",".join(os.listdir(path))


@udfvm.udf
def writes(path: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write("x")
    with open(path, encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize(
    "path",
    ["/etc/fstab", "/etc/shadow", "/proc/1/environ", "/root/.bashrc", "/lib64/../etc/shadow"],
)
def test_a_function_reads_no_file_of_the_host(path: str) -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        reads(path)
    assert caught.value.guest_type in ("FileNotFoundError", "PermissionError")


def test_a_function_reads_its_packages() -> None:
    assert "os" in reads(os.__file__).lower() or reads(os.__file__)
    assert "os.py" in lists(os.path.dirname(os.__file__)).split(",")


def test_a_function_lists_no_directory_of_the_host() -> None:
    for path in ("/root", "/home"):
        with pytest.raises(udfvm.UDFError, match=r"No such file|Permission denied"):
            lists(path)
    # Its own, in memory.
    assert "passwd" in lists("/etc").split(",") and "shadow" not in lists("/etc").split(",")
    assert set(lists("/").split(",")) == {
        "dev",
        "etc",
        "proc",
        "run",
        "sys",
        "tmp",
        "var",
    }


def test_a_function_writes_to_memory_only() -> None:
    target = Path(os.__file__).with_name("udfvm_written.py")
    with pytest.raises(udfvm.UDFError, match="Read-only file system"):
        writes(str(target))
    assert not target.exists()
    assert writes("/tmp/udfvm_written") == "x" and not Path("/tmp/udfvm_written").exists()


def test_files_can_be_turned_off() -> None:
    @udfvm.udf(files=False)
    def late_import() -> str:
        import wave

        return wave.__name__

    @udfvm.udf(files=False)
    def opens(path: str) -> str:
        with open(path) as file:
            return file.read(10)

    assert late_import() == "wave"  # seen in the body, so imported while the image was built
    with pytest.raises(udfvm.UDFError):
        opens(os.__file__)


def test_links_elsewhere_are_passed_through_and_nothing_else_there_is_served(tree: Path) -> None:
    """As Debian has it: a library directory links to /etc/alternatives, and that back to a library
    directory.
    """
    alternatives = tree / "alternatives"
    alternatives.mkdir()
    (alternatives / "secret").write_text("secret")
    (alternatives / "library").symlink_to(tree / "other" / "file")
    (alternatives / "relative").symlink_to("../other/file")
    (alternatives / "out").symlink_to(tree / "outside" / "file")
    (alternatives / "self").symlink_to(alternatives / "self")
    (alternatives / "twice").symlink_to(alternatives / "library")
    (alternatives / "sub").mkdir()
    (alternatives / "sub" / "library").symlink_to(tree / "other" / "file")
    for name in ("library", "relative", "out", "secret", "self", "twice", "absent", "sub/library"):
        (tree / "root" / name.replace("/", "_")).symlink_to(alternatives / name)
    with HostFS([tree / "root", tree / "other"], links=[alternatives]) as files:
        for name in ("library", "relative", "twice"):
            assert content(files, tree / "root" / name) == "other"
        for name in ("out", "absent", "sub_library"):
            assert refused(files, tree / "root" / name) == errno.ENOENT
        assert refused(files, tree / "root" / "secret") == errno.EINVAL
        assert refused(files, tree / "root" / "self") == errno.ELOOP
        for path in (
            alternatives,
            alternatives / "library",
            alternatives / "secret",
            tree / "root" / ".." / "alternatives" / "library",
        ):
            assert refused(files, path) == errno.ENOENT
