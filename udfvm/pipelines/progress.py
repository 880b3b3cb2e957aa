"""How far a pipeline is: shown on a terminal or in a notebook, or told to a function."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol

from udfvm.checks import shown
from udfvm.errors import CallError, OptionError, TypeMappingError
from udfvm.texts import counted
from udfvm.tuples import NamedTuple

_INTERVAL: Final = 0.1  # seconds between two changes of what is shown


class Progress(NamedTuple):
    """How far a pipeline is.

    Attributes:
        rows: rows of the input that are done.
        total: rows of the input; None if that is not known.
        batches: batches that are done.
        failed: rows that failed.
        seconds: time since the pipeline began.
        failure: the error of the first row that failed; None if none did.

    >>> Progress(rows=500, total=1000, batches=2, failed=0, seconds=0.5).rate
    1000.0
    """

    rows: int
    total: int | None
    batches: int
    failed: int
    seconds: float
    failure: CallError | TypeMappingError | None = None

    @property
    def rate(self) -> float:
        """Rows a second.

        >>> Progress(100, None, 1, 0, 0.0).rate
        0.0
        """
        return self.rows / self.seconds if self.seconds else 0.0


class FailedRowsWarning(UserWarning):
    """Rows of ``map`` failed, and are null or left out, as ``on_error=`` says.

    It comes once, at the end, with the first error.

    >>> import warnings
    >>> import pyarrow as pa
    >>> @udfvm.udf
    ... def inverse(x: int) -> float:
    ...     return 1 / x
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     made = inverse.map(pa.table({"x": [1, 0]}), on_error="skip")
    >>> print(caught[0].message)
    UDF 'inverse': 1 of 2 rows failed and were left out; the first: UDF 'inverse', row 1: ...
    """


class Display(Protocol):
    """What shows progress."""

    def show(self, progress: Progress) -> object:
        """Shows how far the pipeline is."""

    def close(self) -> object:
        """The pipeline has ended."""


class Counter:
    """Counts what is done, and has it shown a few times a second."""

    def __init__(self, function: str, display: Display | None, total: int | None) -> None:
        self._function = function
        self._display = display
        self._total = total
        self._started = self._shown = time.monotonic()
        self.rows = self.batches = self.failed = 0
        self.failure: CallError | TypeMappingError | None = None

    def add(
        self, rows: int, failed: int, failure: CallError | TypeMappingError | None = None
    ) -> None:
        """Counts a batch. ``failure`` is that of its first row that failed."""
        self.rows += rows
        self.failed += failed
        self.failure = self.failure or failure
        self.batches += 1
        self.look()

    def look(self) -> None:
        """Has the progress shown, if it was not just now."""
        if time.monotonic() - self._shown >= _INTERVAL:
            self._show()

    def progress(self) -> Progress:
        """Returns how far it is."""
        seconds = time.monotonic() - self._started
        return Progress(self.rows, self._total, self.batches, self.failed, seconds, self.failure)

    def warn(self, became: str) -> None:
        """Warns at the end of rows that failed, and says what became of them."""
        if not self.failed:
            return
        first = str(self.failure).partition("\n")[0]
        warnings.warn(
            f"UDF {self._function!r}: {self.failed:,} of {counted(self.rows, 'row')} failed and"
            f" {became}; the first: {first}",
            FailedRowsWarning,
            stacklevel=_frames_of_package() + 1,
        )

    def close(self) -> None:
        """Shows how far it came."""
        self._show()
        if self._display is not None:
            self._display.close()

    def _show(self) -> None:
        display = self._display
        if display is None:
            return
        self._shown = time.monotonic()
        try:
            display.show(self.progress())
        except BaseException:
            self._display = None  # what failed, or was interrupted, is not called again
            display.close()
            raise


def _frames_of_package() -> int:
    """Returns how many frames of this package called this function, one within the other."""
    frame: FrameType | None = sys._getframe(1)
    count = 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("udfvm."):
        frame, count = frame.f_back, count + 1
    return count


class _Callback:
    """A function of the caller."""

    def __init__(self, function: Callable[[Progress], object]) -> None:
        self.show = function

    def close(self) -> None:
        pass


class _Bar:
    """A bar of rich, on standard error."""

    def __init__(self, title: str) -> None:
        from rich import progress as rich_progress
        from rich.console import Console

        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TextColumn("{task.completed:,.0f} rows, {task.fields[detail]}"),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._bar.add_task(title, total=None, detail="")
        self._bar.start()

    def show(self, progress: Progress) -> None:
        self._bar.update(
            self._task, completed=progress.rows, total=progress.total, detail=detail(progress)
        )
        self._bar.refresh()

    def close(self) -> None:
        self._bar.stop()


class _NotebookBar:
    """A bar of tqdm, in a notebook. It is made when it is shown: its total cannot change."""

    def __init__(self, title: str, make: Callable[..., Any]) -> None:
        self._title = title
        self._make = make
        self._bar: Any = None

    def show(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = self._make(
                desc=self._title, total=progress.total, unit=" rows", unit_scale=True
            )
        self._bar.set_postfix_str(detail(progress), refresh=False)
        self._bar.update(progress.rows - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _DisplayedBar:
    """A bar in a notebook that has no widgets: IPython shows it, and shows it anew."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        from html import escape

        from IPython.display import display

        total = "" if progress.total is None else f" of {progress.total:,}"
        text = f"{self._title}: {progress.rows:,}{total} rows, {detail(progress)}"
        known = f' max="{progress.total}" value="{progress.rows}"' if progress.total else ""
        html = f"<progress{known}></progress> {escape(text)}"
        shown_now = {"text/plain": text, "text/html": html}
        if self._handle is None:
            self._handle = display(shown_now, raw=True, display_id=True)
        else:
            self._handle.update(shown_now, raw=True)

    def close(self) -> None:
        pass


def detail(progress: Progress) -> str:
    """Returns what is shown beside the rows.

    >>> detail(Progress(5000, None, 3, 1, 2.0))
    '3 batches, 2,500 rows/s, 1 failed'
    """
    text = f"{progress.batches:,} batches, {progress.rate:,.0f} rows/s"
    return text + (f", {progress.failed:,} failed" if progress.failed else "")


def display_of(progress: object, title: str) -> Display | None:
    """Returns what shows progress.

    Args:
        progress: None for a bar where standard error is a terminal, and in notebooks; True for the
            same; False for nothing; or a function that takes a ``Progress``.
        title: what the bar is called.

    Raises OptionError.
    """
    if progress is None or progress is True:
        if _in_notebook():
            return _notebook_bar(title)
        return _Bar(title) if sys.stderr is not None and sys.stderr.isatty() else None
    if progress is False:
        return None
    if callable(progress):
        return _Callback(progress)
    raise OptionError(
        f"UDF {title!r}: progress={shown(progress)} must be None, True, False or a function that"
        " takes a Progress"
    )


def _in_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def _notebook_bar(title: str) -> Display:
    try:
        import ipywidgets  # noqa: F401 - without it tqdm fails when a bar is made
        from tqdm.notebook import tqdm
    except ImportError:
        return _DisplayedBar(title)
    return _NotebookBar(title, tqdm)
