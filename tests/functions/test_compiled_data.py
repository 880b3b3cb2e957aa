"""Compiled functions that are given files by ``data=``: as they are loaded, and in calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from wasi_programs import compiled

import udfvm

OBJECT = r"""
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <udfvm.h>

static long first = -1;

__attribute__((constructor)) static void read_first(void)
{
    FILE *file = fopen("/data/numbers", "r");
    if (file) {
        fscanf(file, "%ld", &first);
        fclose(file);
    }
}

UDFVM_SCALAR(first_of, i64)
{
    return first;
}

UDFVM_SCALAR(byte_at, i64, (i64, at))
{
    const int file = open("/data/numbers", O_RDONLY);
    const char *mapped = mmap(NULL, 8, PROT_READ, MAP_PRIVATE, file, 0);
    return mapped == MAP_FAILED ? -1 : mapped[at];
}

UDFVM_SCALAR(copied_byte, i64, (i64, at))
{
    const int file = open("/data/numbers", O_RDONLY);
    char *mapped = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    mapped[at]++;
    return mapped[at];
}

UDFVM_SCALAR(stray, i64, (i64, at))
{
    const int file = open("/data/numbers", O_RDONLY);
    char *mapped = mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
    mapped[at] = 0;
    return 0;
}
"""

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <udfvm.h>

static long first;

UDFVM_SCALAR(times, i64, (i64, by))
{
    return first * by;
}

int main(void)
{
    FILE *file = fopen("/data/numbers", "r");
    if (!file || fscanf(file, "%ld", &first) != 1)
        return 1;
    fclose(file);
    udfvm_serve();
}
"""

WASI = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    char text[64] = "";
    FILE *file = fopen("/data/numbers", "r");
    if (!file)
        return puts("there is none") < 0;
    fread(text, 1, sizeof text - 1, file);
    fputs(text, stdout);
    fputs(fopen("/data/numbers", "w") || fopen("/data/new", "w") ? "written" : "", stdout);
    fputs(unlink("/data/numbers") == 0 ? "gone" : "", stdout);
    return 0;
}
"""


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("42 43 44")
    return path


def test_native_functions_read_and_map(numbers: Path) -> None:
    first = udfvm.from_c(OBJECT, "first_of", data={"numbers": numbers})
    assert first() == 42
    assert first.with_options(data=None)() == -1
    assert udfvm.from_c(OBJECT, "byte_at", data={"numbers": numbers})(1) == ord("2")
    copied = udfvm.from_c(OBJECT, "copied_byte", data={"numbers": numbers})
    assert [copied(0), copied(0)] == [ord("5")] * 2
    with pytest.raises(udfvm.GuestCrashError, match="SEGV"):
        udfvm.from_c(OBJECT, "stray", data={"numbers": numbers})(0)
    assert numbers.read_text() == "42 43 44"


def test_a_program_reads_before_it_serves(numbers: Path, tmp_path: Path) -> None:
    """It runs when its function is declared, too."""
    source, program = tmp_path / "times.c", tmp_path / "times"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-I", udfvm.get_include(), source, "-o", program], check=True)
    with pytest.raises(udfvm.BuildError):
        udfvm.from_elf(program, "times")
    times = udfvm.from_elf(program, "times", data={"numbers": numbers})
    assert times(2) == 84
    numbers.with_name("new").write_text("50")
    numbers.with_name("new").replace(numbers)
    assert times(2) == 84
    assert times.refresh()(2) == 100


def test_wasi_has_a_folder_that_can_only_be_read(numbers: Path, tmp_path: Path) -> None:
    module = compiled(tmp_path, "reads", WASI)
    reads = udfvm.from_wasm(module, "_start", name="reads", data={"numbers": numbers})
    assert reads("") == "42 43 44"
    assert reads.with_options(data=None)("") == "there is none\n"
    beside = udfvm.from_wasm(
        module, "_start", name="reads", root={"other": b""}, data={"numbers": numbers}
    )
    assert beside("") == "42 43 44"
    assert numbers.read_text() == "42 43 44"
