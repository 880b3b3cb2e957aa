"""What ``explain`` says of calls: each advice where it fits, and none where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import udfvm
from udfvm.functions.explaining import _advice


@udfvm.udf
def explained(x: float) -> float:
    return x / 2


@udfvm.udf
def explained_text(text: str) -> str:
    return text.lower()


@udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
def explained_batch(x: np.ndarray) -> np.ndarray:
    return x / 2


def advice_of(function: udfvm.Function, **changed: object) -> str:
    """The advice for a report of a usual call, with other values."""
    report = function.last_call
    assert report is not None
    times = {"host": 1e-6, "copy": 4e-7, "guest": 3e-5, "restore": 5e-6}
    usual = replace(report, **{f"{phase}_seconds": each for phase, each in times.items()})
    return "; ".join(_advice(function, replace(usual, **changed), 25e-6))  # type: ignore[arg-type]


def test_a_function_that_was_not_called() -> None:
    explanation = explained.with_options(name="uncalled").explain()
    assert explanation.last_call is None and explanation.exit_seconds > 0
    assert explanation.advice == ("call the function first: the explanation is of its last call",)


def test_costs_of_the_last_call() -> None:
    assert explained(3.0) == 1.5
    explanation = explained.explain()
    assert explanation.last_call == explained.last_call
    parts = [name for name, _ in explanation.costs]
    assert parts == ["kind", "exit", "last call", "host", "copy", "guest", "restore", "memory"]
    lines = str(explanation).splitlines()
    assert lines[0] == "what a call of explained costs"
    assert len(lines) == 1 + len(parts) + len(explanation.advice)
    assert "<table>" in explanation._repr_html_()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"number": 30}, "pass columns"),
        ({"rows": 5000, "number": 2}, "vectorized=True"),
        ({"rows": 50, "exchanges": 50, "exits": 50}, "vm_map"),
        ({"host_calls": 3}, "3 calls of host functions"),
        ({"number": 1, "host_seconds": 1.0}, "udfvm.Pool.warm()"),
        ({"guest_seconds": 0.01}, "the function's own"),
        ({"restore_seconds": 0.1, "pages_restored": 2000}, "small blocks"),
        ({"printed_bytes": 5, "exits": 2}, "print less"),
        ({"is_jailed": True}, "jailed"),
    ],
)
def test_advice(changed: dict[str, object], expected: str) -> None:
    explained(3.0)
    assert expected in advice_of(explained, **changed)
    assert expected not in advice_of(explained, number=2)


def test_advice_on_imports() -> None:
    @udfvm.udf(name="explained_late")
    def slow(x: float) -> float:
        import time

        time.sleep(0.01)
        return x

    slow(1.0)
    assert "pass sample=" in slow.explain().advice[-1]
    for _ in range(1000):  # a call may be long where others have the processor
        explained(1.0)
        if "pass sample=" not in "".join(explained.explain().advice):
            return
    pytest.fail("each call was long")


def test_advice_on_kinds_of_functions() -> None:
    explained_text("A")
    assert "arguments of text" in advice_of(explained_text)
    explained_batch(np.arange(2000.0))
    assert "elementwise=True" in advice_of(explained_batch)
    rows = explained.with_options(isolation="row", name="explained_rows")
    rows(1.0)
    assert 'isolation="row"' in advice_of(rows, rows=9, exchanges=9, exits=9)
