"""Errors as notebooks show them: one screen, the user's own lines first, nothing of udfvm itself.

IPython asks an exception for ``_render_traceback_``. Frames in the micro-VM come as text, which the
guest wrote: it is shown, and never evaluated.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from udfvm.static_typing import TYPE_CHECKING, Any, Final
from udfvm.texts import counted

if TYPE_CHECKING:
    from types import TracebackType

MAX_LINES: Final = 40  # of all that is shown of the micro-VM
MAX_WIDTH: Final = 100  # characters of a line of advice
ADVICE: Final = "udfvm: "  # which guest/runtimes/python/_udfvm_advice.py begins lines with
_PACKAGE: Final = str(Path(__file__).parent) + "/"
_SHELLS: Final = ("IPython", "ipykernel")  # what runs a cell
_FRAME: Final = re.compile(r'  File "([^"]*)", line (\d+)(?:, in (.*))?')
_MORE: Final = "  ... "  # begins a line about lines that are left out
_OF_UDF: Final = re.compile(r"(?:^|: )UDF '[^'\n]+'(?:, row \d+(?: of [^:\n]+)?)?: ")
_HEAD: Final = "Traceback (most recent call last):"


def traceback_lines(error: BaseException) -> list[str]:
    """Returns the lines that a notebook shows of an error: its type and what it says, the frames in
    the micro-VM, and those of the program down to the call. Frames of libraries are folded.

    >>> traceback_lines(ValueError("too much"))
    ['ValueError: too much']
    """
    says, _, guest = str(error).partition("\n" + _HEAD + "\n")
    lines = [f"{type(error).__name__}: {says}"]
    guest, advice = without_advice(guest)
    if guest:
        lines += ["", "In the micro-VM:", *_cut(_folded(_guest_frames(guest)))]
    if advice:
        lines += ["", *textwrap.wrap(advice, MAX_WIDTH)]
    called = list(_folded(_host_frames(error.__traceback__)))
    if not all(line.startswith(_MORE) for line in called):
        lines += ["", "Called from:", *called]
    if error.__cause__ is not None and str(error.__cause__) not in str(error):
        lines += ["", "Because of:"]
        lines += ["  " + line if line else line for line in traceback_lines(error.__cause__)]
    return lines


def without_advice(guest: str) -> tuple[str, str]:
    """Returns the traceback of a guest, and the advice that its last line gives; it is empty if
    there is none.

    >>> without_advice("KeyError: 'HOME'\\nudfvm: a micro-VM has no environment variables")
    ("KeyError: 'HOME'", 'a micro-VM has no environment variables')
    """
    rest, _, last = guest.rstrip("\n").rpartition("\n")
    advice = last.removeprefix(ADVICE)
    return (guest, "") if advice == last else (rest, advice)


def is_of_udf(text: str) -> bool:
    """Whether the text of an error is that of an error of udfvm, or what an engine made of one.

    >>> is_of_udf("Invalid Input Error: UDFError: UDF 'f', row 3: ValueError: odd")
    True
    >>> is_of_udf("the UDF 'f' is slow")
    False
    """
    return _OF_UDF.search(text.partition(_HEAD)[0]) is not None


def whole_traceback_lines(error: BaseException) -> list[str]:
    """Returns the lines of an error with all frames, as Python prints them."""
    import traceback as standard

    return "".join(standard.format_exception(error)).splitlines()


def drop_own_frames(error: BaseException) -> None:
    """Takes the frames of udfvm out of the tracebacks of errors that an error came of."""
    seen = {id(error)}
    waiting = [error.__cause__, error.__context__]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _without_own_frames(each.__traceback__)
        waiting += [each.__cause__, each.__context__]


def _without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    from types import TracebackType

    places: list[TracebackType] = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            places.append(traceback)
        traceback = traceback.tb_next
    made: TracebackType | None = None
    for each in reversed(places):
        made = TracebackType(made, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return made


def _guest_frames(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the file and the lines of each frame in a traceback as Python prints it. The last line
    names the error once more, and is left out.
    """
    file, lines = "", list[str]()
    for line in text.rstrip("\n").split("\n"):
        frame = _FRAME.fullmatch(line)
        if frame is None and line.startswith("  "):
            lines.append(line)
            continue
        if lines:
            yield file, lines
        file, lines = "", []
        if frame is not None:
            file, number, name = frame.groups()
            lines = [_place(file, int(number), name)]
        elif not line.startswith(" ") and ":" not in line:
            lines = [line]  # such as what stands between an error and its cause
    if lines:
        yield file, lines


def _host_frames(traceback: TracebackType | None) -> Iterator[tuple[str, list[str]]]:
    import traceback as standard

    for frame in standard.extract_tb(traceback):
        own = frame.filename.startswith(_PACKAGE) or "run_cell_magic(" in (frame.line or "")
        if not own and library_of(frame.filename) not in _SHELLS:
            place = _place(frame.filename, frame.lineno or 0, frame.name)
            yield frame.filename, [place, *([f"    {frame.line}"] if frame.line else [])]


def place_of(file: str, line: int) -> str:
    """Returns where a line is: in a cell by its number, in another file by its path.

    >>> place_of("/home/me/functions.py", 3)
    'File "/home/me/functions.py", line 3'
    """
    return (_cell(file) or f'File "{file}"') + f", line {line}"


def _place(file: str, line: int, name: str | None) -> str:
    inside = f", in {name}" if name and name != "<module>" else ""
    return f"  {place_of(file, line)}{inside}"


def _cell(file: str) -> str | None:
    """Returns what IPython calls the cell with this file name; None for other files."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    named = shell.compile.format_code_name(file) if shell is not None else None
    return None if named is None else " ".join(named)


def _folded(frames: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    """Yields the lines of frames, and one line for adjacent frames of a library."""
    count, library = 0, ""
    for file, lines in (*frames, ("", [])):
        owner = library_of(file)
        if count and owner != library:
            yield f"{_MORE}{counted(count, 'frame')} of {library}"
            count = 0
        library = owner
        if owner:
            count += 1
        else:
            yield from lines


def library_of(file: str) -> str:
    """Returns the name of the library that a file is of; empty for the user's own files.

    >>> library_of("<frozen os>"), library_of("/home/me/functions.py")
    ('Python', '')
    """
    if file.startswith("<frozen "):
        return "Python"
    paths = sysconfig.get_paths()
    for scheme in ("platlib", "purelib"):
        if file.startswith(folder := paths[scheme] + "/"):
            return file.removeprefix(folder).split("/")[0].removesuffix(".py")
    if any(file.startswith(paths[scheme] + "/") for scheme in ("stdlib", "platstdlib")):
        return "Python"
    return ""


def _cut(lines: Iterable[str]) -> list[str]:
    """Returns the first and the last of many lines."""
    shown = list(lines)
    left_out = len(shown) - MAX_LINES
    if left_out <= 0:
        return shown
    half = MAX_LINES // 2
    return [*shown[:half], f"  ... {counted(left_out, 'line')}", *shown[-half:]]
