"""Files that functions are given by ``data=``: which are refused, and what other processes do."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import udfvm
from udfvm.load import data_files

MEBIBYTE = 1 << 20
root_reads_all = pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    np.arange(100_000, dtype="f8").tofile(path)
    return path


# ---- What is refused ----


@pytest.mark.parametrize(
    ("name", "path", "error", "text"),
    [
        ("model", "absent.bin", udfvm.DataFileNotFoundError, "cannot be read: No such file"),
        ("model", ".", udfvm.DataFileError, "is a directory: name its files"),
        ("model", "empty", udfvm.DataFileError, "is empty"),
        ("model", "/dev/null", udfvm.DataFileError, "is no regular file"),
        ("model", "fifo", udfvm.DataFileError, "is no regular file"),
        ("model", "sparse", udfvm.DataFileError, "is too large.*128 GiB together"),
        ("a/b", "full", udfvm.OptionError, "a name has no slash"),
        ("..", "full", udfvm.OptionError, "no file can have"),
        (".", "full", udfvm.OptionError, "no file can have"),
        ("", "full", udfvm.OptionError, "no file can have"),
        ("a\nb", "full", udfvm.OptionError, "no file can have"),
        ("x" * 96, "full", udfvm.OptionError, "more than 95 bytes"),
        (3, "full", udfvm.OptionError, "no file can have"),
        ("model", b"full", udfvm.OptionError, "no path for 'model'"),
        ("model", [1.0], udfvm.OptionError, "no path for 'model'"),
        ("model", "", udfvm.OptionError, "no path for 'model'"),
    ],
)
def test_files_that_cannot_be_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: Any,
    path: Any,
    error: type[Exception],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").write_text("full")
    Path("empty").touch()
    os.mkfifo("fifo")
    Path("sparse").touch()
    os.truncate("sparse", 128 << 30)
    with pytest.raises(error, match=rf"^UDF 'one': data.*{text}") as caught:
        udfvm.udf(data={name: path}, name="one")(lambda: 1)
    if isinstance(caught.value, OSError):
        assert str(caught.value.filename).startswith("/")


@root_reads_all
def test_unreadable_files(model: Path) -> None:
    model.chmod(0)
    with pytest.raises(udfvm.DataFileError, match="Permission denied"):
        udfvm.udf(data={"model": model}, name="one")(lambda: 1)


@pytest.mark.parametrize("given", ["model.bin", ["model.bin"], {f"{i}": "/" for i in range(65)}])
def test_what_is_no_mapping_of_few_files(given: Any) -> None:
    with pytest.raises(udfvm.OptionError, match=r"^UDF 'one': data= "):
        udfvm.udf(data=given, name="one")(lambda: 1)


def test_large_globals_are_told_of_data() -> None:
    large = np.random.default_rng(1).random(17 * MEBIBYTE)

    @udfvm.udf
    def look(at: int) -> float:
        return float(large[at])

    with pytest.raises(udfvm.InputTooLargeError, match=r"128 MiB.*data=\{'model'"):
        look(1)


# ---- Other processes ----

WORKER = """
import pickle, sys
import udfvm
function = pickle.load(sys.stdin.buffer)
try:
    print(function(-1))
except udfvm.DataFileError as error:
    print(type(error).__name__, error)
"""


def in_another_process(pickled: bytes) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input=pickled, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_functions_travel_with_the_path_and_what_the_file_was(model: Path, tmp_path: Path) -> None:
    def at(index: int) -> float:
        return float(np.memmap("/data/model", "f8", "r")[index])

    at.__module__ = "__main__"  # it goes by value
    function = udfvm.udf(at, data={"model": model})
    pickled = pickle.dumps(function)
    assert len(pickled) < 100_000
    assert in_another_process(pickled) == "99999.0"
    os.utime(model)  # on another machine the times differ
    assert in_another_process(pickled) == "99999.0"
    content = model.read_bytes()
    model.write_bytes(content[:-8] + b"\0" * 8)
    assert re.match("DataFileError .*another content here than.*copy", in_another_process(pickled))
    model.write_bytes(content[:-8])
    assert re.match("DataFileError .*has 781.2 KiB here, and", in_another_process(pickled))
    model.unlink()
    assert re.match("DataFileNotFoundError .*No such file", in_another_process(pickled))


def test_forked_children_have_the_files(model: Path) -> None:
    @udfvm.udf(data={"model": model})
    def at(index: int) -> float:
        return float(np.memmap("/data/model", "f8", "r")[index])

    assert at(1) == 1.0
    child = os.fork()
    if child == 0:
        os._exit(0 if at(2) == 2.0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert at(3) == 3.0


def test_hardened_calls_have_the_files(model: Path) -> None:
    program = f"""
        import os, udfvm
        udfvm.harden()
        @udfvm.udf(data={{"model": {str(model)!r}}})
        def size(cut: int) -> int:
            return len(open("/data/model", "rb").read())
        print(size(0))
        os.truncate({str(model)!r}, 8)
        try:
            size(0)
        except udfvm.DataFileChangedError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-"], input=textwrap.dedent(program), text=True, capture_output=True
    )
    assert re.match(r"800000\nUDF 'size': data file 'model' had 781\.2 KiB", done.stdout), done


def test_digests_are_made_once_for_each_state(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    made = []
    original = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda *given: made.append(given) or original(*given)
    )
    files = data_files.DataFiles.of("f", {"model": model})
    first, second = pickle.dumps(files), pickle.dumps(files)
    assert first == second
    assert len(made) == 1
