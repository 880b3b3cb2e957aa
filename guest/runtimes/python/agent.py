"""The program that runs in a Python micro-VM: starts once, loads one function, answers requests.

Life: the base image is this program after it imported its packages, at its first seal. A LOAD request unpickles a function, warms
everything up and seals again: that is the UDF's layer. Each call continues after that second seal, in a fresh copy of it.

Arguments: one, JSON: {"path": sys.path, "packages": modules to import, "extension": path of _udfvm_agent}.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import os
import sys
import types
from typing import Any


def main() -> None:
    """Boots: becomes the base image."""
    configuration = json.loads(sys.argv[1])
    sys.argv = [""]
    _find_modules(configuration)
    for name in configuration["packages"]:
        importlib.import_module(name)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    runtime = importlib.import_module("_udfvm_runtime")
    sys.modules["_udfvm_main"] = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")     # a user's `__main__` is not this program
    runtime.serve_load()


def _find_modules(configuration: dict[str, Any]) -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is not needed otherwise
    sys.path[:] = [*configuration["path"], here]
    specification = importlib.util.spec_from_file_location("_udfvm_agent", configuration["extension"])
    if specification is None or specification.loader is None:
        raise ImportError(f"{configuration['extension']} is no extension module")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    sys.modules["_udfvm_agent"] = module


if __name__ == "__main__":
    main()
