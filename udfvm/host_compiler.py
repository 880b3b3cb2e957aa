"""Runs the host's C compiler for ``udfvm.from_c``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from udfvm.errors import BuildError

_FLAGS: Final = ("-O3", "-g", "-Wall", "-shared", "-fPIC", "-fno-omit-frame-pointer")
_LANGUAGE: Final = "-x"


def compile_shared_object(
    source: str,
    made: Path,
    *,
    name: str,
    compiler: Sequence[str],
    flags: Sequence[str],
    include: str,
    timeout: float | None,
) -> None:
    """Compiles source text to the shared object ``made``. ``name`` is the UDF's, for errors.

    ``flags`` follow the source, where the linker wants libraries and objects. Paths in them are
    relative to the present directory. Raises BuildError, with what the compiler said.
    """
    language, others = _split_language(name, compiler, flags)
    command = [
        *language.compiler, *_FLAGS, "-I", include, f"-fdebug-prefix-map={os.getcwd()}=.",
        _LANGUAGE, language.name, "-", _LANGUAGE, "none", *others, "-o", str(made),
    ]  # fmt: skip
    try:
        with _started(command) as process:
            said = process.communicate(source, timeout)[1]
    except subprocess.TimeoutExpired as error:
        message = f"UDF {name!r}: the compiler did not end within {timeout:g} s: raise build_timeout="
        raise BuildError(message) from error
    except OSError as error:
        message = f"UDF {name!r}: the compiler {command[0]} does not start: {error}"
        raise BuildError(message) from error
    if process.returncode:
        raise BuildError(f"UDF {name!r} does not compile", said)


class _Language:
    """A compiler's command without its language, and the language of the source."""

    def __init__(self, compiler: list[str], name: str) -> None:
        self.compiler = compiler
        self.name = name


def _split_language(
    name: str, compiler: Sequence[str], flags: Sequence[str]
) -> tuple[_Language, list[str]]:
    """``-x LANGUAGE`` of either list is the source's, and must not be that of objects in the flags."""
    chosen = "c"
    rest: list[list[str]] = []
    for words in (compiler, flags):
        if isinstance(words, str):
            raise BuildError(f"UDF {name!r}: compiler= and flags= are lists of words, not {words!r}")
        kept = list(words)
        while _LANGUAGE in kept:
            at = kept.index(_LANGUAGE)
            chosen = kept[at + 1] if at + 1 < len(kept) else chosen
            del kept[at : at + 2]
        rest.append(kept)
    if not rest[0]:
        raise BuildError(f"UDF {name!r}: compiler= is empty")
    return _Language(rest[0], chosen), rest[1]


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The compiler, with the processes that it starts. None outlives the block."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
