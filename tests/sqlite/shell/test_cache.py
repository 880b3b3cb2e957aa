"""The image cache as the sqlite3 shell sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_files import ALL_KINDS, put, remove
from jails import jails, wait_for_its_end
from shell_functions import SOURCE, Shell

import udfvm.sqlite
from udfvm.cli import commands
from udfvm.images.cache import prune
from udfvm.images.cache_files import cache_directory


def test_what_is_gone_from_the_cache_is_an_error_that_says_what_to_do(
    sealed: Path, shell: Shell, tmp_path: Path
) -> None:
    functions = cache_directory() / "functions"
    whole = (functions / "score.udf").read_text()
    damaged = {
        "that of another function: run `udfvm seal` again": whole.replace("layer ", "layer x"),
        "of another version of udfvm": whole.replace("udfvm-function ", "udfvm-function 999"),
        "run `udfvm seal` again": whole.replace("signature (", "signature ["),
    }
    try:
        for index, (expected, text) in enumerate(damaged.items()):
            (functions / f"damaged{index}.udf").write_text(text)
            assert expected in shell(f"SELECT vm_udf('damaged{index}', 1, 2);", fails=True)
    finally:
        for index in range(len(damaged)):
            (functions / f"damaged{index}.udf").unlink(missing_ok=True)
    runtime = cache_directory() / "runtimes" / "python.runtime"
    kept = runtime.read_text()
    runtime.unlink()
    try:
        assert "udfvm prepare" in shell(
            "SELECT vm_create('x', 'python', 'def x(): return 1', '() -> int');", fails=True
        )
    finally:
        runtime.write_text(kept)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_no_file_of_ours_is_refused(
    sealed: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    score = cache_directory() / "functions" / "score.udf"
    names = dict(line.split(maxsplit=1) for line in score.read_text().splitlines())
    cache = tmp_path / "cache"
    for folder in (cache, cache / "functions", cache / "runtimes"):
        folder.mkdir(mode=0o700)
    places = {
        "functions/score.udf": score,
        "runtimes/python.runtime": cache_directory() / "runtimes" / "python.runtime",
    }
    places |= {names[key]: cache_directory() / names[key] for key in ("base", "layer")}
    for place, original in places.items():
        subprocess.run(["cp", "-a", "--sparse=always", original, cache / place], check=True)
    monkeypatch.setenv("UDFVM_CACHE", str(cache))
    call, create = (
        "SELECT vm_udf('score', 12, 300);",
        "SELECT vm_create('x', 'python', 'def x(): return 1', '() -> int');",
    )
    assert shell(call) == "4.0"
    for place, original in places.items():
        put(kind, cache / place)
        text = shell(create if place.startswith("runtimes") else call, fails=True)
        assert str(cache / place) in text and "remove it" in text
        assert not (cache / place).parent.joinpath("nowhere").exists()
        remove(cache / place)
        subprocess.run(["cp", "-a", "--sparse=always", original, cache / place], check=True)
    assert shell(call) == "4.0"


@pytest.mark.parametrize("folder", ["", "functions"])
def test_directories_that_others_can_write_are_refused(
    sealed: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    cache = tmp_path / "cache"
    for path in (cache, cache / "functions"):
        path.mkdir(mode=0o700)
    shutil.copy(cache_directory() / "functions" / "score.udf", cache / "functions")
    directory = cache / folder
    directory.chmod(0o777)
    monkeypatch.setenv("UDFVM_CACHE", str(cache))
    text = shell("SELECT vm_udf('score', 12, 300);", fails=True)
    assert f"{directory} can be written by other users" in text and "chmod go-w" in text


def test_what_the_shell_uses_is_in_use(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("functions", "runtimes", ""):
        (tmp_path / name).mkdir(mode=0o700, exist_ok=True)
    score = (cache_directory() / "functions" / "score.udf").read_text()
    names = dict(line.split(maxsplit=1) for line in score.splitlines())
    images = [tmp_path / names[key] for key in ("base", "layer")]
    for image in images:
        subprocess.run(
            ["cp", "-a", "--sparse=always", cache_directory() / image.name, image], check=True
        )
    (tmp_path / "functions" / "score.udf").write_text(score)
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    with subprocess.Popen(
        ["sqlite3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f".load {udfvm.sqlite.EXTENSION}\nSELECT vm_udf('score', 12, 300);\n")
        process.stdin.flush()
        assert process.stdout.readline() == "4.0\n"
        (tmp_path / "functions" / "score.udf").unlink()  # which alone would keep them
        for path in tmp_path.iterdir():
            if path.is_file():
                os.utime(path, (0, 0))
        assert prune(0).files == 0
        jailed = jails(process.pid)  # with UDFVM_JAIL=1: they have the images open, too
        process.stdin.write("SELECT 1;\n")
        process.communicate()
    for each in jailed:
        wait_for_its_end(each)
    assert prune(0).files == 2
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_use_in_the_shell_counts_as_one(shell: Shell) -> None:
    score = (cache_directory() / "functions" / "score.udf").read_text()
    names = dict(line.split(maxsplit=1) for line in score.splitlines())
    notes = [cache_directory() / f"{names[key]}.verified" for key in ("base", "layer")]
    for note in notes:
        os.utime(note, (0, 0))
    assert shell("SELECT vm_udf('score', 12, 300);") == "4.0"
    assert all(note.stat().st_mtime > 0 for note in notes)


def test_seal_refuses_what_it_cannot_seal(tmp_path: Path) -> None:
    file = tmp_path / "f.py"
    file.write_text("import udfvm\n")
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code != 0 and "defines no UDF" in str(done.exception)
    file.write_text(SOURCE)
    done = CliRunner().invoke(commands, ["seal", str(file), "nobody"])
    assert done.exit_code != 0 and "does not define a UDF 'nobody'" in str(done.exception)
    file.write_text(
        "import udfvm\n@udfvm.udf(input_types=['uint64'])\ndef f(x: int) -> int:\n    return x\n"
    )
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code != 0 and "SQLite has no type for uint64" in str(done.exception)
