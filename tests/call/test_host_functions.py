"""Host functions: what the user lets a function call, and nothing else."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm.call.host_functions import HostFunctions

RATES = {"EUR": 1.0, "USD": 1.25}
seen: list[tuple[Any, ...]] = []


def rate(currency: str) -> float | None:
    seen.append((currency, threading.get_ident()))
    return RATES.get(currency)


def everything(a: bool, b: int, c: float, d: str, e: bytes, f: str | None) -> str | None:
    seen.append((a, b, c, d, e, f))
    return None if f is None else f"{a} {b} {c} {d} {e!r} {f}"


def broken(x: int) -> int:
    raise LookupError(f"no row {x}: password is swordfish")


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


@udfvm.udf(host_functions=[rate])
def convert(amount: float, currency: str) -> float | None:
    found = rate(currency)
    return None if found is None else amount * found


def test_a_call_reaches_the_host() -> None:
    assert [convert(2.0, "USD"), convert(2.0, "EUR"), convert(2.0, "XXX")] == [2.5, 2.0, None]
    assert seen == [(currency, threading.get_ident()) for currency in ("USD", "EUR", "XXX")]


def test_in_batches() -> None:
    amounts, currencies = pa.array([1.0, 2.0, None, 4.0]), pa.array(["USD", "EUR", "USD", None])
    assert convert(amounts, currencies).to_pylist() == [1.25, 2.0, None, None]
    assert len(seen) == 2


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_in_sql(isolation: Any) -> None:
    """Also past the rows after which calls stream."""
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("()", r"rate\(\) takes the arguments \(currency\)"),
        ("(1, 2)", r"rate\(\) takes the arguments"),
        ("(1,)", r"rate\(\): argument 'currency'"),
        ("('\\ud800',)", r"rate\(\): argument 'currency'"),
    ],
)
def test_wrong_arguments_are_the_functions_mistake(arguments: str, message: str) -> None:
    @udfvm.udf(host_functions=[rate])
    def ask(text: str) -> float | None:
        return rate(*eval(text))

    with pytest.raises(udfvm.UDFError, match=message):
        ask(arguments)
    assert ask("('EUR',)") == 1.0


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


def test_a_host_function_may_call_a_udf() -> None:
    """On the same thread, in the middle of the other's call; the deadline of that one holds
    afterwards.
    """

    @udfvm.udf(timeout=5)
    def inner(x: int) -> int:
        return x + 1

    def through(x: int) -> int:
        return inner(x)

    @udfvm.udf(host_functions=[through], timeout=0.5)
    def outer(x: int) -> int:
        y = sum(through(x + i) for i in range(20))
        while x < 0:
            pass
        return y

    assert outer(1) == sum(range(2, 22))
    with pytest.raises(udfvm.CallTimeoutError, match=r"within 0\.5 s"):
        outer(-1)
    assert outer(2) == sum(range(3, 23))


def test_other_names_are_refused() -> None:
    @udfvm.udf(host_functions=[rate])
    def ask(name: str) -> str:
        import _udfvm_agent

        try:
            return repr(_udfvm_agent.host_call(name.encode(), bytes(8)))
        except RuntimeError as error:
            return str(error)

    for name in ("ratex", "rat", "", "__import__", "x" * 300, "rate\0x"):
        assert "there is no such host function here" in ask(name)

    @udfvm.udf
    def without() -> str:
        import _udfvm_agent

        try:
            return repr(_udfvm_agent.host_call(b"rate", bytes(8)))
        except RuntimeError as error:
            return str(error)

    assert "there is no such host function here" in without()
    assert not seen


def row(*values: tuple[int, int, int], count: int | None = None, tail: bytes = b"") -> bytes:
    return (
        struct.pack("<II", len(values) if count is None else count, 0)
        + b"".join(struct.pack("<IIQ", *value) for value in values)
        + tail
    )


HOSTILE = {
    "nothing": b"",
    "a piece": b"\1\0\0",
    "no value": row(count=1),
    "two values": row((3, 0, 24), (3, 0, 24)),
    "another type": row((1, 0, 7)),
    "an unknown type": row((77, 0, 0)),
    "bytes outside": row((3, 1, 24)),
    "an offset outside": row((3, 0, 25)),
    "a huge length": row((3, 2**32 - 1, 24), tail=b"abc"),
    "a huge offset": row((3, 3, 2**64 - 1), tail=b"abc"),
    "no UTF-8": row((3, 1, 24), tail=b"\xff"),
    "many": row((3, 0, 24), count=2**32 - 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arguments(name: str) -> None:
    payload = HOSTILE[name]

    @udfvm.udf(host_functions=[rate])
    def ask(x: int) -> bytes:
        import _udfvm_agent

        return bytes(_udfvm_agent.host_call(b"rate", payload))

    with pytest.raises(
        udfvm.ProtocolError,
        match="UDF 'ask': the guest's arguments for host function 'rate' are not valid",
    ):
        ask(1)
    assert not seen
    with pytest.raises((ValueError, struct.error, OverflowError, udfvm.ProtocolError)):
        HostFunctions("f", [rate]).call(b"rate", payload)


def test_hostile_hypercalls() -> None:
    """Addresses and lengths that are none, straight to the hypercall."""

    @udfvm.udf(host_functions=[rate], memory="128MiB")
    def ask(
        name: int, name_length: int, arguments: int, length: int, reply: int, capacity: int
    ) -> int:
        import ctypes
        import mmap

        # rdi rsi rdx are in place; r10 = rcx (4th), r8 and r9 are the 5th and 6th argument; eax =
        # 6; out %al, $0x55; ret
        code = bytes.fromhex("4989ca b806000000 e655 c3".replace(" ", ""))
        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        call = ctypes.CFUNCTYPE(ctypes.c_int64, *([ctypes.c_uint64] * 6))(address)
        text = ctypes.create_string_buffer(b"rate")
        place = {-1: ctypes.addressof(text)}
        values = [
            value % 2**64
            for value in (place.get(name, name), name_length, arguments, length, reply, capacity)
        ]
        return int(call(*values))

    enoent, efault, e2big = -2, -14, -7
    top, system, program = 2**63 - 1, 0x1000, 0x400000
    assert ask(top, 4, program, 8, program, 64) == efault
    assert ask(system, 4, program, 8, program, 64) == efault
    assert ask(program, -1, program, 8, program, 64) == enoent
    assert ask(program, 256, program, 8, program, 64) == enoent
    assert ask(-1, 4, system, 8, program, 64) == efault
    assert ask(-1, 4, 0x4000000000, 8, program, 64) == efault  # the input window
    assert ask(-1, 4, (128 << 20) - 4, 8, program, 64) == efault
    assert ask(-1, 4, program, -1, program, 64) == e2big
    assert ask(-1, 4, program, (16 << 20) + 1, program, 64) == e2big
    assert ask(-1, 4, program, 8, program, -1) == e2big
    assert not seen


def test_replies_go_nowhere_else() -> None:
    """To addresses of the host's own pages, or to a place that is too small."""
    payload = row((3, 3, 24), tail=b"EUR")

    @udfvm.udf(host_functions=[rate], memory="128MiB")
    def ask(reply: int, capacity: int) -> int:
        import ctypes
        import mmap

        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(bytes.fromhex("4989cab806000000e655c3"))
        call = ctypes.CFUNCTYPE(ctypes.c_int64, *([ctypes.c_void_p] * 6))(
            ctypes.addressof(ctypes.c_char.from_buffer(memory))
        )
        return int(
            call(
                ctypes.create_string_buffer(b"rate"),
                4,
                ctypes.create_string_buffer(payload),
                len(payload),
                reply,
                capacity,
            )
        )

    for address in (0, 0x1000, 0x10000, 0x4000000000, 2**47, 2**63 - 8):
        assert ask(address, 64) == -14
    assert ask(0x400000, 15) == -90  # EMSGSIZE
    assert ask(0x400000, 0) == -90
    assert [currency for currency, _ in seen] == ["EUR"] * 8


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


def anonymous() -> Callable[..., Any]:
    return lambda x: x


def dated(x: int) -> Any:
    return x


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ([rate, rate.__class__(rate.__code__, {}, "rate")], "two functions named 'rate'"),
        ([anonymous()], "no function with a name"),
        ([7], "no function with a name"),
        ([dated], "not a supported type"),
    ],
)
def test_functions_that_cannot_be_host_functions(functions: list[Any], message: str) -> None:
    if functions[0] is rate:
        functions[1].__annotations__ = rate.__annotations__
    with pytest.raises(udfvm.SignatureError, match=message):
        HostFunctions("f", functions)


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

    with pytest.raises(udfvm.Error, match="cannot be sealed"):
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
    struct udfvm_any arguments[6] = { udfvm_any_boolean(true), udfvm_any_i64(which), udfvm_any_f64(0.5), udfvm_any_text(d),
                                      udfvm_any_blob(d), which == 2 ? udfvm_any_null() : udfvm_any_text(d) };
    struct udfvm_any found;
    const udfvm_text none = { "none", 4 };
    if (which == 1)
        arguments[1] = udfvm_any_f64(1);
    if (!udfvm_call_host(which == 4 ? "nothing" : "everything", arguments, 6, &found) || found.type == 0)
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
    with pytest.raises(udfvm.UDFError, match="nothing: there is no such host function here"):
        ask(4)
    with pytest.raises(udfvm.ProtocolError, match="a value of type 2 where int64 is declared"):
        ask(1)
    assert ask(0) == "True 0 0.5 d b'd' d"


def test_a_sample_that_calls_one_is_refused() -> None:
    with pytest.raises(udfvm.UDFError, match="none can be called while the image is built"):
        udfvm.udf(host_functions=[rate], sample=(1.0, "EUR"), name="convert_sample")(
            convert.function
        ).prepare()


def test_signal_handlers_and_finalizers_may_call_udfs() -> None:
    """In the middle of a call, on its thread."""
    import signal

    @udfvm.udf
    def inner(x: int) -> int:
        return x + 1

    @udfvm.udf(timeout=5)
    def outer(x: int) -> int:
        total = 0
        for i in range(x):
            total += i
        return total

    inner(0)
    results = []
    previous = signal.signal(signal.SIGALRM, lambda *_: results.append(inner(41)))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        for _ in range(5):
            assert outer(500_000) == sum(range(500_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert results and set(results) == {42}


def number(a: float) -> float:
    return a


def truth(a: bool) -> bool:
    return a


def whole(a: int) -> int:
    return a


def text(a: str) -> str:
    return a


def data(a: bytes) -> bytes:
    return a


@udfvm.udf(host_functions=[number, truth, whole, text, data], packages=["numpy"])
def passes(pickled: bytes) -> str:
    import pickle

    name, value = pickle.loads(pickled)
    return repr(
        {"number": number, "truth": truth, "whole": whole, "text": text, "data": data}[name](value)
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("number", 2**53, "9007199254740992.0"),
        ("number", 2**53 + 1, None),
        ("number", -(2**53) - 1, None),
        ("number", 2**54, "1.8014398509481984e+16"),
        ("number", np.int64(2**53 + 1), None),
        ("number", np.float32(0.5), "0.5"),
        ("number", True, "1.0"),
        ("number", np.True_, "1.0"),
        ("number", "1", None),
        ("number", 10**400, None),
        ("truth", True, "True"),
        ("truth", np.False_, "False"),
        ("truth", 1, None),
        ("truth", "x", None),
        ("whole", True, "1"),
        ("whole", np.True_, "1"),
        ("whole", np.uint8(200), "200"),
        ("whole", 1.0, None),
        ("whole", 2**63, None),
        ("text", "a\0é", "'a\\x00é'"),
        ("text", b"a", None),
        ("text", "\ud800", None),
        ("data", bytearray(b"a"), "b'a'"),
        ("data", np.arange(3), None),
        ("data", "a", None),
    ],
)
def test_arguments_are_converted_without_loss(
    name: str, value: object, expected: str | None
) -> None:
    import pickle

    argument = pickle.dumps((name, value))
    if expected is not None:
        assert passes(argument) == expected
        return
    with pytest.raises(udfvm.UDFError, match=rf"{name}\(\): argument 'a'"):
        passes(argument)
