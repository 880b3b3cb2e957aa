"""Python imports point one way: the contracts of ``[tool.importlinter]`` hold, for all packages."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS = {each["id"]: each for each in CONFIGURATION["importlinter"]["contracts"]}


@pytest.mark.parametrize("contract", sorted(CONTRACTS))
def test_contracts(contract: str) -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    options = ["--contract", contract, "--no-cache"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_every_package_has_a_layer() -> None:
    named = {name.strip() for layer in CONTRACTS["layers"]["layers"] for name in layer.split("|")}
    folders = (path for path in (ROOT / "udfvm").iterdir() if not path.name.startswith("_"))
    found = {f"udfvm.{path.stem}" for path in folders if path.is_dir() or path.suffix == ".py"}
    assert named == found
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "udfvm").glob("[!_]*/**/__init__.py")
    }
    assert set(CONTRACTS["circles"]["ancestors"]) == packages


def test_imports_for_type_checkers_count() -> None:
    assert "exclude_type_checking_imports" not in CONFIGURATION["importlinter"]
    assert not any("ignore_imports" in contract for contract in CONTRACTS.values())
