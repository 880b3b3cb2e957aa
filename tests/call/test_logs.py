"""``udfvm.log_calls``: a record for each call."""

from __future__ import annotations

import logging

import pytest

import udfvm


@udfvm.udf
def logged(x: float) -> float:
    return 12.0 / x


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Those of calls: at this level, images and VMs have some, too."""
    return [each for each in caplog.records if each.name == "udfvm" and hasattr(each, "report")]


def test_calls_that_return_and_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "udfvm"), udfvm.log_calls():
        assert logged(3.0) == 4.0
        with pytest.raises(udfvm.UDFError):
            logged(0.0)
    logged(4.0)
    returned, failed = (each.getMessage() for each in records(caplog))
    assert returned.startswith("logged: 1 row, 1 exit, returned after ")
    assert failed.startswith("logged: 1 row, ") and ", UDFError, ended after " in failed
    reports = [vars(each)["report"] for each in records(caplog)]
    assert [each.ending for each in reports] == ["returned", "UDFError"]
    assert {each.levelno for each in records(caplog)} == {logging.DEBUG}


def test_a_level_that_nobody_wants_makes_no_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "udfvm"), udfvm.log_calls():
        logged(3.0)
    assert not caplog.records
    with caplog.at_level(logging.INFO, "udfvm"), udfvm.log_calls(logging.INFO):
        logged(3.0)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("level", ["DEBUG", None, True, 10.0])
def test_other_levels_are_refused(level: object) -> None:
    with pytest.raises(udfvm.OptionError, match=r"log_calls: level=.* is not a number"):
        udfvm.log_calls(level)  # type: ignore[arg-type]
