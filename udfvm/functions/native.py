"""UDFs in C and in whatever else makes shared objects or executables for Linux on x86-64."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Unpack

from udfvm.functions.compiled import NativeProgram
from udfvm.functions.host_compiler import compile_shared_object
from udfvm.functions.options import NativeOptions, parsed_options
from udfvm.functions.scalar import ScalarFunction
from udfvm.installation import get_include
from udfvm.keywords import checks_options_of
from udfvm.load.compiled_code import read_code

_MEMORY: Final = "64MiB"  # unless memory= says otherwise


@checks_options_of(NativeOptions)
def from_elf(
    path: str | os.PathLike[str],
    function: str,
    *,
    signature: str | None = None,
    **options: Unpack[NativeOptions],
) -> ScalarFunction:
    """A function of a shared object or executable as a UDF. The host only copies the file: a
    micro-VM loads it. An executable runs there, once, until its ``main`` calls ``udfvm_serve`` of
    ``udfvm.h``; every call finds the state that it has then.

    Args:
        path: the object or executable. What it is linked with must be in the system's library
            folders.
        function: a function that it defines with ``UDFVM_SCALAR`` or ``UDFVM_VECTOR`` of
            ``udfvm.h``; or any function of plain C types, from any language, that a shared object
            exports or an executable has a symbol for: then pass ``signature``.
        signature: such as ``"(a: f64, b: i64?) -> f64"``; see
            ``udfvm.types.signature_text.parse_signature``. A plain function takes numbers and
            bool as themselves, text and blob as two arguments (pointer, length), no nulls, and
            returns a number or bool.
        options: ``name``, ``memory`` (64 MiB if not given), ``timeout``, ``max_output``,
            ``max_log``, ``log``, ``files``, ``deterministic``, ``isolation``, ``pool``,
            ``host_functions``, ``host_calls``, ``build_timeout``: as for ``udfvm.udf``. The
            function calls host functions by ``udfvm_call_host`` of ``udfvm.h``.

    Raises SignatureError where the object has no such function, or of another signature, or where
    it cannot be loaded; BuildError where an executable ends before it serves. A call raises
    ``UDFError`` where the function called ``udfvm_fail``, and ``GuestCrashError`` with registers
    and a backtrace where it crashed.
    """
    return _from_file(Path(path), function, signature, _parsed(function, options))


@checks_options_of(NativeOptions)
def from_c(
    source: str,
    function: str,
    *,
    signature: str | None = None,
    compiler: Sequence[str] = ("gcc", "-std=gnu17"),
    flags: Sequence[str] = (),
    **options: Unpack[NativeOptions],
) -> ScalarFunction:
    """A function in C source text as a UDF. It is compiled **on the host**, in a temporary folder:
    pass source only that you would give to your compiler. Objects that others compiled go to
    ``from_elf``.

    Args:
        source: the text; ``#include <udfvm.h>`` works.
        compiler: its command, for example ``("g++", "-std=gnu++20", "-x", "c++")``.
        flags: more words of its command, such as ``["-lz", "helper.o"]``; they follow ours (``-O3
            -g``) and the source. Paths in them are relative to the present directory.

    The others are those of ``from_elf``. Raises BuildError with what the compiler wrote.

    >>> score = udfvm.from_c('''
    ...     #include <udfvm.h>
    ...     UDFVM_SCALAR(score, optional_f64, (f64, dep_delay), (f64, distance))
    ...     {
    ...         return distance == 0 ? udfvm_null_f64()
    ...                              : udfvm_some_f64(dep_delay / distance * 100);
    ...     }
    ... ''', "score")
    >>> score(12.0, 300.0), score(1.0, 0.0)
    (4.0, None)
    """
    parsed = _parsed(function, options)
    with tempfile.TemporaryDirectory(prefix="udfvm-") as folder:
        made = Path(folder) / "udf.so"
        compile_shared_object(
            source,
            made,
            name=function,
            compiler=compiler,
            flags=flags,
            include=get_include(),
            timeout=parsed["limits"].build_timeout_ns / 1e9 or None,
        )
        return _from_file(made, function, signature, parsed)


def _parsed(function: str, options: NativeOptions) -> dict[str, Any]:
    return parsed_options(function, {"memory": _MEMORY, **options})


def _from_file(
    path: Path, function: str, signature: str | None, options: dict[str, Any]
) -> ScalarFunction:
    return ScalarFunction(NativeProgram(read_code(path), function, signature=signature), **options)
