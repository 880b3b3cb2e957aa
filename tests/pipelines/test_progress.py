"""What pipelines show of how far they are."""

from __future__ import annotations

import io
import sys
import types

import pyarrow as pa
import pytest

import udfvm
import udfvm.pipelines.progress

TABLE = pa.table({"x": [1, 2, 0, 4]})

pytestmark = pytest.mark.filterwarnings("ignore::udfvm.FailedRowsWarning")


@udfvm.udf
def inverse(x: int) -> float:
    return 1 / x


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_function_is_told() -> None:
    told: list[udfvm.Progress] = []
    inverse.map(TABLE, progress=told.append, on_error="null")
    last = told[-1]
    assert (last.rows, last.total, last.batches, last.failed) == (4, 4, 1, 1)
    assert last.rate == last.rows / last.seconds
    told.clear()
    inverse.map(TABLE.to_reader(), progress=told.append, on_error="null")
    assert told[-1].total is None


def test_an_exception_of_that_function_ends_the_pipeline() -> None:
    called = []

    def stop(progress: udfvm.Progress) -> None:
        called.append(progress)
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        inverse.map(TABLE, progress=stop, on_error="null")
    assert len(called) == 1


def test_a_function_that_was_interrupted_is_not_called_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be what Ctrl-C was for."""
    monkeypatch.setattr(udfvm.pipelines.progress, "_INTERVAL", 0.0)
    called = []

    def stop(progress: udfvm.Progress) -> None:
        called.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inverse.map(TABLE, progress=stop, on_error="null")
    assert len(called) == 1


@pytest.mark.parametrize("progress", [None, True, False])
def test_what_is_no_terminal_stays_silent(
    progress: bool | None, capfd: pytest.CaptureFixture[str]
) -> None:
    inverse.map(TABLE, progress=progress, on_error="null")
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    inverse.map(TABLE, on_error="null")
    shown = terminal.getvalue()
    assert "inverse" in shown and "4 rows" in shown and "1 failed" in shown
    inverse.map(TABLE, progress=False, on_error="null")
    assert terminal.getvalue() == shown


def test_a_notebook_shows_the_bar_of_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[types.SimpleNamespace] = []

    class Bar(types.SimpleNamespace):
        n = 0

        def __init__(self, **options: object) -> None:
            super().__init__(**options, closed=False)
            bars.append(self)

        def set_postfix_str(self, text: str, refresh: bool) -> None:
            self.postfix = text

        def update(self, count: int) -> None:
            self.n += count

        def close(self) -> None:
            self.closed = True

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "ipywidgets", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tqdm.notebook", types.SimpleNamespace(tqdm=Bar))
    inverse.map(TABLE, on_error="null")
    (bar,) = bars
    assert (bar.n, bar.total, bar.desc, bar.closed) == (4, 4, "inverse", True)
    assert bar.postfix.endswith("1 failed")


def test_a_notebook_without_widgets_shows_a_bar_of_html(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            shown.append(data)

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        assert raw and display_id
        shown.append(data)
        return Handle()

    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(udfvm.pipelines.progress, "_INTERVAL", 0.0)
    inverse.map(TABLE, on_error="null")
    assert len(shown) > 1
    assert shown[-1]["text/plain"].startswith("inverse: 4 of 4 rows, ")
    assert '<progress max="4" value="4">' in shown[-1]["text/html"]
    inverse.map(TABLE.to_reader(), on_error="null")
    assert shown[-1]["text/plain"].startswith("inverse: 4 rows, ")
