"""What is said of a file of functions that fails when it is imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def failure(files: Iterable[Path], error: Exception) -> str:
    """Returns which of the files failed, in which line, and why; of several, the one that is named
    first.

    >>> failure([Path("mine.py")], SyntaxError("invalid syntax", ("mine.py", 2, 1, "def f(:")))
    'mine.py fails at line 2: SyntaxError: invalid syntax'
    >>> failure([Path("mine.py")], ValueError("odd"))
    'mine.py fails: ValueError: odd'
    """
    named = list(files)
    for file in named:
        if lines := _lines(file, error):
            return f"{file} fails at line {lines[0]}: {_summary(error)}"
    return f"{', '.join(map(str, named))} fails: {_summary(error)}"


def _lines(file: Path, error: Exception) -> list[int | None]:
    """The lines of a file that led to its error, the outermost first."""
    path = file.resolve()
    lines: list[int | None] = []
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == path:
        lines.append(error.lineno)
    frames = error.__traceback__
    while frames:
        if Path(frames.tb_frame.f_code.co_filename).resolve() == path:
            lines.append(frames.tb_lineno)
        frames = frames.tb_next
    return lines


def _summary(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}"
