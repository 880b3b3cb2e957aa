"""``udfvm sbom`` names everything that runs in guests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from typing import Any

import pytest
from click.testing import CliRunner

from udfvm.cli import commands
from udfvm.installation import GUEST, PACKAGE


def printed() -> str:
    done = CliRunner().invoke(commands, ["sbom"])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return dict(json.loads(printed()))


def test_it_is_a_valid_document() -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    text = printed()
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"SHA-256"', '"SHA-0"')) is not None


def test_every_file_of_the_build_is_in_it(bill: dict[str, Any]) -> None:
    digests = {
        component["name"]: component["hashes"][0]["content"]
        for component in bill["components"]
        if component["bom-ref"].startswith("udfvm/")
    }
    files = [
        path for path in GUEST.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    stubs = [PACKAGE / "vmm" / name for name in ("libudfvm.so", "udfvm-jail")]  # of ring 0
    files += stubs
    assert digests == {
        str(path.relative_to(PACKAGE)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    kinds = {component["name"]: component["type"] for component in bill["components"]}
    assert kinds["_guest/kernel.bin"] == "operating-system"


def test_the_interpreter_and_its_packages_are_in_it(bill: dict[str, Any]) -> None:
    versions = {component["name"]: component.get("version") for component in bill["components"]}
    assert versions["CPython"] == platform.python_version()
    for name in ("wasmtime", "numpy", "pyarrow"):
        assert versions[name] == importlib.metadata.version(name)
    assert "udfvm" not in versions and bill["metadata"]["component"]["name"] == "udfvm"


def test_it_is_the_same_each_time(bill: dict[str, Any]) -> None:
    assert json.loads(printed()) == bill
    references = [component["bom-ref"] for component in bill["components"]]
    assert len(set(references)) == len(references)
    assert bill["dependencies"] == [{"ref": "udfvm", "dependsOn": sorted(references)}]
