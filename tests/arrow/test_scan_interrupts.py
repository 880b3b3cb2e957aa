"""Ctrl-C ends a scan that the main thread waits for, within Arrow."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from udfvm.functions import arrow_registry

pytestmark = pytest.mark.skipif(not arrow_registry.HAS_KERNELS, reason="kernels were not built")

BEGIN = """
    import os, signal, threading, time
    import pyarrow as pa
    import pyarrow.dataset as ds
    from scan_functions import number, text, waiting, waits

    pa.set_cpu_count(2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert number(pa.array([2, 3])).to_pylist() == [2, 3]
    assert text(pa.array(["2"])).to_pylist() == ["2"]

    def is_busy(function):
        statistics = function.pool.statistics()
        return statistics.idle < statistics.live

    def scan(function, value):
        rows = [pa.record_batch({"x": [value]}) for _ in range(20)]
        columns = {"y": function.expr(ds.field("x"))}
        return ds.dataset(pa.Table.from_batches(rows)).to_table(columns=columns)

    def interrupt_when(happens):
        def wait():
            while not happens():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def interrupted(run, happens):
        \"\"\"Whether exactly one KeyboardInterrupt comes.\"\"\"
        thread = interrupt_when(happens)
        try:
            run()
        except KeyboardInterrupt:
            for _ in range(1000):
                pass
            time.sleep(0.3)
            thread.join()
            return True
"""

ENDS = """
    assert interrupted(lambda: scan(number, 0), lambda: is_busy(number))
    assert interrupted(lambda: scan(text, "0"), lambda: is_busy(text))
    assert not is_busy(number)
    assert scan(number, 2)["y"].to_pylist() == [2] * 20
    print("ended")
"""

LATE = """
    from udfvm.functions import arrow_interrupts

    arrow_interrupts._LEASE = 0.1

    def happens():
        if is_busy(number):
            time.sleep(0.4)  # no other call begins meanwhile
            return True

    assert interrupted(lambda: scan(number, 0), happens)
    print("ended")
"""

BEGINS = """
    # The signal comes while a thread is about to take it, once another one's call has begun.
    from udfvm.functions import arrow_interrupts

    take = arrow_interrupts.take

    def take_slowly():
        time.sleep(0.5)
        return take()

    arrow_interrupts.take = take_slowly
    assert interrupted(lambda: scan(number, 0), lambda: is_busy(number))
    print("ended")
"""

WAITS = """
    # No second signal comes where the calls need longer to end than the scan.
    assert interrupted(lambda: scan(waits, 0), waiting.is_set)
    print("ended")
"""

PASSES_ON = """
    assert scan(number, 2)["y"].to_pylist() == [2] * 20
    # The signal is still taken, and nobody waits for a scan.
    begun, finished = threading.Event(), threading.Event()
    sleep = lambda: (begun.set(), time.sleep(60))
    assert interrupted(sleep, begun.is_set)

    def other():
        try:
            scan(number.with_options(timeout=1.0), 0)
        except TimeoutError:
            print("went on")
        finished.set()

    begun.clear()
    threading.Thread(target=other).start()
    assert interrupted(sleep, lambda: begun.is_set() and is_busy(number))
    assert finished.wait(60)
    print("ended")
"""

HANDLES = """
    seen = []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    thread = interrupt_when(lambda: is_busy(number))
    try:
        scan(number.with_options(timeout=1.0), 0)
    except TimeoutError:
        print("went on")
    thread.join()
    assert seen == [signal.SIGINT]
    print("ended")
"""


ENDS_LATE = """
    # The signal is no longer taken when its handler comes to tell of it.
    from udfvm.functions import arrow_interrupts

    arrow_interrupts._LEASE = 0.1
    assert scan(number, 2)["y"].to_pylist() == [2] * 20
    begun = threading.Event()
    assert interrupted(lambda: (begun.set(), time.sleep(60)), begun.is_set)
    print("ended")
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (ENDS, ["ended"]),
        (LATE, ["ended"]),
        (BEGINS, ["ended"]),
        (WAITS, ["ended"]),
        (PASSES_ON, ["went on", "ended"]),
        (HANDLES, ["went on", "ended"]),
    ],
    ids=["ends", "is late", "begins", "calls wait", "is passed on", "has another handler"],
)
def test_control_c(program: str, said: list[str]) -> None:
    run(program, said)


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="sanitizers are preloaded")
def test_control_c_as_the_lease_ends(tmp_path: Path) -> None:
    preloaded = tmp_path / "slow_handler.so"
    source = Path(__file__).parent / "slow_handler.c"
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, source, "-o", preloaded, "-ldl"], check=True)
    run(ENDS_LATE, ["ended"], LD_PRELOAD=str(preloaded))


def run(program: str, said: list[str], **environment: str) -> None:
    tests = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(tests), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == said
