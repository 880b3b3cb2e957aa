"""UDFs in WebAssembly: modules that libwasmtime runs inside a micro-VM."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from udfvm.call.output import Log
from udfvm.call.pool import Pool
from udfvm.errors import SignatureError
from udfvm.functions.compiled import CompiledUDF, describe, parse_signature
from udfvm.functions.function import UDF, Isolation
from udfvm.functions.keywords import checks_options
from udfvm.functions.table import Column, TableFunction
from udfvm.limits import DEFAULT_BUILD_TIMEOUT, DEFAULT_LOG, DEFAULT_TIMEOUT, Limits
from udfvm.load.code_files import LARGEST, read_code
from udfvm.types.arrow_types import JSON, Kind, ResultType, named
from udfvm.types.nested import take_apart

if TYPE_CHECKING:
    from udfvm.codec.arrow_ipc import BatchCodec
    from udfvm.types.signatures import Signature

_MEMORY: Final = "256MiB"
# in the name of an export of modules for arrow-udf, which alone have table functions
_ARROW_UDF: Final = b"ARROWUDF_VERSION_"
_TABLE_ARROW: Final = "->>"  # as they write it
_SETTING: Final = struct.Struct("<BII")  # struct setting of guest/runtimes/wasm/settings.c


@checks_options
def from_wasm(
    module: bytes | str | os.PathLike[str],
    function: str,
    *,
    signature: str | None = None,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    files: Mapping[str, bytes | str] | str | os.PathLike[str] | None = None,
    name: str | None = None,
    memory: int | str = _MEMORY,
    timeout: float | None = DEFAULT_TIMEOUT,
    max_output: int | str | None = None,
    max_log: int | str = DEFAULT_LOG,
    log: Log = "forward",
    deterministic: bool = False,
    isolation: Isolation = "statement",
    pool: Pool | None = None,
    build_timeout: float | None = DEFAULT_BUILD_TIMEOUT,
) -> UDF:
    """A function of a WebAssembly module as a UDF. The host does not look into the module: wasmtime
    checks, compiles and runs it in a micro-VM. Needs ``pip install 'udfvm[wasm]'``.

    Args:
        module: the module as bytes; as text, ``"(module ...)"``; or the path of a file with either.
        function: an export that takes and returns numbers; or one of a component (``"function"``,
            ``"interface#function"``), whose lists and records are Arrow's lists and structs; or a
            function of a module for arrow-udf, by its name or its signature
            (``"gcd(int32,int32)->int32"``); or ``"_start"`` of a WASI command, which is a function
            from its standard input to its standard output.
        signature: such as ``"(a: i32, b: f64) -> bool"``, where the types are to be others than
            those of the module; see ``udfvm.functions.compiled.parse_signature``. That of a table
            function has the type of a row, a struct or that of its one column, and may have ``->>``
            for ``->``. An integer or bool is passed as i32 or i64, a float as f32 or f64, as the
            module has it; one that does not fit is an OverflowError.
        args, env: arguments (the program's name first) and environment of a module for WASI.
        files: files that a module for WASI may read, below "/": contents by path, or a folder,
            whose files are copied now.
        memory: guest memory, from which the module's memory grows, and in which it is compiled:
            raise it for modules of many MiB.
        name, timeout, max_output, max_log, log, deterministic, isolation, pool, build_timeout: as
            for ``udfvm.udf``.

    Raises SignatureError where the module is not valid, or has no such function; BuildError where
    the package wasmtime is missing. A call raises ``UDFError`` where the function trapped, with
    wasmtime's message and the names of the functions.

    >>> area = udfvm.from_wasm('''(module
    ...     (func (export "area") (param f64 f64) (result f64)
    ...       local.get 0 local.get 1 f64.mul))''', "area")
    >>> area(3.0, 4.0)
    12.0
    """
    code = _code(module)
    settings = b"".join(_settings(function, args, env or {}, files or {}))
    if len(code) + len(settings) > LARGEST:
        size = len(code) + len(settings)
        raise SignatureError(
            f"UDF {function!r}: the module with its files has {size} bytes, more than {LARGEST}:"
            " strip it"
        )
    limits = Limits.of(
        function,
        memory=memory,
        timeout=timeout,
        max_output=max_output,
        max_log=max_log,
        log=log,
        files=False,
        deterministic=deterministic,
        build_timeout=build_timeout,
    )
    kind: type[WasmUDF] = WasmUDF
    if _yields_rows(code, function, settings, signature, name or function, limits, pool):
        kind = WasmTableFunction
    signature = signature and signature.replace(_TABLE_ARROW, "->")
    return kind(
        "wasm",
        code,
        function,
        settings=settings,
        signature=signature,
        name=name,
        limits=limits,
        isolation=isolation,
        pool=pool,
    )


def _yields_rows(
    code: bytes,
    function: str,
    settings: bytes,
    signature: str | None,
    name: str,
    limits: Limits,
    pool: Pool | None,
) -> bool:
    """Whether the module says that it is a table function. Where types are declared, only a module
    that may have some is asked: that takes compiling it. Raises SignatureError where the signature
    says so, and the module does not.
    """
    declared = (
        None if signature is None else parse_signature(name, signature.replace(_TABLE_ARROW, "->"))
    )
    asks = declared is None or _ARROW_UDF in code
    table = (
        asks
        and describe(
            "wasm", code, function, settings, name=name, limits=limits, pool=pool, declared=declared
        ).table
    )
    if signature is not None and _TABLE_ARROW in signature and not table:
        raise SignatureError(
            f"UDF {name!r}: signature={signature!r} is that of a table function, and {function!r}"
            " is none in the module: use ->"
        )
    return table


class WasmUDF(CompiledUDF):
    """A function in a WebAssembly module."""

    def _load_settings(self, codec: BatchCodec) -> bytes:
        return self.settings + _setting(self.name, "b", "", codec.file_template())


class WasmTableFunction(WasmUDF, TableFunction):
    """A function in a WebAssembly module that yields rows: structs, whose fields are its columns,
    or values of one column, ``value``. What is a list or struct in a column is JSON.
    """

    def _declare(
        self,
        signature: Signature,
        limits: Limits,
        isolation: Isolation,
        pool: Pool | None,
        host_functions: tuple[Callable[..., Any], ...] = (),
    ) -> None:
        from udfvm.codec.column_batches import row_type

        self.columns = _columns(self.name, signature.result)
        for column in self.columns:
            row_type(self.name, f"column {column.name!r}", column.type)
        for parameter in signature.parameters:
            if not parameter.type.is_nested:  # those are JSON
                row_type(self.name, f"parameter {parameter.name!r}", parameter.type)
        super()._declare(signature, limits, isolation, pool, host_functions)

    def _messages(self, codec: BatchCodec) -> tuple[bytes, ...]:
        return ()


def _columns(name: str, result: ResultType) -> tuple[Column, ...]:
    if result.type.kind is not Kind.STRUCT:
        return (Column("value", JSON if result.type.is_nested else result.type, result.nullable),)
    fields = take_apart(result.type.name)
    types = {field.name: named(field.type) for field in fields.fields} if fields else {}
    if len({column.lower() for column in types}) < len(types):
        raise SignatureError(
            f"UDF {name!r}: two of its columns {', '.join(types)} have one name (case does not"
            " count in SQL)"
        )
    return tuple(
        Column(column, JSON if type_.is_nested else type_, True) for column, type_ in types.items()
    )


def _code(module: bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(module, bytes | bytearray | memoryview):
        return bytes(module)
    if isinstance(module, str) and (not module.strip() or module.lstrip().startswith(("(", ";;"))):
        return module.strip().encode()
    return read_code(module)


def _settings(
    function: str,
    args: Sequence[str],
    env: Mapping[str, str],
    files: Mapping[str, bytes | str] | str | os.PathLike[str],
) -> Iterator[bytes]:
    if isinstance(args, str):
        raise SignatureError(f"UDF {function!r}: args= must be a list of texts, such as [{args!r}]")
    for argument in args:
        yield _setting(function, "a", argument, b"")
    for variable, value in env.items():
        if not variable or "=" in variable:
            raise SignatureError(
                f"UDF {function!r}: env= has {variable!r}, which is not the name of a variable"
            )
        yield _setting(function, "e", variable, value)
    for path, content in files.items() if isinstance(files, Mapping) else _files_of(Path(files)):
        parts = PurePosixPath(path.lstrip("/")).parts
        if not parts or ".." in parts:
            raise SignatureError(
                f"UDF {function!r}: files= has {path!r}, which is not the path of a file below /"
            )
        yield _setting(function, "f", "/".join(parts), content)


def _setting(function: str, kind: str, first: str, second: str | bytes) -> bytes:
    texts = (first.encode(), second.encode() if isinstance(second, str) else bytes(second))
    if b"\0" in texts[0] or (kind == "e" and b"\0" in texts[1]):
        raise SignatureError(f"UDF {function!r}: {first!r} has a NUL character")
    return _SETTING.pack(ord(kind), *map(len, texts)) + texts[0] + texts[1]


def _files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Regular files below a folder. Symbolic links are left out: they may lead elsewhere."""
    for root, _, names in os.walk(folder, onerror=_raise):
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path.read_bytes()


def _raise(error: OSError) -> None:
    raise error
