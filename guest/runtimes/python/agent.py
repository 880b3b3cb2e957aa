"""The program that runs in a Python micro-VM: it starts once, loads one function and answers
requests.

The base image is this program at its first seal, after it imported its packages. A LOAD request
unpickles a function, warms everything up and seals again: that is the UDF's layer. Each call
continues after the second seal, in a fresh copy of it.

It has one argument, JSON: {"path": sys.path, "prefixes": [sys.prefix, sys.exec_prefix], "packages":
modules to import, "extension": path of _udfvm_agent}.
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
    importlib.import_module("_udfvm_fork").watch()
    importlib.import_module("_udfvm_adaptations").install()
    for name in configuration["packages"]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            error.add_note(
                f"udfvm: {name!r} is imported because packages= names it, or because the function"
                " uses it"
            )
            raise
    if "pyarrow" in sys.modules:
        _prepare_pyarrow()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = _unbuffered(descriptor)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)  # the standard names of the original streams
    runtime = importlib.import_module("_udfvm_runtime")
    sys.modules["_udfvm_main"] = sys.modules["__main__"]
    # User code must not find this program as `__main__`.
    sys.modules["__main__"] = types.ModuleType("__main__")
    runtime.serve_load()


class _NoPandas:
    """A finder that hides pandas. A pandas that was imported before stays."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def _prepare_pyarrow() -> None:
    pyarrow = importlib.import_module("pyarrow")
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    # pyarrow imports pandas at its first conversion, if it finds it, which takes longer than all
    # the rest. It finds pandas only if packages= names it.
    sys.meta_path.insert(0, _NoPandas)
    pyarrow.array([0])
    sys.meta_path.remove(_NoPandas)
    importlib.import_module("_udfvm_vectorized")


def _unbuffered(descriptor: int) -> io.TextIOWrapper:
    """Returns standard output without buffers: flushing them at the end of each call would cost
    more than the prints of most calls.
    """
    raw = io.FileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def _find_modules(configuration: dict[str, Any]) -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - nothing else needs pathlib
    sys.path[:] = [*configuration["path"], here]
    sys.prefix, sys.exec_prefix = configuration["prefixes"]
    specification = importlib.util.spec_from_file_location(
        "_udfvm_agent", configuration["extension"]
    )
    if specification is None or specification.loader is None:
        raise ImportError(f"{configuration['extension']} is not an extension module")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    sys.modules["_udfvm_agent"] = module


if __name__ == "__main__":
    main()
