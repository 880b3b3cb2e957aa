"""What ends a call of a function that runs in the process: its limits, as far as they can be kept,
its deadline, and Ctrl-C.
"""

from __future__ import annotations

import pytest
from in_process_programs import script


def test_limits_that_can_be_kept() -> None:
    text = """
    import time, udfvm, warnings
    warnings.simplefilter("ignore")

    @udfvm.udf(timeout=1, sample=(0.0,))
    def slow(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    @udfvm.udf(max_output="1KiB")
    def long(count: int) -> str:
        return "x" * count

    for call in (lambda: slow(1.5), lambda: slow(0.0), lambda: long(5000), lambda: len(long(9))):
        try:
            print(call())
        except udfvm.CallError as error:
            print(type(error).__name__)
    """
    assert script(text) == ["CallTimeoutError", "0.0", "OutputLimitError", "9"]


def test_python_code_ends_at_its_deadline() -> None:
    """Whichever form it has; also if it catches everything once, on other threads, in calls of
    host functions, which no deadline interrupts, and in forked children. The next call works.
    """
    text = """
    import os, threading, time, udfvm, warnings
    import numpy as np
    warnings.simplefilter("ignore")

    def try_(call):
        try:
            print(call(), flush=True)
        except udfvm.CallError as error:
            line = type(error).__name__ + "\\n"
            print(line, end="", flush=True)  # at once, as threads print side by side

    @udfvm.udf(timeout=60, sample=(0,))
    def endless(x: int) -> int:
        while x: pass
        return x

    @udfvm.udf(timeout=60, sample=(0,))
    def stubborn(x: int) -> int:
        try:
            while x: pass
        except BaseException:
            while True: pass
        return x

    @udfvm.udf(vectorized=True, timeout=60)
    def columns(x: float) -> float:
        while len(x) > 1: pass
        return x

    @udfvm.table_function(columns={"i": int}, timeout=60)
    def rows(count: int):
        yield 0
        while count: pass

    seen = []
    def host(x: int) -> int:
        end = time.monotonic() + 0.5
        while time.monotonic() < end: pass
        seen.append(x)
        return x

    @udfvm.udf(host_functions=[host], timeout=60)
    def asks(x: int) -> int:
        return host(x)

    def within(x: int) -> int:
        return endless(x)

    @udfvm.udf(host_functions=[within], timeout=60)
    def outer(x: int) -> int:
        return within(x)

    def late(function):  # the next call may take its time
        return function.with_options(timeout=0.2)

    columns(np.ones(1)), list(rows(0)), outer(0), asks(0)
    for function, one, none in (
        (endless, 1, 0), (stubborn, 1, 0), (columns, np.ones(2), np.ones(1)), (rows, 1, 0),
        (outer, 1, 0),
    ):
        try_(lambda: list(late(function)(one)) if function is rows else late(function)(one))
        list(function(none)) if function is rows else function(none)
    try_(lambda: late(asks)(7))
    print(seen)
    threads = [threading.Thread(target=try_, args=(lambda: late(endless)(1),)) for _ in range(3)]
    for each in threads: each.start()
    for each in threads: each.join()
    if os.fork() == 0:
        try_(lambda: late(endless)(1))
        os._exit(0)
    os.wait()
    for _ in range(100): endless(0)
    """
    late = "CallTimeoutError"
    assert script(text) == [*[late] * 5, late, "[0, 7]", *[late] * 3, late]


ENDS_BY_CTRL_C = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupted(1)
    except KeyboardInterrupt:
        print("interrupted")
    print(interrupted(0))
"""


@pytest.mark.parametrize("body", ["while x: pass", "time.sleep(600 * x)"])
def test_ctrl_c_from_outside_ends_the_call(body: str) -> None:
    text = f"""
    import os, signal, threading, udfvm, warnings
    warnings.simplefilter("ignore")
    PIPE = os.pipe()

    @udfvm.udf(sample=(0,), timeout=600)
    def interrupted(x: int) -> int:
        import os, time
        if x:
            os.write(PIPE[1], b"x")
        {body}
        return x

    def press():
        os.read(PIPE[0], 1)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=press).start()
    """
    assert script(text + ENDS_BY_CTRL_C) == ["interrupted", "0"]


def test_ctrl_c_ends_the_call_and_the_next_one_works() -> None:
    text = """
    import signal, udfvm, warnings
    warnings.simplefilter("ignore")

    @udfvm.udf
    def interrupted(x: int) -> int:
        if x:
            signal.raise_signal(signal.SIGINT)
        return x

    """
    assert script(text + ENDS_BY_CTRL_C) == ["interrupted", "0"]
