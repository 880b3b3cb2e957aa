"""``udfvm seal``: whose function a name is, and functions that are files of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import apsw
import pytest
from busy_processes import handling_when_busy
from click.testing import CliRunner, Result
from hostile_files import ALL_KINDS, needs_root, put, remove
from preloaded import SANITIZERS

import udfvm.sqlite
from udfvm.cli import commands
from udfvm.images.cache_files import cache_directory
from udfvm.sqlite.sealed_file import HEAD

SOURCE = """
import udfvm

@udfvm.udf
def ours(value: int) -> int:
    return value + {0}

@udfvm.udf
def greeting(name: str, word: str = "Hello", times: int = 2, mark: str | None = None) -> str:
    return " ".join([word] * times + [name]) + (mark or ".")

@udfvm.udf(timeout=1000)
def endless(value: int) -> int:
    while True:
        pass
"""


def seal(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["seal", *map(str, arguments)])


def shell(*lines: str, cache: Path | str = "/nowhere", fails: bool = False) -> str:
    program = shutil.which("sqlite3")
    assert program is not None, "the sqlite3 shell is needed: apt-get install sqlite3"
    done = subprocess.run(
        [program, "-bail", ":memory:"],
        input="\n".join((f".load {udfvm.sqlite.EXTENSION}", *lines)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**SANITIZERS, "PATH": "/nowhere", "UDFVM_CACHE": str(cache)},
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr.strip() if fails else done.stdout.strip()


@pytest.fixture
def projects(tmp_path: Path) -> tuple[Path, Path]:
    """Two files with a function of one name."""
    made = []
    for number in (1, 2):
        file = tmp_path / f"project{number}.py"
        file.write_text(SOURCE.format(number))
        made.append(file)
    return made[0], made[1]


@pytest.fixture
def forgotten() -> None:
    for name in ("ours", "second_ours"):
        (cache_directory() / "functions" / f"{name}.udf").unlink(missing_ok=True)


@pytest.mark.usefixtures("forgotten")
def test_a_name_of_another_file_is_replaced_by_request_only(projects: tuple[Path, Path]) -> None:
    one, two = projects
    cache = cache_directory()
    assert seal(one, "ours").output.strip() == "ours(value int) -> int"
    assert seal(one, "ours").output.strip() == "ours(value int) -> int (replaced)"
    refused = seal(two, "ours")
    assert refused.exit_code != 0
    assert f"'ours' was sealed from {one} before: pass --replace" in str(
        refused.exception or refused.output
    )
    assert shell("SELECT vm_udf('ours', 1);", cache=cache) == "2"
    assert seal(two, "ours", "--replace").exit_code == 0
    assert shell("SELECT vm_udf('ours', 1);", cache=cache) == "3"


@pytest.mark.usefixtures("forgotten")
def test_a_namespace_makes_names_of_its_own(projects: tuple[Path, Path]) -> None:
    one, two = projects
    assert seal(one, "ours").exit_code == 0
    assert (
        seal(two, "ours", "--namespace", "second").output.strip() == "second_ours(value int) -> int"
    )
    both = "SELECT vm_attach('second_ours');", "SELECT vm_udf('ours', 1), second_ours(1);"
    assert shell(*both, cache=cache_directory()) == "second_ours\n2|3"
    assert "names of sealed functions" in str(seal(one, "ours", "--namespace", "no-name").exception)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function in a file."""
    folder = tmp_path_factory.mktemp("file")
    (folder / "functions.py").write_text(SOURCE.format(40))
    done = seal(
        folder / "functions.py", "ours", "--output", folder / "ours.udfvm", "--namespace", "shop"
    )
    assert done.exit_code == 0, done.output
    assert f"shop_ours(value int) -> int in {folder}/ours.udfvm" in done.output
    return folder / "ours.udfvm"


def test_a_file_is_all_that_a_program_needs(file: Path) -> None:
    assert (
        shell(f"SELECT vm_attach('{file}');", "SELECT shop_ours(2), vm_udf('shop_ours', 3);")
        == "shop_ours\n42|43"
    )
    status = file.stat()
    assert status.st_blocks * 512 < status.st_size  # holes stay holes


def test_it_may_lie_where_others_could_write(file: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared.udfvm"
    copy_with_holes(file, shared)
    shared.chmod(0o666)
    empties = f".shell /bin/sh -c ': > {shared}'"
    done = shell(
        f"SELECT vm_attach('{shared}');", "SELECT shop_ours(1);", empties, "SELECT shop_ours(2);"
    )
    assert done == "shop_ours\n41\n42"
    assert shared.stat().st_size == 0


def test_an_output_is_replaced_by_request_only(file: Path, tmp_path: Path) -> None:
    source = file.parent / "functions.py"
    target = tmp_path / "there.udfvm"
    target.write_text("mine")
    refused = seal(source, "ours", "--output", target)
    assert refused.exit_code != 0
    assert target.read_text() == "mine"
    assert "exists already: pass --replace" in str(refused.exception)
    assert seal(source, "ours", "--output", target, "--replace").exit_code == 0
    assert shell(f"SELECT vm_attach('{target}');", "SELECT ours(2);") == "ours\n42"
    assert "takes one function" in str(seal(source, "--output", target, "--replace").exception)
    assert "cannot be written" in str(
        seal(source, "ours", "--output", tmp_path / "none" / "f").exception
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.udfvm"]


NO_FILES = [
    "FIFO",
    "directory",
    "socket",
    "dangling link",
    "link to a device",
    "link to a good file",
    pytest.param("device", marks=needs_root),
]


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("replace", [(), ("--replace",)])
def test_what_is_no_file_is_never_replaced(
    file: Path, tmp_path: Path, kind: str, replace: tuple[str, ...]
) -> None:
    """All of it made for the test: a device of the machine would not come back."""
    target = tmp_path / "x.udfvm"
    put(kind, target)
    try:
        before, names = target.lstat(), sorted(os.listdir(tmp_path))
        refused = seal(file.parent / "functions.py", "ours", "--output", target, *replace)
        assert refused.exit_code != 0
        assert (
            kind == "directory"
            or "which is never replaced: pass the name of another file" in str(refused.exception)
        )
        assert os.path.samestat(before, target.lstat())
        assert sorted(os.listdir(tmp_path)) == names
    finally:
        remove(target)


def test_a_name_that_is_too_long(file: Path, tmp_path: Path) -> None:
    refused = seal(file.parent / "functions.py", "ours", "--output", tmp_path / ("x" * 300))
    assert "cannot be written: File name too long" in str(refused.exception)


def test_the_policy_bounds_what_a_file_asks_for(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "endless.udfvm"
    assert seal(file.parent / "functions.py", "endless", "--output", target).exit_code == 0
    told = shell(
        "SELECT vm_policy('row_timeout', 0.2);",
        f"SELECT vm_attach('{target}');",
        "SELECT endless(1);",
        fails=True,
    )
    assert "did not end within 0.2 s" in told


def attach_fails(path: Path) -> str:
    return shell(f"SELECT vm_attach('{path}');", fails=True)


def test_it_may_be_attached_again(file: Path, tmp_path: Path) -> None:
    again = (f"SELECT vm_attach('{file}');", "SELECT shop_ours(2);") * 2
    assert shell(*again, "SELECT vm_udf('shop_ours', 3);") == "shop_ours\n42\nshop_ours\n42\n43"
    other = tmp_path / "other.udfvm"
    (tmp_path / "functions.py").write_text(SOURCE.format(1000))
    assert (
        seal(tmp_path / "functions.py", "ours", "--output", other, "--namespace", "shop").exit_code
        == 0
    )
    for second in (f"'{other}'", f"'{file}', 'in_schema'"):
        told = shell(f"SELECT vm_attach('{file}');", f"SELECT vm_attach({second});", fails=True)
        assert "the connection has another function 'shop_ours'" in told
    attempts = (
        f"SELECT vm_attach('{file}');\nSELECT vm_attach('{other}');\nSELECT shop_ours(2),"
        " vm_udf('shop_ours', 2);"
    )
    lines = f".load {udfvm.sqlite.EXTENSION}\n.bail off\n{attempts}"
    done = subprocess.run(
        ["sqlite3", ":memory:"],
        input=lines,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "shop_ours\n42|42\n"  # what was attached stays what it was, by both names


@pytest.mark.parametrize(
    "name", ["abs", "ABS", "coalesce", "max", "printf", "json_each", "vm_map", "upper"]
)
def test_a_file_changes_the_meaning_of_no_name(file: Path, tmp_path: Path, name: str) -> None:
    """A stranger's file says what its function is called."""
    forged = edited(file, tmp_path / "forged.udfvm", b"name shop_ours", f"name {name}".encode())
    assert ("has a function" if name != "vm_map" else "of this version") in attach_fails(forged)
    table = edited(file, tmp_path / "table.udfvm", b"name shop_ours", b"name json_tree\nsource x")
    assert "SQL has a function 'json_tree' already" in attach_fails(table)


@pytest.mark.usefixtures("forgotten")
def test_a_file_does_not_take_the_place_of_a_sealed_function(
    projects: tuple[Path, Path], tmp_path: Path
) -> None:
    one, two = projects
    assert seal(one, "ours").exit_code == 0
    assert seal(two, "ours", "--output", tmp_path / "ours.udfvm").exit_code == 0
    told = shell(
        "SELECT vm_udf('ours', 1);",
        f"SELECT vm_attach('{tmp_path}/ours.udfvm');",
        cache=cache_directory(),
        fails=True,
    )
    assert "the connection has another function 'ours'" in told


@pytest.mark.usefixtures("forgotten")
def test_a_name_may_be_attached_again(projects: tuple[Path, Path]) -> None:
    assert seal(projects[0], "ours").exit_code == 0
    again = "SELECT vm_attach('ours');", "SELECT ours(1), vm_udf('ours', 1);"
    assert (
        shell("SELECT vm_udf('ours', 1);", *again, *again, cache=cache_directory())
        == "2\nours\n2|2\nours\n2|2"
    )
    assert "takes the name or file" in shell(
        "SELECT vm_attach('ours' || char(0));", cache=cache_directory(), fails=True
    )


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.udfvm"
    put(kind, path)
    try:
        assert "vm_attach" in attach_fails(path)
    finally:
        remove(path)


def copy_with_holes(file: Path, target: Path) -> None:
    """Most of a sealed file is holes."""
    subprocess.run(["cp", file, target], check=True)


def edited(file: Path, target: Path, old: bytes, new: bytes) -> Path:
    copy_with_holes(file, target)
    with target.open("r+b") as opened:
        head = opened.read(HEAD)
        assert old in head
        opened.seek(0)
        opened.write(head.replace(old, new)[:HEAD].ljust(HEAD, b"\0"))
    return target


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"udfvm-function ", b"udfvm-function 9", "of this version"),
        (b"name shop_ours", b"name vm_udf", "of this version"),
        (b"name shop_ours", b"name a b;c", "of this version"),
        (b"signature (", b"signature ((", "of this version"),
        (b"processor ", b"processor 0", "another processor"),
        (b"\nbase ", b"\nbase 7", "its base"),
        (b"\nbase ", b"\nbase -", "its base"),
        (b"\nbase ", b"\nbase 99999999999999", "its base"),
        (b"\nbase ", b"\nbass ", "does not give the offset and length of its base"),
        (b"\nlayer ", b"\nlayer 18446744073709547520", "its layer"),
        (b"\nlayer ", b"\nlayer x", "does not give the offset and length of its layer"),
    ],
)
def test_forged_notes(file: Path, tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    assert message in attach_fails(edited(file, tmp_path / "forged.udfvm", old, new))


def test_damage_anywhere_is_told(file: Path, tmp_path: Path) -> None:
    size = file.stat().st_size
    with open(file, "rb") as opened:
        base = int(
            next(
                line for line in opened.read(HEAD).split(b"\n") if line.startswith(b"base ")
            ).split()[1]
        )
    damaged = tmp_path / "damaged.udfvm"
    for at in (base, base + 100, _data_from(file, base + (1 << 20)), size - 4096):
        copy_with_holes(file, damaged)
        with damaged.open("r+b") as opened:
            opened.seek(at)
            byte = opened.read(1)
            opened.seek(at)
            opened.write(bytes([byte[0] ^ 0xFF]))
        assert "vm_attach" in attach_fails(damaged)
    for length in (0, 10, HEAD - 1, HEAD, HEAD + 10, base + 5000, size - 4096):
        copy_with_holes(file, damaged)
        os.truncate(damaged, length)
        assert "vm_attach" in attach_fails(damaged)


def _data_from(file: Path, at: int) -> int:
    with open(file, "rb") as opened:
        return os.lseek(opened.fileno(), at, os.SEEK_DATA)


def test_defaults_are_sealed(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "greeting.udfvm"
    assert seal(file.parent / "functions.py", "greeting", "--output", target).exit_code == 0
    query = (
        "SELECT greeting('Ada'), greeting('Ada', 'Bye', 1), vm_udf('greeting', 'Ada', 'Oh', 3,"
        " '!');"
    )
    assert (
        shell(f"SELECT vm_attach('{target}');", query)
        == "greeting\nHello Hello Ada.|Bye Ada.|Oh Oh Oh Ada!"
    )
    for old, new in (
        (b"defaults - ", b"defaults z "),
        (b"defaults - ", b"defaults - 0"),
        (b"defaults - ", b"defaults "),
    ):
        assert "vm_attach" in attach_fails(edited(target, tmp_path / "forged.udfvm", old, new))


LASTS = """
import time
import udfvm

@udfvm.udf(timeout=1000)
def lasts(seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return seconds
"""


def raise_alarm() -> None:
    raise TimeoutError


def test_an_interrupt_ends_one_statement_where_python_registered_nothing(tmp_path: Path) -> None:
    source, sealed = tmp_path / "lasts.py", tmp_path / "lasts.udfvm"
    source.write_text(LASTS)
    assert seal(source, "lasts", "--output", sealed).exit_code == 0
    connection = apsw.Connection(":memory:")
    connection.enable_load_extension(True)
    connection.load_extension(str(udfvm.sqlite.EXTENSION))
    connection.execute("SELECT vm_attach(?)", (str(sealed),)).fetchall()
    with handling_when_busy(raise_alarm), pytest.raises(apsw.InterruptError):
        connection.execute("SELECT lasts(1000)").fetchall()
    assert connection.execute("SELECT lasts(0.3)").fetchall() == [(0.3,)]
    connection.close()
