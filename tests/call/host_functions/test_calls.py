"""A function calls the host functions that it declares, from every form of call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest
from shared_host_functions import convert, rate, seen

import udfvm


def everything(a: bool, b: int, c: float, d: str, e: bytes, f: str | None) -> str | None:
    seen.append((a, b, c, d, e, f))
    return None if f is None else f"{a} {b} {c} {d} {e!r} {f}"


def test_a_call_reaches_the_host() -> None:
    assert [convert(2.0, "USD"), convert(2.0, "EUR"), convert(2.0, "XXX")] == [2.5, 2.0, None]
    assert seen == [(currency, threading.get_ident()) for currency in ("USD", "EUR", "XXX")]


def test_in_batches() -> None:
    amounts, currencies = pa.array([1.0, 2.0, None, 4.0]), pa.array(["USD", "EUR", "USD", None])
    assert convert(amounts, currencies).to_pylist() == [1.25, 2.0, None, None]
    assert len(seen) == 2


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_in_sql(isolation: Any) -> None:
    """Also past the rows from which on calls are streaming."""
    function = udfvm.udf(host_functions=[rate], isolation=isolation, name="convert")(
        convert.function
    )
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    rows = 100
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT"
        " sum(vm_udf('convert', i, 'USD')) FROM n"
    )
    assert connection.execute(sql, (rows,)).fetchall() == [(1.25 * rows * (rows + 1) / 2,)]
    assert len(seen) == rows and {thread for _, thread in seen} == {threading.get_ident()}
    connection.close()


def test_in_vectorised_functions() -> None:
    @udfvm.udf(vectorized=True, host_functions=[rate])
    def scaled(x: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return x * rate("USD")

    assert scaled(np.arange(3.0)).tolist() == [0.0, 1.25, 2.5]


def test_values_of_every_type() -> None:
    @udfvm.udf(host_functions=[everything])
    def ask(which: int) -> str | None:
        arguments = (True, -(2**63), 0.1, "ü\0x" * which, b"\0\xff", None if which == 2 else "f")
        return everything(*arguments[:4], f=arguments[5], e=arguments[4])

    assert ask(1) == f"True {-(2**63)} 0.1 ü\0x {bytes([0, 255])!r} f"
    assert ask(2) is None
    assert ask(0) is not None
    assert seen[0] == (True, -(2**63), 0.1, "ü\0x", b"\0\xff", "f")


def test_nulls_do_not_reach_functions_that_take_none() -> None:
    @udfvm.udf(host_functions=[rate])
    def ask(x: int) -> float | None:
        return rate(None if x else "EUR")  # type: ignore[arg-type]

    assert [ask(1), ask(0)] == [None, 1.0]
    assert len(seen) == 1


def test_a_host_function_may_call_a_udf() -> None:
    """On the same thread, during the outer call, whose deadline still holds afterwards."""

    @udfvm.udf(timeout=5)
    def inner(x: int) -> int:
        return x + 1

    def through(x: int) -> int:
        return inner(x)

    @udfvm.udf(host_functions=[through], timeout=3)
    def outer(x: int) -> int:
        y = sum(through(x + i) for i in range(20))
        while x < 0:
            pass
        return y

    assert outer(1) == sum(range(2, 22))
    with pytest.raises(udfvm.CallTimeoutError, match="within 3 s"):
        outer(-1)
    assert outer(2) == sum(range(3, 23))


def test_large_values() -> None:
    def repeat(text: str, times: int) -> str:
        return text * times

    @udfvm.udf(host_functions=[repeat])
    def ask(length: int, times: int) -> int:
        return len(repeat("x" * length, times))

    assert ask(1_000_000, 0) == 0
    assert ask(1, 262_000) == 262_000
    with pytest.raises(udfvm.UDFError, match="larger than 256 KiB"):
        ask(1, 263_000)
    with pytest.raises(udfvm.UDFError, match="larger than 16 MiB"):
        ask(17 << 20, 1)


def test_the_image_depends_on_the_types_alone() -> None:
    def one(x: int) -> int:
        return x

    first = udfvm.udf(host_functions=[one], name="ask")(asking(one))
    one_again: Any = type(one)(one.__code__, {"__builtins__": __builtins__}, "one")
    one_again.__annotations__ = {"x": int, "return": int}
    second = udfvm.udf(host_functions=[one_again], name="ask")(asking(one_again))
    assert first.image.digest == second.image.digest
    assert first(3) == second(3) == 3


def asking(function: Callable[[int], int]) -> Callable[[int], int]:
    def ask(x: int) -> int:
        return function(x)

    return ask


def test_sealed_functions_have_none() -> None:
    from udfvm.sqlite.sealed import seal

    with pytest.raises(udfvm.SealError, match="cannot be sealed"):
        seal(convert)


SOURCE = """
#include <udfvm.h>

UDFVM_SCALAR(convert, optional_f64, (f64, amount), (text, currency))
{
    struct udfvm_any argument = udfvm_any_text(currency), found;
    if (!udfvm_call_host("rate", &argument, 1, &found) || found.type == 0)
        return udfvm_null_f64();
    return udfvm_some_f64(amount * found.real);
}

UDFVM_SCALAR(ask, text, (i64, which))
{
    const udfvm_text d = { "d", which == 3 ? 0 : 1 };
    struct udfvm_any arguments[6] = {
        udfvm_any_boolean(true), udfvm_any_i64(which), udfvm_any_f64(0.5), udfvm_any_text(d),
        udfvm_any_blob(d), which == 2 ? udfvm_any_null() : udfvm_any_text(d)
    };
    struct udfvm_any found;
    const udfvm_text none = { "none", 4 };
    if (which == 1)
        arguments[1] = udfvm_any_f64(1);
    const char *name = which == 4 ? "nothing" : "everything";
    if (!udfvm_call_host(name, arguments, 6, &found) || found.type == 0)
        return none;
    return found.bytes;
}
"""


def test_native_functions() -> None:
    native = udfvm.from_c(SOURCE, "convert", host_functions=[rate])
    assert [native(2.0, "USD"), native(2.0, "XXX"), native(4.0, "EUR")] == [2.5, None, 4.0]
    assert native(pa.array([1.0, 2.0]), pa.array(["USD", "EUR"])).to_pylist() == [1.25, 2.0]
    ask = udfvm.from_c(SOURCE, "ask", host_functions=[everything])
    assert ask(0) == "True 0 0.5 d b'd' d"
    assert ask(2) == "none"
    assert ask(3) == "True 3 0.5  b'' "
    with pytest.raises(udfvm.UDFError, match="nothing: there is no such host function"):
        ask(4)
    with pytest.raises(udfvm.ProtocolError, match="a value of type 2 where int64 is declared"):
        ask(1)
    assert ask(0) == "True 0 0.5 d b'd' d"


def test_signal_handlers_and_finalizers_may_call_udfs() -> None:
    """On the thread of a call, while that runs."""
    import signal

    @udfvm.udf
    def inner(x: int) -> int:
        return x + 1

    @udfvm.udf(timeout=60)
    def outer(x: int) -> int:
        total = 0
        for i in range(x):
            total += i
        return total

    inner(0)
    results = []

    def handler(*_: object) -> None:
        results.append(inner(41))
        signal.setitimer(signal.ITIMER_PROF, 0.01)  # not before: it would interrupt itself

    previous = signal.signal(signal.SIGPROF, handler)
    signal.setitimer(signal.ITIMER_PROF, 0.01)  # of processor time, which the calls use
    try:
        for _ in range(5):
            assert outer(500_000) == sum(range(500_000))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
    assert results and set(results) == {42}


def test_a_host_function_calls_a_udf_that_calls_another() -> None:
    """Guest, host, guest, host, guest, and back: each call is fresh, whatever the others do."""
    made: list[float] = []
    state: list[float] = []

    @udfvm.udf
    def inner(x: float) -> float:
        state.append(x)
        if x < 0:
            raise ValueError("negative")
        return x + len(state)

    def to_inner(x: float) -> float:
        made.append(x)
        return inner(x)

    @udfvm.udf(host_functions=[to_inner])
    def middle(x: float) -> float:
        return to_inner(to_inner(x))

    def to_middle(x: float) -> float:
        return middle(x)

    @udfvm.udf(host_functions=[to_middle])
    def outer(x: float, times: int) -> float:
        for _ in range(times):
            x = to_middle(x)
        return x

    assert outer(1.0, 1) == 3.0 and made == [1.0, 2.0]
    assert outer(0.0, 20) == 40.0 and len(made) == 42
    assert outer(pa.array([1.0, 2.0]), pa.array([1, 2])).to_pylist() == [3.0, 6.0]
    with pytest.raises(udfvm.HostFunctionError) as caught:
        outer(-9.0, 1)
    cause = caught.value.__cause__
    assert isinstance(cause, udfvm.HostFunctionError)
    assert isinstance(cause.__cause__, udfvm.UDFError) and cause.__cause__.udf == "inner"
    assert outer(1.0, 1) == 3.0


def test_numbers_that_are_not_the_usual_ones() -> None:
    """Integers for floats, booleans, subclasses, numbers out of range: as of other types."""

    def shown(x: float, i: int) -> str:
        return f"{x!r} {i!r}"

    @udfvm.udf(host_functions=[shown])
    def ask(which: int) -> str:
        class Mine(int):
            pass

        given = [(1, 2), (1.5, Mine(3)), (float("nan"), -(2**63)), (True, False)]
        return shown(*given[which])

    assert [ask(each) for each in range(3)] == [
        "1.0 2",
        "1.5 3",
        "nan -9223372036854775808",
    ]

    @udfvm.udf(host_functions=[shown])
    def ask_too_much() -> str:
        return shown(1.0, 2**63)

    with pytest.raises(udfvm.UDFError, match="does not fit into 64 bits"):
        ask_too_much()
