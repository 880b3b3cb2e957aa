"""The packages of engines: found, missing, too old, broken."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import udfvm
from udfvm.engines.packages import load_package


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that packages are imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("udfvm_engine",):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def install(folder: Path, version: str, code: str = "made = 1") -> None:
    (folder / "udfvm_engine.py").write_text(code)
    information = folder / f"udfvm_engine-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: udfvm-engine\nVersion: {version}\n")


def load(oldest: str = "2.1") -> object:
    return load_package("udfvm_engine", engine="engine", package="udfvm-engine", oldest=oldest)


@pytest.mark.parametrize("version", ["2.1", "2.1.0rc1", "2.10", "10.0.dev3"])
def test_a_package_is_imported(folder: Path, version: str) -> None:
    install(folder, version)
    assert getattr(load(), "made") == 1  # noqa: B009
    del sys.modules["udfvm_engine"]


def test_a_package_is_missing(folder: Path) -> None:
    with pytest.raises(ImportError, match=r"needs the package udfvm-engine, which is not.*\[engi"):
        load()
    (folder / "udfvm_engine.py").write_text("")  # a module of that name that is no package's
    with pytest.raises(udfvm.EngineError, match=r"pip install 'udfvm\[engine\]'"):
        load()


def test_a_package_is_too_old(folder: Path) -> None:
    install(folder, "2.0.9")
    with pytest.raises(udfvm.EngineError, match=r"version 2\.1 of .* or a newer one, not 2\.0\.9"):
        load()


def test_a_package_is_broken(folder: Path) -> None:
    install(folder, "2.1", "import udfvm_engine_core")
    with pytest.raises(udfvm.EngineError, match=r"cannot be imported: .*'udfvm_engine_core'"):
        load()


@pytest.mark.parametrize("engine", sorted(udfvm._ENGINES))
def test_modules_of_engines_are_attributes_and_imported_by_statements(engine: str) -> None:
    """Each is one module, in whichever way and order it is imported."""
    try:
        module = importlib.import_module(f"udfvm.engines.{engine}")
    except udfvm.EngineError as error:
        pytest.skip(str(error))
    assert getattr(udfvm, engine) is module
    ways = (
        f"import udfvm.{engine} as a; import udfvm; b = udfvm.{engine}",
        f"import udfvm; a = udfvm.{engine}; import udfvm.{engine}; b = udfvm.{engine}",
        f"from udfvm import {engine} as a; import udfvm.{engine} as b",
    )
    for way in ways:
        check = f"{way}; print(a.__name__, a is b)"
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
        assert done.stdout == f"udfvm.engines.{engine} True\n", way + done.stderr


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'duckbd'"):
        getattr(udfvm, "duckbd")  # noqa: B009
