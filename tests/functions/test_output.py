"""What functions of every form and language print is seen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pyarrow as pa
import pytest
from printing_functions import Capture

import udfvm


def test_vectorised_functions_and_lists(capsys: Capture) -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def whole(x: np.ndarray) -> np.ndarray:
        print("rows", len(x))
        return x

    @udfvm.udf
    def lists(x: list[int]) -> list[int]:
        print("items", len(x))
        return x

    whole(np.ones(3))
    whole(np.ones(3))
    lists([1, 2])
    lists(pa.array([[1], [1, 2]]))
    assert capsys.readouterr().out == "rows 3\nrows 3\nitems 2\nitems 1\nitems 2\n"


def test_native_functions(capsys: Capture) -> None:
    source = """
        #include <udfvm.h>
        UDFVM_SCALAR(printing, i64, (i64, a))
        {
            printf("native %d\\n", (int)a);
            fprintf(stderr, "error %d", (int)a);
            if (a == 2)
                udfvm_fail("two");
            if (a == 3)
                *(volatile int *)8 = 0;
            return a;
        }
    """
    printing = udfvm.from_c(source, "printing")
    assert printing(1) == 1
    assert tuple(capsys.readouterr()) == ("native 1\n", "error 1")
    for a, kind in ((2, udfvm.UDFError), (3, udfvm.GuestCrashError)):
        with pytest.raises(kind) as caught:
            printing(a)
        assert caught.value.output == f"native {a}\nerror {a}"
    heard: list[str] = []
    assert udfvm.from_c(source, "printing", log=lambda text, stream: heard.append(text))(1) == 1
    assert heard == ["native 1\n", "error 1"]


WASM = r"""
__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write")))
int fd_write(int fd, const void *vectors, int count, void *written);
__attribute__((export_name("printing"))) int printing(int fd)
{
    struct { const char *at; int length; } vector = { "from the module\n", 16 };
    int written;
    fd_write(fd, &vector, 1, &written);
    return written;
}
"""


def test_webassembly(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    (tmp_path / "printing.c").write_text(WASM)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-nostdlib"]
    command += ["-Wl,--no-entry", "-O1", "printing.c", "-o", "printing.wasm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printing = udfvm.from_wasm(tmp_path / "printing.wasm", "printing")
    assert printing(1) == 16
    assert tuple(capsys.readouterr()) == ("from the module\n", "")
    assert printing(2) == 16
    assert tuple(capsys.readouterr()) == ("", "from the module\n")


def test_table_functions_and_aggregates(capsys: Capture) -> None:
    @udfvm.table_function(columns={"value": int})
    def rows(count: int) -> Iterator[int]:
        print("begin")
        yield from range(count)
        print("end")

    @udfvm.aggregate
    class Sum:
        def __init__(self) -> None:
            print("new")
            self.sum = 0

        def step(self, value: int) -> None:
            self.sum += value

        def finish(self) -> int:
            print("sum", self.sum)
            return self.sum

    assert len(list(rows(3))) == 3
    assert capsys.readouterr().out == "begin\nend\n"
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, rows, Sum)
    assert list(connection.execute("SELECT Sum(value) FROM rows(4)")) == [(6,)]
    assert sorted(capsys.readouterr().out.splitlines()) == ["begin", "end", "new", "sum 6"]
