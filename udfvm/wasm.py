"""UDFs in WebAssembly: modules that libwasmtime runs inside a micro-VM."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from udfvm.compiled import CompiledUDF
from udfvm.errors import SignatureError
from udfvm.policy import DEFAULT_LOG, DEFAULT_TIMEOUT, Limits
from udfvm.pool import Pool
from udfvm.udf import UDF, Isolation

_MEMORY: Final = "256MiB"
_LARGEST: Final = 48 << 20                       # bytes of a module: it travels through the input window


def from_wasm(
    module: bytes | str | os.PathLike[str],
    function: str,
    *,
    signature: str | None = None,
    name: str | None = None,
    memory: int | str = _MEMORY,
    timeout: float | None = DEFAULT_TIMEOUT,
    max_output: int | str | None = None,
    max_log: int | str = DEFAULT_LOG,
    deterministic: bool = False,
    isolation: Isolation = "statement",
    pool: Pool | None = None,
) -> UDF:
    """A function of a WebAssembly module as a UDF. The host does not look into the module: wasmtime checks, compiles and runs it in a
    micro-VM. Needs ``pip install 'udfvm[wasm]'``.

    Args:
        module: the module as bytes; as text, ``"(module ...)"``; or the path of a file with either.
        function: an export that takes and returns numbers.
        signature: such as ``"(a: i32, b: f64) -> bool"``, where the types are to be others than those of the module; see
            ``udfvm.compiled.parse_signature``. An integer or bool is passed as i32 or i64, a float as f32 or f64, as the module has it;
            one that does not fit is an OverflowError.
        memory: guest memory, from which the module's memory grows, and in which it is compiled: raise it for modules of many MiB.
        name, timeout, max_output, max_log, deterministic, isolation, pool: as for ``udfvm.udf``.

    Raises SignatureError where the module is not valid, or has no such function; BuildError where the package wasmtime is missing. A call
    raises ``UDFError`` where the function trapped, with wasmtime's message and the names of the functions.

    >>> area = udfvm.from_wasm('''(module
    ...     (func (export "area") (param f64 f64) (result f64) local.get 0 local.get 1 f64.mul))''', "area")
    >>> area(3.0, 4.0)
    12.0
    """
    code = _code(module)
    if len(code) > _LARGEST:
        raise SignatureError(f"UDF {function!r}: the module has {len(code)} bytes, more than {_LARGEST}: strip it")
    try:
        limits = Limits.parse(
            memory=memory, timeout=timeout, max_output=max_output, max_log=max_log, files=False, deterministic=deterministic
        )
    except (TypeError, ValueError) as error:
        raise SignatureError(f"UDF {function!r}: {error}") from error
    return CompiledUDF("wasm", code, function, signature=signature, name=name, limits=limits, isolation=isolation, pool=pool)


def _code(module: bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(module, bytes | bytearray | memoryview):
        return bytes(module)
    if isinstance(module, str) and module.lstrip().startswith(("(", ";;")):
        return module.encode()
    return Path(module).read_bytes()
