"""WebAssembly modules before they are functions: what is in them."""

from __future__ import annotations

import os

from udfvm.call.pool import Pool, pool_of
from udfvm.functions.contents import Export, contents_of
from udfvm.functions.wasm_settings import module_code

__all__ = ["Export", "exports"]


def exports(
    module: bytes | str | os.PathLike[str],
    *,
    memory: int | str = "256MiB",
    pool: Pool | None = None,
) -> list[Export]:
    """Returns the functions of a module, of a component, or of a shared object or executable.

    A micro-VM reads the code. An executable runs there until it serves.

    Args:
        module: as for ``udfvm.from_wasm``, or as for ``udfvm.from_elf``.
        memory: the micro-VM's memory, in which a module is compiled.
        pool: the pool that the micro-VM comes from.

    Raises:
        SignatureError: the code is not valid.
        CodeFileError: the file cannot be read; CodeFileNotFoundError if it does not exist.
        BuildError: the package wasmtime is missing, or an executable ends before it serves.

    >>> module = '(module (func (export "area") (param f64 f64) (result f64) unreachable))'
    >>> [(each.name, each.signature) for each in udfvm.wasm.exports(module)]
    [('area', '(a0: f64, a1: f64) -> f64')]
    """
    label = "the module" if isinstance(module, bytes | bytearray | memoryview) else str(module)
    if label.lstrip().startswith(("(", ";;")):
        label = "the module"
    code = module_code(None, module)
    return list(contents_of(code, label, memory=memory, pool=pool_of(label, pool)).exports)


def __dir__() -> list[str]:
    return sorted(__all__)
