"""What ``udfvm run`` shows on a terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_programs import functions_in, run


def test_a_bar_is_shown_on_a_terminal(tmp_path: Path) -> None:
    mine, data = functions_in(tmp_path), tmp_path / "flights.csv"
    data.write_text("dep_delay,distance\n12,300\n3,0\n,600\n")
    ours, theirs = os.openpty()
    done = run("run", f"{mine}:score", data, capture_output=False, stdout=subprocess.PIPE,
               stderr=theirs)  # fmt: skip
    os.close(theirs)
    shown = b"".join(read_all(ours))
    assert done.stdout == '"dep_delay","distance","score"\n12,300,4\n3,0,\n,600,\n'
    assert b"3 rows" in shown and b"score" in shown


@pytest.mark.parametrize("name", ["title", "Last"])
def test_results_do_not_control_a_terminal(tmp_path: Path, name: str) -> None:
    mine, text = tmp_path / "mine.py", r"\x1b]0;owned\x07\x0d"
    mine.write_text(
        f"""import udfvm
@udfvm.udf
def title(x: int) -> str:
    return "{text}"
@udfvm.aggregate
class Last:
    def __init__(self): pass
    def step(self, x: int) -> None: pass
    def finish(self) -> str:
        return "{text}"
"""
    )
    data = tmp_path / "x.csv"
    data.write_text("x\n1\n")
    ours, theirs = os.openpty()
    run("run", f"{mine}:{name}", data, "--no-progress", capture_output=False, stdout=theirs)
    os.close(theirs)
    on_terminal = b"".join(read_all(ours))
    assert text.encode() in on_terminal and b"\x1b" not in on_terminal
    piped = run("run", f"{mine}:{name}", data)  # data are as they are
    assert "\x1b]0;owned\x07" in piped.stdout


def read_all(descriptor: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # the end of a terminal
        while data := os.read(descriptor, 65536):
            yield data
    os.close(descriptor)
