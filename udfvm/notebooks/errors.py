"""What a cell shows where it fails by an error of another library that a function caused, such as
one of SQL, and where a cell of ``%%udf`` fails by itself.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, Final

from udfvm.errors import Error, shows_whole_errors
from udfvm.tracebacks import is_of_udf, traceback_lines

_MAGICS: Final = str(Path(__file__).with_name("magics.py"))
_CELL: Final = "_udfvm_cell"  # marks an error of syntax in a cell, whose frames tell nothing
_PLAIN: Final = "udfvm.sqlite._plain"  # functions of connections that load no extensions


class ShownErrors:
    """Has a shell show such errors as those of udfvm are shown."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._before: tuple[Any, Any] | None = None
        self._show_any: Any = None  # what the shell does with errors by itself
        self._shown = ""  # the last text of this cell

    def begin(self) -> None:
        """From now on, unless the program has the shell do something else with errors."""
        if not self._shell.custom_exceptions:
            self._before = self._shell.custom_exceptions, self._shell.CustomTB
            self._shell.set_custom_exc((Exception,), _show)
        self._show_any = self._shell.showtraceback
        self._shell.showtraceback = self._showtraceback
        self._shell.events.register("pre_run_cell", self._forget)
        self._shell.events.register("post_run_cell", self._tell_rest)

    def end(self) -> None:
        """Shows errors as before."""
        if self._before is not None:
            self._shell.custom_exceptions, self._shell.CustomTB = self._before
            self._before = None
        self._shell.showtraceback = self._show_any
        self._shell.events.unregister("pre_run_cell", self._forget)
        self._shell.events.unregister("post_run_cell", self._tell_rest)

    def _showtraceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> None:
        """In the place of the shell's method, which also shows what the value of a cell fails by
        while it is made text: a query of DuckDB runs only then, and once for each format.
        """
        error = sys.exc_info()[1] if exc_tuple is None else exc_tuple[1]
        if isinstance(error, Exception) and self._of_udf(error):
            text = str(error)
            if text == self._shown:
                return
            self._shown = text
        self._show_any(exc_tuple, *arguments, **options)

    def _of_udf(self, error: Exception) -> bool:
        """Whether an error of another library is of a function. Such has its text from now on."""
        plain: Any = sys.modules.get(_PLAIN)
        if plain is not None:
            plain.explain_last(error)
        if isinstance(error, Error) or not is_of_udf(str(error)):
            return False
        if not shows_whole_errors():
            lines: Any = functools.partial(traceback_lines, error)
            error._render_traceback_ = lines  # type: ignore[attr-defined]
        return True

    def _forget(self, _: Any = None) -> None:
        self._shown = ""
        plain: Any = sys.modules.get(_PLAIN)
        if plain is not None:
            plain.untold_failure()

    def _tell_rest(self, _: Any = None) -> None:
        """Tells why SQL failed where a magic told it in the words of ``sqlite3``, which are those
        of every function.
        """
        plain: Any = sys.modules.get(_PLAIN)
        failure = plain.untold_failure() if plain is not None else None
        if isinstance(failure, Error):
            print("\n".join(failure._render_traceback_()), file=sys.stderr)


def of_cell(error: SyntaxError) -> SyntaxError:
    """Returns an error of syntax that is the cell's own."""
    setattr(error, _CELL, True)
    return error


def _show(shell: Any, class_: Any, error: Exception, frames: Any, tb_offset: Any = None) -> None:
    if isinstance(error, SyntaxError) and hasattr(error, _CELL):
        shell.showsyntaxerror()
        return
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
