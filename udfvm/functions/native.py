"""UDFs in C, and in any language that makes shared objects or executables for Linux on x86-64."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from udfvm.checks import check_switch, options_of
from udfvm.errors import OptionError
from udfvm.functions.compiled import NativeProgram
from udfvm.functions.environment import environment
from udfvm.functions.forms import function_of
from udfvm.functions.host_compiler import compile_shared_object
from udfvm.functions.options import ELSEWHERE, NativeOptions, parsed_options
from udfvm.installation import get_include
from udfvm.keywords import checks_options
from udfvm.load.compiled_code import read_code, refuse_other_language
from udfvm.texts import counted, format_size

if TYPE_CHECKING:
    from udfvm.functions.aggregate import AggregateFunction
    from udfvm.functions.scalar import ScalarFunction
    from udfvm.functions.table import TableFunction

_MEMORY: Final = "128MiB"  # unless memory= says otherwise
# An executable's initial stack has room for so many variables, and for bytes of them.
_MAX_VARIABLES: Final = 32
_MAX_ENVIRONMENT: Final = 16 << 10


@checks_options("udfvm.from_elf", NativeOptions, elsewhere=ELSEWHERE)
def from_elf(
    path: bytes | str | os.PathLike[str],
    function: str,
    *,
    signature: str | None = None,
    elementwise: bool = False,
    env: Mapping[str, str] | None = None,
    **options: Unpack[NativeOptions],
) -> ScalarFunction | TableFunction | AggregateFunction:
    """Makes a function of a shared object or executable a UDF.

    The host only copies the file: a micro-VM loads it. An executable runs in the micro-VM once,
    until its ``main`` calls ``udfvm_serve`` of ``udfvm.h``. Every call finds the state that it has
    then.

    Args:
        path: the shared object or executable; or its content as bytes. The libraries that it is
            linked with must be in the system's library folders.
        function: the name of a function that the file defines with ``UDFVM_SCALAR``,
            ``UDFVM_VECTOR``, ``UDFVM_AGGREGATE`` or ``UDFVM_TABLE`` of ``udfvm.h``. Or any function
            of plain C types, from any language, that a shared object exports or that an executable
            has a symbol for: then pass ``signature``.
        signature: types such as ``"(a: f64, b: i64?) -> f64"``; see
            ``udfvm.types.signature_text.parse_signature``. A plain function takes numbers and bool
            as themselves, and text and blob as two arguments (pointer, length). It takes no nulls,
            and returns a number or bool.
        elementwise: True if each row of the result of a ``UDFVM_VECTOR`` depends on the same row of
            the arguments alone, so that large batches may be cut. Others always do.
        env: environment variables, which the code finds when it is loaded, and an executable from
            its start: at most 32, with 16 KiB together.
        options: ``name``, ``memory`` (default: 128 MiB), ``timeout``, ``max_output``, ``max_log``,
            ``log``, ``files``, ``deterministic``, ``isolation``, ``pool``, ``host_functions``,
            ``host_calls``, ``build_timeout``, ``data``: as for ``udfvm.udf``. The function calls
            host functions by ``udfvm_call_host`` of ``udfvm.h``.

    Returns:
        The UDF: an AggregateFunction for ``UDFVM_AGGREGATE``, a TableFunction for ``UDFVM_TABLE``,
        else a ScalarFunction. A call of it raises ``UDFError`` if the function calls
        ``udfvm_fail``, and ``GuestCrashError``, with registers and a backtrace, if it crashes.

    Raises:
        SignatureError: the file has no such function, has it with another signature, or cannot be
            loaded.
        CodeFileError: the file cannot be read; CodeFileNotFoundError if it does not exist.
        BuildError: an executable ends before it calls ``udfvm_serve``.

    >>> import pathlib, subprocess, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> source = "double half(double x) { return x / 2; }"
    >>> made = subprocess.run(
    ...     ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / "half.so"],
    ...     input=source, text=True, check=True,
    ... )
    >>> half = udfvm.from_elf(folder / "half.so", "half", signature="(x: f64) -> f64")
    >>> half(3.0)
    1.5
    """
    parsed = _parsed(function, options)
    if isinstance(path, bytes | bytearray | memoryview):
        code = bytes(path)
    else:
        code = read_code(function, path)
    refuse_other_language(function, code, "native")
    return _from_code(code, function, signature, elementwise, env, parsed)


@checks_options("udfvm.from_c", NativeOptions, elsewhere=ELSEWHERE)
def from_c(
    source: str,
    function: str,
    *,
    signature: str | None = None,
    language: Literal["c", "c++"] | None = None,
    compiler: Sequence[str] | None = None,
    flags: Sequence[str] = (),
    elementwise: bool = False,
    env: Mapping[str, str] | None = None,
    **options: Unpack[NativeOptions],
) -> ScalarFunction | TableFunction | AggregateFunction:
    """Compiles C or C++ source text **on the host** and makes a function of it a UDF.

    The compiler runs in a temporary folder, with your rights: pass only source that you would give
    to your compiler. For objects that others compiled use ``from_elf``.

    Args:
        source: the text; ``#include <udfvm.h>`` works.
        function: as for ``from_elf``.
        signature: as for ``from_elf``.
        language: ``"c"`` or ``"c++"``. By default that of the compiler, or else of the source: what
            can only be C++, such as ``#include <vector>``, is C++.
        compiler: the compiler's command, for example ``("clang", "-std=gnu17")``. By default
            ``("gcc", "-std=gnu17")``, and for C++ ``("g++", "-std=gnu++20")``.
        flags: more arguments for the compiler, such as ``["-lz", "helper.o"]``. They follow udfvm's
            own (``-O3 -g``) and the source. Paths in them are relative to the current directory.
        elementwise: as for ``from_elf``.
        env: as for ``from_elf``.
        options: as for ``from_elf``.

    Returns:
        The UDF, as ``from_elf`` does.

    Raises:
        BuildError: the source does not compile, and the error has what the compiler wrote; or there
            is no compiler.
        SignatureError: as for ``from_elf``.

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
            language=language,
            compiler=compiler,
            flags=flags,
            include=get_include(),
            timeout=parsed["limits"].build_timeout_ns / 1e9 or None,
        )
        code = read_code(function, made)
    return _from_code(code, function, signature, elementwise, env, parsed)


def _parsed(function: str, options: NativeOptions) -> dict[str, Any]:
    return parsed_options(function, {"memory": _MEMORY, **options})


def _from_code(
    code: bytes,
    function: str,
    signature: str | None,
    elementwise: object,
    env: Mapping[str, str] | None,
    options: dict[str, Any],
) -> ScalarFunction | TableFunction | AggregateFunction:
    variables = [f"{name}={value}\0".encode() for name, value in environment(function, env or {})]
    size = sum(map(len, variables))
    if len(variables) > _MAX_VARIABLES or size > _MAX_ENVIRONMENT:
        raise OptionError(
            f"UDF {function!r}: env= has {counted(len(variables), 'variable')} with"
            f" {format_size(size)}, more than {_MAX_VARIABLES}, or than"
            f" {format_size(_MAX_ENVIRONMENT)}: pass data as arguments"
        )
    with options_of(f"UDF {function!r}"):
        cut = check_switch("elementwise", elementwise)
    program = NativeProgram(
        code,
        function,
        signature=signature,
        elementwise=cut,
        environment=b"".join(variables),
    )
    return function_of(program, function, options)
