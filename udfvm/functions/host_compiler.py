"""Runs the host's C compiler for ``udfvm.from_c``."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from udfvm.checks import shown
from udfvm.errors import BuildError, OptionError
from udfvm.functions.source_language import LANGUAGES, Compiler, compiler_for
from udfvm.guest_text import visible

_FLAGS: Final = ("-O3", "-g", "-Wall", "-shared", "-fPIC", "-fno-omit-frame-pointer")
_SUFFIXES: Final = (".c", ".h", ".cc", ".cpp", ".cxx", ".hpp")  # of files with sources
# Bytes kept of a compiler's output. With the mark they are less than guest_text.MAX_LENGTH.
_MAX_HEAD: Final = 40 << 10
_MAX_TAIL: Final = 20 << 10
_POLL_SECONDS: Final = 0.05  # between two checks whether the compiler has ended


def compile_shared_object(
    source: str,
    made: Path,
    *,
    name: str,
    language: str | None,
    compiler: Sequence[str] | None,
    flags: Sequence[str],
    include: str,
    timeout: float | None,
) -> None:
    """Compiles source text to the shared object ``made``. ``name`` is the UDF's name in errors.

    ``flags`` follow the source: the linker wants libraries and objects there. Paths in them are
    relative to the current directory. Raises BuildError, with what the compiler wrote.
    """
    if not isinstance(source, str) or (source.endswith(_SUFFIXES) and "\n" not in source):
        advice = (
            ": read the file, as by pathlib.Path(...).read_text()"
            if isinstance(source, (str, os.PathLike))
            else ""
        )
        raise OptionError(
            f"UDF {name!r}: source= must be the text of a source; got {shown(source)}{advice}"
        )
    try:
        text = source.encode()
    except UnicodeEncodeError as error:
        raise BuildError(f"UDF {name!r}: its source is not valid Unicode: {error}") from error
    compilation = _Compilation(name, text, made, include, timeout)
    used = compiler_for(name, source, language, compiler, flags)
    try:
        compilation.run(used)
    except BuildError as error:
        if not used.guessed:
            raise
        try:
            compilation.run(used.for_cpp())
        except BuildError:
            raise error from None


class _Compilation:
    """Compiles a source, in one language or another, within one time."""

    def __init__(
        self, name: str, text: bytes, made: Path, include: str, timeout: float | None
    ) -> None:
        self._name, self._text, self._made, self._include = name, text, made, include
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def run(self, used: Compiler) -> None:
        """Raises BuildError."""
        command = [
            *used.command, *_FLAGS, "-I", self._include, f"-fdebug-prefix-map={os.getcwd()}=.",
            "-x", used.language, "-", "-x", "none", *used.flags, "-o", str(self._made),
        ]  # fmt: skip
        name = self._name
        try:
            with _started(command) as process:
                output = _output_of(process, self._text, self._deadline)
        except subprocess.TimeoutExpired as error:
            raise BuildError(
                f"UDF {name!r}: the compiler did not end within {self._timeout:g} s: raise"
                " build_timeout="
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            raise BuildError(f"UDF {name!r}: {_not_started(used, error)}") from error
        if process.returncode:
            raise BuildError(f"UDF {name!r} {_failed(used, process.returncode)}", output)
        if not self._made.is_file() or self._made.is_symlink():
            raise BuildError(
                f"UDF {name!r}: the compiler {command[0]} succeeded but made no shared object:"
                " check flags=",
                output,
            )


def _failed(used: Compiler, code: int) -> str:
    how = "" if code > 0 else f" (signal {-code} ended the compiler)"
    language = LANGUAGES.get(used.language, used.language)
    other = ", nor as C++, whose errors language='c++' shows" if used.guessed else ""
    return f"does not compile as {language}{other}{how}"


def _not_started(compiler: Compiler, error: Exception) -> str:
    program = compiler.command[0]
    if not compiler.chosen or not isinstance(error, FileNotFoundError):
        return f"the compiler {program} does not start: {error}"
    language = LANGUAGES.get(compiler.language, compiler.language)
    return (
        f"its source is {language}, and this machine has no {program}, which compiles that: install"
        f" it (apt-get install {program}), or name another compiler by compiler="
    )


class _Excerpt:
    """A compiler's output, shortened to its head and tail."""

    def __init__(self) -> None:
        self.head, self.tail, self.length = b"", b"", 0

    def add(self, data: bytes) -> None:
        capacity = _MAX_HEAD - len(self.head)
        self.head += data[:capacity]
        self.tail = (self.tail + data[capacity:])[-_MAX_TAIL:]
        self.length += len(data)

    def text(self) -> str:
        left_out = self.length - len(self.head) - len(self.tail)
        mark = f"\n[... {left_out} bytes of {self.length} are left out ...]\n" if left_out else ""
        return visible(self.head + mark.encode() + self.tail)


def _output_of(process: subprocess.Popen[bytes], source: bytes, deadline: float | None) -> str:
    """Writes the source and reads the compiler's output until it ends. Raises TimeoutExpired.

    ``deadline``: a time of ``time.monotonic()``.
    """
    assert process.stdin is not None
    assert process.stderr is not None
    output, left = _Excerpt(), memoryview(source)
    with selectors.DefaultSelector() as selector:
        for file, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stderr, selectors.EVENT_READ),
        ):
            os.set_blocking(file.fileno(), False)
            selector.register(file, event)
        while True:
            # A process that it started may keep its standard error open for ever.
            ended = _has_ended(process)
            ready = selector.select(0 if ended else _POLL_SECONDS)
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    left = left[_write(process.stdin.fileno(), left) :]
                    if not left:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                elif data := os.read(key.fd, 1 << 16):
                    output.add(data)
                else:
                    selector.unregister(key.fileobj)
            if ended and not ready:
                return output.text()
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(process.args, 0)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # the program ignores SIGCHLD: the status is lost
        process.wait()
        return True


def _write(descriptor: int, data: memoryview) -> int:
    """Writes to the pipe. Returns the bytes written; all of them if nobody reads it."""
    try:
        return os.write(descriptor, data) if data else 0
    except BrokenPipeError:
        return len(data)
    except BlockingIOError:
        return 0


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the compiler. Neither it nor a process that it starts outlives the block."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        bufsize=0, start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            # Nobody has waited for it, so its process id, the group's, is still its own.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
