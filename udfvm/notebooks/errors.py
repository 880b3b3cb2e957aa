"""What a cell shows where it fails by an error of another library that a function caused, such as
one of SQL, and where a cell of ``%%udf`` fails by itself.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Final

from udfvm.errors import Error, shows_whole_errors
from udfvm.tracebacks import has_guest_traceback, traceback_lines

_MAGICS: Final = str(Path(__file__).with_name("magics.py"))
_CELL: Final = "_udfvm_cell"  # marks an error of syntax in a cell, whose frames tell nothing


class ShownErrors:
    """Has a shell show such errors as those of udfvm are shown."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._before: tuple[Any, Any] | None = None

    def begin(self) -> None:
        """From now on, unless the program has the shell do something else with errors."""
        if not self._shell.custom_exceptions:
            self._before = self._shell.custom_exceptions, self._shell.CustomTB
            self._shell.set_custom_exc((Exception,), _show)

    def end(self) -> None:
        """Shows errors as before."""
        if self._before is not None:
            self._shell.custom_exceptions, self._shell.CustomTB = self._before
            self._before = None


def of_cell(error: SyntaxError) -> SyntaxError:
    """Returns an error of syntax that is the cell's own."""
    setattr(error, _CELL, True)
    return error


def _show(shell: Any, class_: Any, error: Exception, frames: Any, tb_offset: Any = None) -> None:
    if isinstance(error, SyntaxError) and hasattr(error, _CELL):
        shell.showsyntaxerror()
        return
    foreign = not isinstance(error, Error) and has_guest_traceback(str(error))
    if foreign and not shows_whole_errors():
        lines: Any = functools.partial(traceback_lines, error)
        error._render_traceback_ = lines  # type: ignore[attr-defined]
    inner = _within_magic(frames)
    offset = tb_offset if inner is frames else 0
    shell.showtraceback((class_, error, inner), tb_offset=offset)


def _within_magic(frames: Any) -> Any:
    """Returns the frames of a cell that a magic of udfvm runs; those of other cells as they are."""
    found, each = frames, frames
    while each is not None:
        is_magic = each.tb_frame.f_code.co_filename == _MAGICS
        found = each.tb_next if is_magic and each.tb_next is not None else found
        each = each.tb_next
    return found
