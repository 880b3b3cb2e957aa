"""Functions and runtimes that the image cache keeps under names, for programs without Python: the
``sqlite3`` shell with the extension loaded.

``functions/NAME.udf`` and ``runtimes/LANGUAGE.runtime`` are small texts, lines of a key and a
value. ``src/sql/sealed.c`` reads them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from udfvm.backend import refuse_in_process
from udfvm.call.pool import Pool
from udfvm.errors import SealError, TypeMappingError
from udfvm.functions.function import Function
from udfvm.functions.integration import declaration_of, encoded_defaults
from udfvm.images.cache import cached_bytes
from udfvm.images.cache_files import cache_directory, write_text
from udfvm.limits import DEFAULT_MEMORY
from udfvm.sqlite._extension import Form
from udfvm.sqlite._functions import kind_of
from udfvm.sqlite.policy import LanguageName, stored_base, wasm_is_there
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import JSON, RowType, Type
from udfvm.vmm import Image

NOTE_FORMAT: Final = 5
_MAX_DEFAULTS: Final = 4096  # bytes of all defaults of a function: the capacity in sealed.c
_TYPES: Final = {
    RowType.INT64: "int",
    RowType.FLOAT64: "double",
    RowType.TEXT: "text",
    RowType.BLOB: "blob",
    RowType.BOOL: "bool",
}
_NAME: Final = re.compile(r"(?!vm_)[A-Za-z_][A-Za-z0-9_]{0,62}", re.IGNORECASE)


_BITS: Final = 64  # of the mask of parameters that are floats of 32 bits


def signature_text(udf: Function) -> str:
    """Returns a UDF's signature in the language of ``vm_create``.

    Raises TypeMappingError for a type that SQL does not have.

    >>> @udfvm.udf
    ... def score(dep_delay: float, distance: float | None) -> float: ...
    >>> signature_text(score)
    '(dep_delay double, distance double?) -> double'
    """
    parameters = ", ".join(
        f"{each.name} {_type(udf, each.type)}{'?' if each.nullable else ''}"
        for each in udf.parameters
    )
    return f"({parameters}) -> {_type(udf, udf.result.type)}"


def _type(udf: Function, declared: Type) -> str:
    if declared.row is None or declared.row not in _TYPES:
        raise TypeMappingError(
            f"UDF {udf.name!r}: SQLite has no type for {declared}; use int, float, bool, str or"
            " bytes"
        )
    return JSON.name if declared == JSON or declared.is_nested else _TYPES[declared.row]


def seal(
    udf: Function, *, namespace: str = "", source: Path | None = None, replace: bool = False
) -> tuple[str, bool]:
    """Builds a UDF's image and stores its name in the cache. ``namespace`` and an underscore
    precede the name.

    ``source`` is the file that the UDF comes from. A UDF of another file is replaced only with
    ``replace``. Returns the name, and True if one of that name was replaced. Raises SealError for a
    name that SQL functions cannot have or that another file has, and what building an image raises.
    """
    return entry_of(udf, namespace=namespace, source=source, replace=replace).store()


class Entry(NamedTuple):
    """What the cache will keep of a sealed function, in the file ``path``."""

    name: str
    path: Path
    note: dict[str, object]
    replaces: bool

    def store(self) -> tuple[str, bool]:
        """Writes the file. Returns the name, and True if the file was there."""
        write_note(self.path, self.note)
        return self.name, self.replaces


def entry_of(
    udf: Function, *, namespace: str = "", source: Path | None = None, replace: bool = False
) -> Entry:
    """Builds a UDF's image. Returns what :func:`seal` stores. Raises what it raises."""
    name = sealed_name(udf, namespace)
    path = cache_directory() / "functions" / f"{name}.udf"
    before = _source_of(path)
    present = str(source.resolve()) if source else ""
    if before is not None and before != present and not replace:
        raise SealError(
            f"{name!r} was sealed from {before or 'another file'} before: pass --replace to"
            " replace it, or --namespace to give this one another name"
        )
    note = {**sealed_note(udf, name), "source": present}
    return Entry(name, path, note, before is not None)


def sealed_name(udf: Function, namespace: str) -> str:
    """Returns the name in SQL. Raises SealError if SQL functions cannot have it."""
    if udf.is_variadic:
        raise SealError(
            f"UDF {udf.name!r}: {udf.parameters[-1].name} takes any number of arguments, and a"
            " sealed function has a fixed number: write a parameter for each"
        )
    name = f"{namespace}_{udf.name}" if namespace else udf.name
    columns = declaration_of(udf).columns
    names = [name, *(each.name for each in udf.parameters), *(each.name for each in columns)]
    if not all(map(_NAME.fullmatch, names)):
        raise SealError(
            f"UDF {name!r}: names of sealed functions, parameters and columns are of ASCII letters,"
            " digits and _, at most 63"
        )
    return name


def sealed_note(udf: Function, name: str) -> dict[str, object]:
    """Returns what programs without Python need to know of a UDF. Builds its image.

    Raises SealError for a function that calls host functions or has data files.
    """
    refuse_in_process(f"sealing UDF {udf.name!r}", "its image is a micro-VM's")
    if udf.host_functions:
        raise SealError(
            f"UDF {udf.name!r}: it calls host functions, so it cannot be sealed: programs that load"
            " it do not have them"
        )
    if udf.data is not None:
        raise SealError(
            f"UDF {udf.name!r}: it has data files, so it cannot be sealed: programs that load it"
            " do not map them. Register it from Python, or read what is small into a global"
        )
    declaration = declaration_of(udf)
    columns = ", ".join(f"{each.name} {_type(udf, each.type)}" for each in declaration.columns)
    signature = signature_text(udf)
    layer = udf.image
    return {
        "udfvm-function": NOTE_FORMAT,
        "name": name,
        "language": udf.language,
        "signature": signature,
        "base": _name_of(layer.base),
        "layer": _name_of(layer),
        "form": int(Form[udf.form.upper()]),
        "inverse": int(declaration.has_inverse),
        "whole": int(udf.form in ("scalar", "vectorized") and not udf.elementwise),
        "columns": f"({columns}) -> int",
        "defaults": _defaults(udf),
        "singles": sum(
            1 << index
            for index, each in enumerate(udf.parameters)
            if each.type.name == "float" and index < _BITS
        ),
        "kinds": "".join(str(int(kind_of(each.type))) for each in udf.parameters),
        "isolation": udf.isolation,
        "deterministic": int(udf.limits.deterministic),
        "timeout_ns": udf.limits.timeout_ns,
        "max_output": udf.limits.max_output,
        "max_log": udf.limits.max_log,
    }


def _defaults(udf: Function) -> str:
    """Returns the defaults of the parameters in hexadecimal; "-" for a parameter without one."""
    defaults = encoded_defaults(udf)
    if sum(len(default or b"") for default in defaults) > _MAX_DEFAULTS:
        raise SealError(
            f"UDF {udf.name!r}: the defaults of its parameters have more than {_MAX_DEFAULTS}"
            " bytes, the limit of a sealed function"
        )
    return " ".join("-" if default is None else default.hex() for default in defaults)


def _source_of(path: Path) -> str | None:
    """Returns the file that a sealed function comes from; "" if its note does not have it, None if
    there is no such function.
    """
    note = cached_bytes(path)
    if note is None:
        return None
    lines = note.decode("utf-8", "replace").splitlines()
    return next(
        (line.removeprefix("source ").strip() for line in lines if line.startswith("source")), ""
    )


def prepare(packages: Iterable[str] = (), memory: int = DEFAULT_MEMORY) -> list[Path]:
    """Builds the base images that load functions stored in databases. Returns the files that name
    them.

    WebAssembly is left out if the package wasmtime is missing.
    """
    languages: tuple[LanguageName, ...] = (
        ("python", "native", "wasm") if wasm_is_there() else ("python", "native")
    )
    return [
        write_note(
            cache_directory() / "runtimes" / f"{language}.runtime",
            {"udfvm-runtime": NOTE_FORMAT, "base": _name_of(base)},
        )
        for language in languages
        for base in [stored_base(language, memory, packages, Pool.default())]
    ]


def _name_of(image: Image | None) -> str:
    if image is None or image.path is None:
        raise SealError("the image is not in the image cache any more: seal the function again")
    return image.path.name


def write_note(path: Path, values: Mapping[str, object]) -> Path:
    """Writes lines of a key and a value. Returns the path."""
    write_text(path, "".join(f"{key} {value}\n" for key, value in values.items()))
    return path


def udfs_of(path: Path) -> dict[str, Function]:
    """Runs a Python file as a module. Returns the UDFs that it defines, by name."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise SealError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    with _importable(path):
        sys.modules[path.stem] = module
        specification.loader.exec_module(module)
    found = (value for value in vars(module).values() if isinstance(value, Function))
    return {udf.name: udf for udf in found}


@contextmanager
def _importable(path: Path) -> Iterator[None]:
    """Makes modules beside the file importable, as when Python runs it."""
    sys.path.insert(0, str(path.resolve().parent))
    try:
        yield
    finally:
        del sys.path[0]
