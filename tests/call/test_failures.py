"""Calls that end badly have an exception of their own kind."""

from __future__ import annotations

import numpy as np
import pytest
from scalar_functions import score

import udfvm


def test_timeouts() -> None:
    @udfvm.udf(timeout=0.2)
    def endless(n: int) -> int:
        while n:
            pass
        return 0

    assert endless(0) == 0
    for argument in (1, np.array([0, 1])):
        with pytest.raises(udfvm.CallTimeoutError, match=r"'endless'.*timeout="):
            endless(argument)
    assert endless(0) == 0


def test_printing_is_harmless_and_limited() -> None:
    @udfvm.udf(max_log=100_000, log="strict")
    def chatty(n: int) -> int:
        print("x" * n, end="")
        return n

    assert chatty(1000) == 1000
    with pytest.raises(udfvm.LogLimitError, match="max_log="):
        chatty(1_000_000)
    assert chatty(10) == 10


def test_a_function_that_ends_the_guest() -> None:
    @udfvm.udf
    def leaves(status: int) -> int:
        import os

        os._exit(status)

    with pytest.raises(udfvm.GuestExitError) as caught:
        leaves(3)
    assert caught.value.status == 3


def test_a_function_that_crashes() -> None:
    @udfvm.udf
    def crashes(address: int) -> int:
        import ctypes

        return len(ctypes.string_at(address))

    with pytest.raises(udfvm.GuestCrashError) as caught:
        crashes(16)
    assert caught.value.signal == 11
    assert score(12.0, 300.0) == 4.0


def test_a_signal_that_a_function_sends_is_no_crash_of_native_code() -> None:
    @udfvm.udf
    def sends(number: int) -> int:
        import os

        os.kill(os.getpid(), number)
        return number

    for number, name in ((9, "KILL"), (15, "TERM")):
        with pytest.raises(udfvm.GuestCrashError) as caught:
            sends(number)
        assert caught.value.signal == number
        assert f"signal {number} ({name}) ended the guest program" in str(caught.value)
        assert "native code" not in str(caught.value)
    with pytest.raises(udfvm.GuestCrashError, match=r"crashed: signal 11 \(SEGV\).*native code"):
        sends(11)
