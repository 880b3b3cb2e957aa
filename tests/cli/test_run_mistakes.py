"""``udfvm run`` with wrong options and data, and functions that miss what the host has."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from command_programs import functions_in, run


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return functions_in(tmp_path_factory.mktemp("functions"))


@pytest.mark.parametrize(
    ("options", "code", "wanted"),
    [
        (["-c", "price=x"], 2, "-c price=x: the parameter stands first: x=price"),
        (["--memory", "1"], 2, "udfvm: --memory=1 must be from 16 MiB to 64 GiB"),
        (["--timeout", "-1"], 2, "udfvm: --timeout=-1.0 must be "),
        (["-o", "x.txt"], 1, "and CSV (.csv) files, by the suffix, and no .txt\n"),
    ],
)
def test_options_that_are_wrong(mine: Path, options: list[str], code: int, wanted: str) -> None:
    done = run("run", f"{mine}:inverse", *options, input="price\n1\n")
    assert done.returncode == code and wanted in done.stderr and "map()" not in done.stderr


def test_sources_of_another_format(mine: Path, tmp_path: Path) -> None:
    database, text = tmp_path / "app.db", tmp_path / "rows.txt"
    with contextlib.closing(sqlite3.connect(database)) as con:
        con.execute("CREATE TABLE t (x)")
    text.write_text("x\n1\n")
    done = run("run", f"{mine}:inverse", database)
    assert done.stderr.endswith(
        f"{database} is a database of SQLite, not Parquet: name a table of it, file::table\n"
    )
    done = run("run", f"{mine}:inverse", text)
    assert done.stderr.endswith(
        f"{text} is not Parquet: name a file of another format by its suffix or --format, a table"
        " by app.db::table\n"
    )


BODIES = {
    "files": ("open('orders.csv')", "(line 4 of its file); a micro-VM has no files of this",
              "by --data model=model.bin (found as /data/model), or pass what it holds as an"),
    "network": ("__import__('urllib.request').request.urlopen('http://example.com')",
                "(line 4 of its file); a micro-VM has no network: ", "needs as an argument\n"),
    "variables": ("os.environ['TOKEN']", "(line 4 of its file); a micro-VM has no environment",
                  "the value as an argument"),
    "packages": ("__import__('absent')", "(line 4 of its file); a micro-VM finds the packages",
                 "install the package for that Python\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_errors_name_the_line_of_the_file_and_what_to_do(name: str, tmp_path: Path) -> None:
    body, line, advice = BODIES[name]
    source = tmp_path / "odd.py"
    source.write_text(f"import os\n\ndef odd(x: int) -> int:\n    return {body}\n")
    done = run("run", f"{source}:odd", input="x\n1\n")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert line in done.stderr and advice in done.stderr and "host_functions" not in done.stderr
