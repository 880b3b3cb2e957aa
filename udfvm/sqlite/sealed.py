"""Functions and runtimes left in the image cache under names, for programs without Python: the ``sqlite3`` shell with the extension loaded.

``functions/NAME.udf`` and ``runtimes/KIND.runtime`` are small texts, lines of a key and a value; ``sealed.c`` reads them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from udfvm.cache import cache_directory, write_text
from udfvm.errors import Error, TypeMappingError
from udfvm.policy import DEFAULT_MEMORY
from udfvm.sqlite._extension import Role
from udfvm.sqlite.policy import Kind, stored_base, wasm_is_there
from udfvm.types import JSON, RowType, Type
from udfvm.udf import UDF
from udfvm.vmm import Image

_FORMAT: Final = 2
_TYPES: Final = {RowType.INT64: "int", RowType.FLOAT64: "double", RowType.TEXT: "text", RowType.BLOB: "blob", RowType.BOOL: "bool"}
_NAME: Final = re.compile(r"(?!vm_)[A-Za-z_][A-Za-z0-9_]{0,62}", re.IGNORECASE)


def signature_text(udf: UDF) -> str:
    """A UDF's signature in the language of ``vm_create``.

    Raises TypeMappingError for a type that SQL has not.

    >>> @udfvm.udf
    ... def score(dep_delay: float, distance: float | None) -> float: ...
    >>> signature_text(score)
    '(dep_delay double, distance double?) -> double'
    """
    parameters = ", ".join(f"{each.name} {_type(udf, each.type)}{'?' if each.nullable else ''}" for each in udf.parameters)
    return f"({parameters}) -> {_type(udf, udf.result.type)}"


def _type(udf: UDF, declared: Type) -> str:
    if declared.row is None or declared.row not in _TYPES:
        raise TypeMappingError(f"UDF {udf.name!r}: SQLite has no type for {declared}; use int, float, bool, str or bytes")
    return JSON.name if declared == JSON or declared.is_nested else _TYPES[declared.row]


def seal(udf: UDF) -> Path:
    """Builds a UDF's image and leaves its name in the cache. Returns the file that says so.

    Raises Error for a name that SQL functions cannot have, and what building an image raises.
    """
    columns = getattr(udf, "columns", ())
    if not all(_NAME.fullmatch(name) for name in (udf.name, *(each.name for each in (*udf.parameters, *columns)))):
        raise Error(f"UDF {udf.name!r}: names of sealed functions, parameters and columns are of ASCII letters, digits and _, at most 63")
    if udf.host_functions:
        raise Error(f"UDF {udf.name!r}: a function that calls host functions cannot be sealed for programs without them")
    signature = signature_text(udf)
    layer, base = udf.image, udf.base
    return _write("functions", f"{udf.name}.udf", {
        "udfvm-function": _FORMAT,
        "name": udf.name,
        "kind": udf.language,
        "signature": signature,
        "base": _name_of(base),
        "layer": _name_of(layer),
        "role": int(Role[udf.kind.upper()]),
        "inverse": int(getattr(udf, "windows", False)),
        "columns": f"({', '.join(f'{each.name} {_type(udf, each.type)}' for each in columns)}) -> int",
        "isolation": udf.isolation,
        "deterministic": int(udf.limits.deterministic),
        "timeout_ns": udf.limits.timeout_ns,
        "max_output": udf.limits.max_output,
        "max_log": udf.limits.max_log,
    })  # fmt: skip


def prepare(packages: Iterable[str] = (), memory: int = DEFAULT_MEMORY) -> list[Path]:
    """Builds the base images that load functions stored in databases. Returns the files that name them. Wasm's is left out where the
    package wasmtime is missing."""
    kinds: tuple[Kind, ...] = ("python", "native", "wasm") if wasm_is_there() else ("python", "native")
    return [
        _write("runtimes", f"{kind}.runtime", {"udfvm-runtime": _FORMAT, "base": _name_of(stored_base(kind, memory, packages))})
        for kind in kinds
    ]


def _name_of(image: Image) -> str:
    if image.path is None:
        raise Error("the image is not one of the cache")
    return image.path.name


def _write(folder: str, name: str, values: dict[str, object]) -> Path:
    path = cache_directory() / folder / name
    write_text(path, "".join(f"{key} {value}\n" for key, value in values.items()))
    return path


def udfs_of(path: Path) -> dict[str, UDF]:
    """The UDFs that a Python file defines, by name. The file is run as a module."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise Error(f"{path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    with _importable(path):
        sys.modules[path.stem] = module
        specification.loader.exec_module(module)
    found = (value for value in vars(module).values() if isinstance(value, UDF))
    return {udf.name: udf for udf in found}


@contextmanager
def _importable(path: Path) -> Iterator[None]:
    """Modules beside the file can be imported, as when Python runs it."""
    sys.path.insert(0, str(path.resolve().parent))
    try:
        yield
    finally:
        del sys.path[0]
