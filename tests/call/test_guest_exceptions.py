"""Exceptions of the function reach the caller with type, message, traceback and row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scalar_functions import fails_on_odd

import udfvm
from udfvm.images.hostfs import HostFS


def test_exceptions_carry_type_message_traceback_and_row() -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        fails_on_odd(7)
    error = caught.value
    assert error.guest_type.endswith("OddError")
    assert error.guest_message == "7 is odd"
    assert error.row is None
    assert (
        'raise OddError(f"{value} is odd")  # the line that the traceback shows'
        in error.guest_traceback
    )
    assert "in fails_on_odd" in error.guest_traceback
    assert "_udfvm" not in error.guest_traceback
    assert "agent.py" not in error.guest_traceback
    assert "UDF 'fails_on_odd'" in str(error)
    with pytest.raises(udfvm.UDFError, match="row 2") as caught:
        fails_on_odd(pa.array([0, None, 3, 5]))
    assert caught.value.row == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return f(x)", "RecursionError"),
        ("return len('x' * (1 << 40))", "MemoryError"),
        ("raise Exception('\\ud800' + 'x' * 1000000)", "Exception"),
        ("raise type('Bad', (Exception,), {'__str__': lambda self: 1 / 0})()", "Bad"),
        ("raise ValueError(1) from KeyError(2)", "ValueError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_any_exception_is_reported(body: str, expected: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def f(x):\n    {body}\n", scope)
    function = udfvm.udf(scope["f"], input_types=["int64"], output_type="int64")
    for argument in (1, np.array([1])):
        with pytest.raises(udfvm.UDFError) as caught:
            function(argument)
        assert caught.value.guest_type == expected
        assert expected in caught.value.guest_traceback
    assert len(str(caught.value)) < 1_000_000


def test_exceptions_while_loading() -> None:
    class Explosive:
        def __reduce__(self) -> tuple[Callable[[str], float], tuple[str]]:
            return float, ("boom",)

    bomb = Explosive()

    @udfvm.udf
    def function(x: int) -> int:
        return 0 if bomb else x

    with pytest.raises(udfvm.UDFError, match="could not convert string to float"):
        function(1)


def test_reports_read_nothing_of_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of the runtime are left out of tracebacks, and so is the reading of their lines."""

    @udfvm.udf
    def textual(x: int) -> int:
        return "x"  # type: ignore[return-value]

    @udfvm.table_function(columns={"x": "int64"})
    def textual_rows(x: int):  # type: ignore[no-untyped-def]
        yield ("x",)

    textual.prepare()
    textual_rows.prepare()
    opened: list[bytes] = []

    def refused(files: HostFS, path: bytes) -> Any:
        opened.append(path)
        raise FileNotFoundError

    monkeypatch.setattr(HostFS, "open", refused)
    for call in (lambda: textual(1), lambda: textual(pa.array([1])), lambda: list(textual_rows(1))):
        with pytest.raises(udfvm.UDFError, match="int"):
            call()
    assert opened == []
