"""A host function that fails ends the call, and tells the guest nothing."""

from __future__ import annotations

import time

import apsw
import pytest
from shared_host_functions import convert, rate, seen

import udfvm


def broken(x: int) -> int:
    raise LookupError(f"no row {x}: password is swordfish")


def test_a_failure_ends_the_call_and_tells_the_guest_nothing() -> None:
    @udfvm.udf(host_functions=[broken])
    def ask(x: int) -> int:
        try:
            return broken(x)
        except BaseException:  # noqa: BLE001 - nothing is to be caught
            return -1

    with pytest.raises(
        udfvm.errors.HostFunctionError,
        match="UDF 'ask': the host function broken failed: LookupError: no row 7",
    ) as failed:
        ask(7)
    assert isinstance(failed.value.__cause__, LookupError)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, ask)
    with pytest.raises(
        apsw.SQLError, match="the host function broken failed: LookupError: no row 8"
    ):
        connection.execute("SELECT ask(8)").fetchall()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]
    connection.close()


def test_ctrl_c_in_a_host_function() -> None:
    def pressed(x: int) -> int:
        raise KeyboardInterrupt

    @udfvm.udf(host_functions=[pressed])
    def ask(x: int) -> int:
        return pressed(x)

    with pytest.raises(KeyboardInterrupt):
        ask(1)
    with pytest.raises(KeyboardInterrupt):
        ask(1)


def test_results_must_be_of_the_declared_type() -> None:
    def wrong(x: int) -> int:
        return "text" if x else None  # type: ignore[return-value]

    @udfvm.udf(host_functions=[wrong])
    def ask(x: int) -> int:
        return wrong(x)

    for x in (0, 1):
        with pytest.raises(udfvm.errors.HostFunctionError) as raised:
            ask(x)
        assert isinstance(raised.value.__cause__, udfvm.TypeMappingError)


def test_calls_are_limited() -> None:
    @udfvm.udf(host_functions=[rate], host_calls=3)
    def ask(times: int) -> int:
        for _ in range(times):
            rate("EUR")
        return times

    assert ask(3) == 3
    with pytest.raises(
        udfvm.errors.HostCallLimitError, match="more than 3 times; raise host_calls="
    ):
        ask(4)
    assert [ask(3), ask(2)] == [3, 2]  # each call has its own count
    assert len(seen) == 3 + 3 + 3 + 2


def test_time_in_a_host_function_counts() -> None:
    def slow(x: int) -> int:
        time.sleep(0.3)
        return x

    @udfvm.udf(host_functions=[slow], timeout=0.2)
    def ask(x: int) -> int:
        return slow(x)

    with pytest.raises(udfvm.CallTimeoutError):
        ask(1)


def test_a_sample_that_calls_one_is_refused() -> None:
    with pytest.raises(udfvm.UDFError, match="none can be called while the image is built"):
        udfvm.udf(host_functions=[rate], sample=(1.0, "EUR"), name="convert_sample")(
            convert.function
        ).prepare()
