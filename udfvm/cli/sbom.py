"""``udfvm sbom``: what runs in guests, as a software bill of materials (CycloneDX 1.6, JSON).

The parts of udfvm are the files of the build, with their digests. The rest is this environment's:
its interpreter, C library and packages, which guests read.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from udfvm import __version__
from udfvm.cli.program import json_option, print_json
from udfvm.installation import GUEST, PACKAGE

_STUBS: Final = ("libudfvm.so", "udfvm-jail")  # which have the stubs of ring 0
_KINDS: Final = {
    "libudfvm.so": ("the core, with the stubs that guests enter ring 0 by", "library"),
    "udfvm-jail": (
        "the program of jailed VMs, with the stubs that guests enter ring 0 by",
        "application",
    ),
    "kernel.bin": ("guest kernel", "operating-system"),
    "native": ("runtime of native code", "application"),
    "wasm": ("runtime of WebAssembly", "application"),
}
_NAMESPACE: Final = uuid.UUID("1b4e28ba-2fa1-5d2c-883f-0016d3cca427")


@click.command()
@json_option("What it prints is JSON with and without.")
def sbom(as_json: bool) -> None:
    """Prints what runs in guests, as a bill of materials.

    It is CycloneDX's JSON.
    """
    print_json(bill_of_materials())


def bill_of_materials() -> dict[str, Any]:
    """Returns the document. It is the same for the same files and packages."""
    components = [*_own_parts(), _interpreter(), *_c_library(), *_packages()]
    contents = json.dumps(components, sort_keys=True)
    udfvm = {
        "type": "framework",
        "bom-ref": "udfvm",
        "name": "udfvm",
        "version": __version__,
        "purl": f"pkg:pypi/udfvm@{__version__}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    references = sorted(component["bom-ref"] for component in components)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, contents)}",
        "version": 1,
        "metadata": {"component": udfvm},
        "components": components,
        "dependencies": [{"ref": "udfvm", "dependsOn": references}],
    }


def _hashes(path: Path) -> list[dict[str, str]]:
    with path.open("rb") as file:
        return [{"alg": "SHA-256", "content": hashlib.file_digest(file, "sha256").hexdigest()}]


def _own_parts() -> Iterator[dict[str, Any]]:
    """Yields the files of the build that go into guests, and those that have the stubs of ring 0:
    the core, and the program of jailed VMs, which has a core of its own.
    """
    files = [
        path for path in GUEST.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    for path in (*(PACKAGE / "vmm" / name for name in _STUBS), *sorted(files)):
        name = str(path.relative_to(PACKAGE))
        described, kind = _KINDS.get(path.name, ("file for guests", "file"))
        component = {
            "type": kind,
            "bom-ref": f"udfvm/{name}",
            "name": name,
            "description": described,
            "hashes": _hashes(path),
        }
        yield component if kind == "file" else {**component, "version": __version__}


def _interpreter() -> dict[str, Any]:
    version = platform.python_version()
    executable = Path(os.path.realpath(sys.executable))
    shared = sysconfig.get_config_var("INSTSONAME") or ""
    library = Path(sysconfig.get_config_var("LIBDIR") or "") / shared
    linked = [library] if shared.endswith(".so.1.0") and library.is_file() else []
    return {
        "type": "application",
        "bom-ref": f"python@{version}",
        "name": platform.python_implementation(),
        "version": version,
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
        "purl": f"pkg:generic/python@{version}",
        "hashes": _hashes((linked or [executable])[0]),
    }


def _c_library() -> Iterator[dict[str, Any]]:
    """Yields the C library that the interpreter and the runtimes load."""
    name, version = platform.libc_ver()
    if name:
        yield {
            "type": "library",
            "bom-ref": f"{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:generic/{name}@{version}",
        }


def _packages() -> Iterator[dict[str, Any]]:
    """Yields the installed packages, any of which a function may import; wasmtime is the engine of
    WebAssembly's runtime.
    """
    found: dict[str, dict[str, Any]] = {}
    for distribution in importlib.metadata.distributions():
        declared = distribution.metadata["Name"]
        if not declared:
            continue  # the remains of a package
        name = re.sub(r"[-_.]+", "-", declared).lower()
        if name != "udfvm":
            found.setdefault(name, _package(name, distribution))
    for name in sorted(found):
        yield found[name]


def _package(name: str, distribution: importlib.metadata.Distribution) -> dict[str, Any]:
    version = distribution.version
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pypi/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
    }
    if "License-Expression" in distribution.metadata:
        component["licenses"] = [{"expression": distribution.metadata["License-Expression"]}]
    return component
