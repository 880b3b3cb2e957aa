"""UDFs in WebAssembly: libwasmtime runs modules inside a micro-VM."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, Unpack

from udfvm.errors import SignatureError
from udfvm.functions.compiled import TABLE_ARROW, CompiledProgram
from udfvm.functions.forms import function_of
from udfvm.functions.given import function_list, host_functions_of
from udfvm.functions.options import ELSEWHERE, WasmOptions, parsed_options
from udfvm.functions.wasm_settings import (
    host_settings,
    link_settings,
    module_code,
    setting,
    wasi_settings,
)
from udfvm.keywords import checks_options
from udfvm.limits import Limits
from udfvm.load.compiled_code import MAX_CODE, refuse_other_language
from udfvm.texts import format_size

if TYPE_CHECKING:
    from udfvm.call.host_functions import HostFunctions
    from udfvm.codec.record_batches import BatchCodec
    from udfvm.functions.aggregate import AggregateFunction
    from udfvm.functions.scalar import ScalarFunction
    from udfvm.functions.table import TableFunction
    from udfvm.load.declaration import Declaration

_MEMORY: Final = "256MiB"
# The setting of guest/runtimes/wasm/settings.c that the function is declared a table function.
_YIELDS: Final = setting("", "y", "", b"")


@checks_options("udfvm.from_wasm", WasmOptions, elsewhere=ELSEWHERE)
def from_wasm(
    module: bytes | str | os.PathLike[str],
    function: str,
    *,
    signature: str | None = None,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    root: Mapping[str, bytes | str] | str | os.PathLike[str] | None = None,
    writable: bool = False,
    imports: Literal["refuse", "trap"] = "refuse",
    modules: Mapping[str, bytes | str | os.PathLike[str]] | None = None,
    **options: Unpack[WasmOptions],
) -> ScalarFunction | TableFunction | AggregateFunction:
    """Makes a function of a WebAssembly module a UDF. Needs ``pip install 'udfvm[wasm]'``.

    The host does not parse the module: wasmtime checks, compiles and runs it in a micro-VM.

    Args:
        module: the module as bytes; as text, ``"(module ...)"``; or the path of a file with either.
        function: one of these. An export that takes and returns numbers, or, with ``signature``,
            text and bytes. An aggregate, whose functions are the exports ``NAME_init``,
            ``NAME_step``, ``NAME_finish`` and so on. A table function, which passes its rows to
            the import ``udfvm.emit_NAME``. A function or aggregate of a component
            (``"function"``, ``"interface#function"``), whose lists and records are Arrow's lists
            and structs. A function of a module for arrow-udf, by its name or its signature
            (``"gcd(int32,int32)->int32"``). Or ``"_start"`` of a WASI command: a function from its
            standard input to its standard output.
        signature: types such as ``"(a: i32, b: f64) -> bool"``, where they differ from the
            module's; see ``udfvm.types.signature_text.parse_signature``. Of an aggregate, those
            of a row, and of the value of a group. The result of a table function is the type of a
            row: a struct, or the type of its one column. There, ``->>`` may stand for ``->``; of a
            component it must: a list that a function returns is its rows then. An integer or bool
            is passed as i32 or i64, and a float as f32 or f64, as the module has it. Text and bytes
            lie in the module's memory. An argument that does not fit is a TypeMappingError, a
            result that does not fit a UDFError with guest type OverflowError.
        args: arguments of a module for WASI, the program's name first. Default: the UDF's name
            alone.
        env: environment of a module for WASI.
        root: files that a module for WASI may read, below "/": contents by path, or a folder, whose
            files are copied now.
        writable: True if the module may write the files of ``root``, and make others beside them.
            They are in the micro-VM, and as they were in every call. It may always write in "/tmp".
        imports: what becomes of a function that the module imports and nothing provides. By default
            the module is refused. With "trap" it starts, and a call of such a function is an error.
        modules: other modules, as ``module`` is given, by the names that this one imports them
            under. A module may import those before it.
        options: ``name``, ``memory``, ``timeout``, ``max_output``, ``max_log``, ``log``,
            ``deterministic``, ``isolation``, ``pool``, ``host_functions``, ``host_calls``,
            ``build_timeout``, ``data``: as for ``udfvm.udf``. The module imports host functions by
            their names, and finds the files of ``data`` by WASI. It runs in ``memory`` (default:
            256 MiB), and its own memory grows there.

    Returns:
        The UDF: a TableFunction if the module's function yields rows, an AggregateFunction if it
        takes groups of rows, else a ScalarFunction. A call of it raises ``UDFError``, with
        wasmtime's message and the names of the functions, if the function traps.

    Raises:
        SignatureError: the module is not valid, or has no such function.
        CodeFileError: the file cannot be read; CodeFileNotFoundError if it does not exist.
        BuildError: the package wasmtime is missing.

    >>> area = udfvm.from_wasm('''(module
    ...     (func (export "area") (param f64 f64) (result f64)
    ...       local.get 0 local.get 1 f64.mul))''', "area")
    >>> area(3.0, 4.0)
    12.0
    """
    code = module_code(function, module)
    refuse_other_language(function, code, "wasm")
    name = options.get("name") or function
    settings = b"".join(
        (
            *wasi_settings(name, args, env or {}, root or {}, writable),
            *link_settings(name, imports, modules or {}),
            *((_YIELDS,) if TABLE_ARROW in (signature or "") else ()),
        )
    )
    if len(code) + len(settings) > MAX_CODE:
        size = len(code) + len(settings)
        raise SignatureError(
            f"UDF {name!r}: the module, with its files and modules, has {format_size(size)}, more"
            f" than {format_size(MAX_CODE)}: strip it"
        )
    parsed = parsed_options(function, {"memory": _MEMORY, **options}, Limits(files=False))
    if "host_functions" in options:
        options["host_functions"] = function_list(name, options["host_functions"])
    offered = host_functions_of(name, options.get("host_functions", ()))
    program = WasmProgram(code, function, settings, signature=signature).offering(offered)
    return function_of(program, name, parsed)


class WasmProgram(CompiledProgram):
    """A WebAssembly module.

    A table function in it yields rows: structs, whose fields are the columns, or values of one
    column, ``value``.
    """

    language = "wasm"
    options = WasmOptions

    def __init__(self, code: bytes, symbol: str, settings: bytes, *, signature: str | None) -> None:
        super().__init__(code, symbol, signature=signature)
        self.settings = settings
        self._given = settings  # the same without host functions

    def offering(self, host_functions: HostFunctions | None) -> WasmProgram:
        """Returns the program, which links its imports with host functions."""
        settings = self._given + host_settings(str(self.symbol), host_functions)
        if settings == self.settings:
            return self
        linked = WasmProgram(self.code, self.symbol, self._given, signature=self._signature)
        linked.settings = settings
        return linked

    def _load_settings(self, declaration: Declaration, codec: BatchCodec) -> bytes:
        return self.settings + setting(declaration.name, "b", "", codec.file_template())
