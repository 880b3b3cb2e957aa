"""Limits: each has its own exception, and a call that passes one harms nobody."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite


@udfvm.udf(timeout=0.3)
def endless(how: str) -> int:
    import re
    import time

    if how == "python":
        while True:
            pass
    if how == "c":
        return sum(range(10**13))
    if how == "regex":
        return len(re.findall(r"(a+)+$", "a" * 60 + "b"))
    if how == "sleep":
        time.sleep(10_000)
    return 1


@pytest.mark.parametrize("how", ["python", "c", "regex", "sleep"])
def test_an_endless_call_ends(how: str) -> None:
    with pytest.raises(udfvm.CallTimeoutError, match=r"'endless'.*within 0.3 s; raise timeout="):
        endless(how)
    assert endless("not") == 1


@udfvm.udf
def bottomless(endlessly: bool) -> int:
    class Odd:
        def __eq__(self, other: object) -> bool:
            return [self] == [other]  # from C to Python and back to C

        __hash__ = None

    sys.setrecursionlimit(2**30)
    return int(endlessly and Odd() == Odd())


def test_the_error_names_a_stack_overflow() -> None:
    told = "the stack overflowed"
    if sys.version_info >= (3, 12):  # it counts what C calls, whatever the program's limit
        told += "|RecursionError"
    with pytest.raises((udfvm.GuestCrashError, udfvm.UDFError), match=told):
        bottomless(True)
    assert bottomless(False) == 0


def test_no_deadline() -> None:
    @udfvm.udf(timeout=None)
    def quick(x: int) -> int:
        return x

    assert quick(1) == 1


@udfvm.udf(memory="64MiB")
def hungry(how: str) -> int:
    if how == "bytearray":
        return len(bytearray(1 << 30))
    if how == "list":
        hoard: list[object] = []
        while True:
            hoard.append([0] * 10_000)
    if how == "strings":
        return len("x" * (1 << 40))
    return 1


@pytest.mark.parametrize("how", ["bytearray", "list", "strings"])
def test_memory_is_bounded(how: str) -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        hungry(how)
    assert caught.value.guest_type == "MemoryError"
    assert hungry("not") == 1


def test_memory_of_numpy_is_bounded() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def hungry_array(x: np.ndarray) -> np.ndarray:
        return np.ones(int(x[0])).cumsum()[:1]

    with pytest.raises(udfvm.UDFError, match="MemoryError"):
        hungry_array(np.array([1e9]))
    assert hungry_array(np.array([5.0]))[0] == 1


@udfvm.udf(memory="256MiB", packages=["numpy"])
def blocks(count: int) -> int:
    import numpy as np

    return sum(
        len(np.ones(1 << 20)) for block in [[np.ones(1 << 20) for _ in range(count)]] for _ in block
    )


def test_large_blocks_count_as_memory() -> None:
    assert blocks(2) == 2 << 20
    with pytest.raises(udfvm.UDFError) as caught:
        blocks(40)
    assert "MemoryError" in caught.value.guest_type
    assert blocks(2) == 2 << 20


def test_the_result_is_bounded() -> None:
    @udfvm.udf(max_output="10kB")
    def long(length: int) -> str:
        return "x" * length

    assert len(long(10_000) or "") == 10_000
    with pytest.raises(udfvm.OutputLimitError, match=r"of 9\.8 KiB .* 9\.8 KiB; raise max_output="):
        long(10_001)
    assert long(3) == "xxx"


def _sql(function: udfvm.Function, call: str) -> Any:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    return connection.execute(call).fetchall()


def _series(rows: int) -> str:
    numbers = f"SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT {rows}"
    return f"WITH RECURSIVE c(i) AS ({numbers}) SELECT i, i FROM c"


@udfvm.udf
def same(x: int | None) -> int | None:
    return x


@pytest.mark.parametrize("jail", [False, True])
def test_bytes_of_the_result_count(jail: bool) -> None:
    """Without those that replies have beside: ten rows of 8 bytes fit into 80."""
    with udfvm.Pool(jail=jail) as pool:
        one, ten = (same.with_options(name="f", max_output=size, pool=pool) for size in (8, 80))
        assert one(1) == 1 and _sql(one, "SELECT f(1)") == [(1,)]
        for calls in (
            lambda n: ten(pa.array([None, *range(1, n)])),
            lambda n: _sql(ten, f"SELECT * FROM vm_map('f', '{_series(n)}')"),
        ):
            assert len(calls(10)) == 10
            with pytest.raises(
                (udfvm.OutputLimitError, apsw.SQLError),
                match="of 88 bytes is larger than the limit of 80 bytes; raise max_output=",
            ):
                calls(11)


@pytest.mark.parametrize("columns", [1, 3])
def test_a_row_of_a_table_has_as_many_bytes_as_its_columns(columns: int) -> None:
    names = {f"c{index}": int for index in range(columns)}

    @udfvm.table_function(columns=names, max_output=8 * columns)
    def rows(count: int) -> Iterator[Any]:
        for _ in range(count):
            yield (1,) * len(names)

    assert len(list(rows(100))) == 100
    found = _sql(rows, "SELECT count(*) FROM rows(100)")
    assert found == [(100,)]


def test_the_log_is_bounded() -> None:
    @udfvm.udf(max_log=1000, log="strict")
    def chatty(length: int) -> int:
        print("x" * length)
        return length

    assert chatty(900) == 900
    with pytest.raises(udfvm.LogLimitError, match="max_log="):
        chatty(2_000)
    assert chatty(10) == 10


def test_the_arguments_are_bounded() -> None:
    @udfvm.udf(timeout=120)
    def length(value: bytes) -> int:
        return len(value)

    assert length(bytes(100 << 20)) == 100 << 20
    assert length(bytes(200 << 20)) == 200 << 20
    with pytest.raises(udfvm.InputTooLargeError, match="raise memory="):
        length(bytes(512 << 20))
    assert length(b"abc") == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"memory": "1MiB"}, "memory="),
        ({"memory": "much"}, "not a size"),
        ({"timeout": 0}, "timeout="),
        ({"timeout": -1}, "timeout="),
        ({"max_output": 0}, "max_output="),
    ],
)
def test_limits_that_make_no_sense(options: dict[str, object], expected: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=expected):
        udfvm.udf(**options)(lambda: 1)  # type: ignore[call-overload]


SCRIPT = """
    import os, signal, sys, udfvm

    sys.path.insert(0, sys.argv[1])
    import busy_processes

    @udfvm.udf(timeout=60)
    def waits(seconds: float) -> int:
        import time
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return 1

    waits(0)

    def when_busy(number):
        busy_processes.when_busy(lambda: os.kill(os.getpid(), number), 0.05)
"""


def script(body: str) -> list[str]:
    source = textwrap.dedent(SCRIPT) + textwrap.dedent(body)
    command = [sys.executable, "-c", source, str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_control_c_interrupts_a_call() -> None:
    body = """
    when_busy(signal.SIGINT)
    try:
        waits(40)
    except KeyboardInterrupt:
        print("interrupted", waits(0))
    """
    assert script(body) == ["interrupted", "1"]


def test_control_c_interrupts_calls_of_tests_in_the_background() -> None:
    """Where the parent of pytest has SIGINT ignored, as shells do for what they start with
    ``&``.
    """
    tests = f"{__file__}::test_control_c_interrupts_a_call"
    command = [
        "sh",
        "-c",
        'trap "" INT; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        tests,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout


def test_a_signal_that_is_handled_does_not_end_a_call() -> None:
    body = """
    seen = []
    signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    when_busy(signal.SIGUSR1)
    print(waits(1.0), seen)
    """
    assert script(body) == ["1", "[1]"]


def test_what_a_signal_handler_raises_ends_the_call() -> None:
    body = """
    def handler(*_):
        raise LookupError("from the handler")
    signal.signal(signal.SIGUSR1, handler)
    when_busy(signal.SIGUSR1)
    try:
        waits(40)
    except LookupError as error:
        print(error, waits(0))
    """
    assert script(body) == ["from", "the", "handler", "1"]
