"""The examples in compiled languages do what they say."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

import udfvm

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "native"


def _built(folder: Path, *command: str) -> Path:
    """Runs a compiler in the folder; its output is built.so there."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "built.so"


def _gnu(folder: Path, compiler: str, standard: str, source: str) -> Path:
    return _built(
        folder,
        compiler,
        "-O3",
        "-g",
        "-shared",
        "-fPIC",
        f"-std={standard}",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I",
        udfvm.get_include(),
        str(EXAMPLES / source),
        "-o",
        "built.so",
    )


def test_c(tmp_path: Path) -> None:
    made = _gnu(tmp_path, "gcc", "gnu17", "score.c")
    assert udfvm.from_elf(made, "score")(
        pa.array([12.0, 1.0, None]), pa.array([300.0, 0.0, 1.0])
    ).to_pylist() == [4.0, None, None]
    difference = udfvm.from_elf(made, "difference")
    assert difference(pa.array([1.0, 4.0, 9.0])).to_pylist() == [0.0, 3.0, 5.0]
    with pytest.raises(udfvm.UDFError, match="difference of 1 nulls"):
        difference(pa.array([1.0, None]))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_c_plus_plus(tmp_path: Path) -> None:
    slug = udfvm.from_elf(_gnu(tmp_path, "g++", "gnu++20", "slug.cc"), "slug")
    assert slug(pa.array(["Hello, World!", None, " A  b "])).to_pylist() == [
        "hello-world",
        None,
        "a-b",
    ]
    with pytest.raises(udfvm.UDFError, match="row 1: RuntimeError: nothing of the title is left"):
        slug(pa.array(["a", "!"]))


@pytest.mark.skipif(shutil.which("rustc") is None, reason="no Rust compiler")
def test_rust(tmp_path: Path) -> None:
    made = _built(
        tmp_path,
        "rustc",
        "-O",
        "-g",
        "--crate-type",
        "cdylib",
        str(EXAMPLES / "distance.rs"),
        "-o",
        "built.so",
    )
    distance = udfvm.from_elf(made, "distance", signature="(f64, f64, f64, f64) -> f64")
    assert distance(40.6413, -73.7781, 33.9416, -118.4085) == pytest.approx(3974, abs=1)
    occurrences = udfvm.from_elf(made, "occurrences", signature="(text, u8) -> i64")
    assert occurrences(pa.array(["banana", "", None]), ord("a")).to_pylist() == [3, 0, None]
    with pytest.raises(udfvm.GuestCrashError) as caught:
        occurrences("banana", 255)
    assert caught.value.signal == signal.SIGABRT
    assert "occurrences" in str(caught.value)


def test_zig(tmp_path: Path) -> None:
    made = _built(
        tmp_path,
        sys.executable,
        "-m",
        "ziglang",
        "build-lib",
        "-dynamic",
        "-O",
        "ReleaseFast",
        "-femit-bin=built.so",
        str(EXAMPLES / "checksum.zig"),
    )
    adler32 = udfvm.from_elf(made, "adler32", signature="(blob) -> u32")
    assert adler32(b"Wikipedia") == zlib.adler32(b"Wikipedia")
    assert adler32(pa.array([b"", bytes(70_000), None])).to_pylist() == [
        1,
        zlib.adler32(bytes(70_000)),
        None,
    ]


def test_c_program(tmp_path: Path) -> None:
    made = _built(
        tmp_path,
        "gcc",
        "-O3",
        "-g",
        "-static",
        "-std=gnu17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I",
        udfvm.get_include(),
        str(EXAMPLES / "zone.c"),
        "-o",
        "built.so",
    )
    zone = udfvm.from_elf(made, "zone")
    assert zone(pa.array([0.0, -180.0, 180.0, 7.5, -7.6, None])).to_pylist() == [
        0,
        -12,
        12,
        1,
        -1,
        None,
    ]
    with pytest.raises(udfvm.UDFError, match="200 is not a longitude"):
        zone(200.0)


@pytest.mark.skipif(shutil.which("rustc") is None, reason="no Rust compiler")
def test_rust_program(tmp_path: Path) -> None:
    made = _built(
        tmp_path,
        "rustc",
        "--edition",
        "2021",
        "-O",
        "-g",
        str(EXAMPLES / "length.rs"),
        "-o",
        "built.so",
    )
    metres = udfvm.from_elf(made, "metres", signature="(value: f64, unit: text) -> f64")
    assert metres(pa.array([2.0, 1.5, None]), pa.array(["mi", "km", "m"])).to_pylist() == [
        3218.688,
        1500.0,
        None,
    ]
    with pytest.raises(udfvm.GuestCrashError, match=r"(?s)SIGABRT.*metres"):
        metres(1.0, "ft")


def _go(folder: Path, *command: str) -> Path:
    flags = {
        "CGO_CFLAGS": f"-O2 -g -I {udfvm.get_include()}",
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "-buildvcs=false",
    }
    done = subprocess.run(
        ["go", "build", *command],
        cwd=folder,
        env={**os.environ, **flags},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder / "built"


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go compiler")
def test_go(tmp_path: Path) -> None:
    made = _go(tmp_path, "-buildmode=c-shared", "-o", "built", str(EXAMPLES / "words.go"))
    words = udfvm.from_elf(made, "words", signature="(text) -> i64")
    assert words(pa.array(["Hello, World 42", "", None, "à b"])).to_pylist() == [3, 0, None, 2]
    primes = udfvm.from_elf(made, "primes", signature="(i64) -> i64")
    assert [primes(100), primes(1), primes(30_000), primes(100)] == [25, 0, 3245, 25]


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go compiler")
def test_go_program(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "greeting", tmp_path, dirs_exist_ok=True)
    greeting = udfvm.from_elf(_go(tmp_path, "-o", "built", "."), "greeting")
    assert greeting(pa.array(["en", "de", None]), pa.array(["Ada", "Emmy", "x"])).to_pylist() == [
        "Hello, Ada!",
        "Guten Tag, Emmy!",
        None,
    ]
    with pytest.raises(udfvm.UDFError, match="no greeting in fr"):
        greeting("fr", "x")
