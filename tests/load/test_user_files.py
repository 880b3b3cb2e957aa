"""Files beside the code that opens them by __file__ are shipped with it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import udfvm


def test_files_of_the_host_are_missed_with_a_way_out() -> None:
    @udfvm.udf
    def read(x: int) -> str:
        with open("/home/someone/table.csv") as file:
            return file.read()

    with pytest.raises(
        udfvm.UDFError, match=r"(?s)FileNotFoundError.*as an argument.*importlib\.resources"
    ) as raised:
        read(1)
    assert (
        raised.value.guest_message
        == "[Errno 2] No such file or directory: '/home/someone/table.csv'"
    )


FILES = {
    "open": (
        "def read(x: int) -> str:\n    return open(os.path.join(os.path.dirname(__file__),"
        " 'table.csv')).read()"
    ),
    "path": (
        "def read(x: int) -> str:\n    return (Path(__file__).parent / 'table.csv').read_text()"
    ),
    "folder": (
        "def read(x: int) -> str:\n    return (Path(__file__).resolve().parent / 'data' / 'deep' /"
        " 'more.csv').read_text()"
    ),
    "whole": (
        "def read(x: int) -> str:\n    return"
        " Path(__file__).with_name('data').joinpath('deep/more.csv').read_text()"
    ),
    "here": (
        "HERE = Path(__file__).parent\ndef read(x: int) -> str:\n    return (HERE /"
        " 'table.csv').read_text()"
    ),
    "text": (
        "HERE = os.path.dirname(__file__)\ndef read(x: int) -> str:\n    return open(HERE + '/' +"
        " 'table.csv').read()"
    ),
    "file": (
        "TABLE = Path(__file__).parent / 'table.csv'\ndef read(x: int) -> str:\n    return"
        " TABLE.read_text()"
    ),
    "below": (
        "DATA = Path(__file__).parent / 'data'\ndef read(x: int) -> str:\n    return"
        " next(DATA.rglob('*.csv')).read_text()"
    ),
    "helper": (
        "def path(name): return Path(__file__).parent / name\ndef read(x: int) -> str:\n    return"
        " path('table.csv').read_text()"
    ),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("where", ["module", "package", "imported"])
def test_files_beside_the_code(folder: Path, kind: str, where: str) -> None:
    home = folder / "beside" if where == "package" else folder
    (home / "data" / "deep").mkdir(parents=True)
    (home / "table.csv").write_text("a,b")
    (home / "data" / "deep" / "more.csv").write_text("a,b")
    (home / "secret.csv").write_text("secret")
    name = "beside" if where == "package" else f"files_{kind}"
    (home / ("__init__.py" if where == "package" else f"{name}.py")).write_text(
        f"import os\nfrom pathlib import Path\n{FILES[kind]}\n"
    )
    if where == "imported":
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(f"def read(x: int) -> str:\n    import {name}\n    return {name}.read(x)\n", space)
        function = space["read"]
    else:
        function = importlib.import_module(name).read
    made = udfvm.udf(function, name="read")
    assert made(1) == "a,b"
    (home / "table.csv").write_text("c,d")
    (home / "data" / "deep" / "more.csv").write_text("c,d")
    assert made.refresh()(1) == "c,d"


def test_only_files_that_the_code_names_are_shipped(folder: Path) -> None:
    (folder / "named.csv").write_text("named")
    (folder / "secret.csv").write_text("secret")
    (folder / "lists.py").write_text(
        "import os\ndef names(x: int) -> list[str]:\n    assert"
        " os.path.join(os.path.dirname(__file__), 'named.csv')\n    return"
        " sorted(os.listdir(os.path.dirname(__file__)))\ndef dynamic(x: int) -> str:\n    return"
        " open(os.path.dirname(__file__) + '/' + 'secret'[:6] + '.csv'[:4]).read()\n"
    )
    module = importlib.import_module("lists")
    assert udfvm.udf(module.names)(1) == ["lists.py", "named.csv"]
    with pytest.raises(
        udfvm.UDFError, match=r"(?s)FileNotFoundError.*where code reads them by .*__file__"
    ):
        udfvm.udf(module.dynamic)(1)


def test_files_beside_the_code_that_are_too_large_are_an_error(folder: Path) -> None:
    with (folder / "large.bin").open("wb") as file:
        file.truncate(65 << 20)
    (folder / "opens_large.py").write_text(
        "import os\ndef read(x: int) -> int:\n    return len(open(os.path.dirname(__file__) + '/' +"
        " 'large.bin', 'rb').read())\n"
    )
    with pytest.raises(
        udfvm.SignatureError,
        match=r"'read': files beside its code are larger than 64 MiB.*large\.bin.*by data=",
    ):
        udfvm.udf(importlib.import_module("opens_large").read)(1)
