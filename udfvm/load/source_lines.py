"""The lines of source files that travel with functions, for the tracebacks of guests: those of
their code, and no others of the file.
"""

from __future__ import annotations

import linecache
import types

from udfvm.static_typing import Final

_NO_LINES: Final = range(0)


class SourceLines:
    """Collects lines of files.

    >>> def double(x):
    ...     return 2 * x
    >>> lines_of(double.__code__)
    range(1, 3)
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[range]] = {}

    def note(self, code: types.CodeType) -> None:
        """Keeps the lines of code, with that of what is defined in it."""
        self._kept.setdefault(code.co_filename, []).append(lines_of(code))

    def texts(self) -> dict[str, str]:
        """Returns the text of each file, in which lines that were not kept are empty."""
        return {name: text for name in self._kept if (text := self._text(name))}

    def _text(self, filename: str) -> str:
        kept = {number for lines in self._kept[filename] for number in lines}
        last = max(kept, default=0)
        return "".join(
            line if number in kept else "\n"
            for number, line in enumerate(linecache.getlines(filename)[:last], 1)
        )


def lines_of(code: types.CodeType) -> range:
    """Returns the numbers of the lines of code, from its first decorator on.

    >>> lines_of(compile("1", "<text>", "eval"))
    range(1, 2)
    """
    ends = [end for _, end, _, _ in code.co_positions() if end is not None]
    ends += [line for _, _, line in code.co_lines() if line is not None]
    inner = (lines_of(each) for each in code.co_consts if isinstance(each, types.CodeType))
    ends += [lines[-1] for lines in inner if lines]
    return range(code.co_firstlineno, max(ends) + 1) if ends else _NO_LINES
