"""Cancelled queries of Spark end the calls on its workers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spark_sessions import PATHS, require_spark, spark_session

import udfvm

LONG = 1000.0  # seconds: a test that waits for the timeout fails


@pytest.fixture(scope="module")
def session() -> Any:
    return spark_session()


def lasting_function(folder: Path) -> udfvm.ScalarFunction:
    """A function that says which process calls it, and goes on."""
    path = str(folder)

    def begun() -> int:
        (Path(path) / str(os.getpid())).touch()
        return 0

    def lasting(x: int) -> int:
        begun()
        while True:
            pass

    types: dict[str, Any] = {"input_types": ["int64"], "output_type": "int64"}
    return udfvm.udf(lasting, host_functions=[begun], timeout=LONG, **types)


def lasting_aggregate(folder: Path) -> udfvm.AggregateFunction:
    path = str(folder)

    def begun() -> int:
        (Path(path) / str(os.getpid())).touch()
        return 0

    class Lasting:
        def step(self, x: int) -> None:
            begun()
            while True:
                pass

        def finish(self) -> int:
            return 0

    return udfvm.aggregate(Lasting, host_functions=[begun], timeout=LONG)


def of_columns(frame: Any, folder: Path) -> Any:
    return frame.select(udfvm.spark.udf(lasting_function(folder))("id"))


def of_rows(frame: Any, folder: Path) -> Any:
    return udfvm.spark.map_in_arrow(frame, lasting_function(folder), "id")


def of_groups(frame: Any, folder: Path) -> Any:
    return udfvm.spark.apply_in_arrow(frame, lasting_aggregate(folder), "id", by="id")


def of_whole_groups(frame: Any, folder: Path) -> Any:
    return frame.groupBy("id").agg(udfvm.spark.udf(lasting_aggregate(folder))("id"))


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(5000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def is_in_call(process: str) -> bool:
    """Whether a process is there and has a VM."""
    try:
        return any("kvm-vm" in os.readlink(each) for each in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


@pytest.fixture
def once_begun(tmp_path: Path) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Returns what does something once both tasks call. At the end their calls have ended."""
    failed: list[BaseException] = []
    threads: list[threading.Thread] = []

    def begin(do: Callable[[], object]) -> None:
        def run() -> None:
            try:
                wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
                do()
            except BaseException as error:  # noqa: BLE001 - raised below
                failed.append(error)

        threads.append(threading.Thread(target=run))
        threads[0].start()

    yield begin
    threads[0].join()
    assert failed == []
    processes = [each.name for each in tmp_path.iterdir()]
    assert len(processes) == 2
    wait_for(lambda: not any(map(is_in_call, processes)))


@pytest.mark.parametrize("make", [of_columns, of_rows, of_groups, of_whole_groups])
def test_interrupted_sessions(
    session: Any, tmp_path: Path, once_begun: Any, make: Callable[[Any, Path], Any]
) -> None:
    query = make(session.range(0, 2, 1, 2), tmp_path)
    once_begun(session.interruptAll)
    with pytest.raises(Exception, match="cancelled"):
        query.collect()


def test_cancelled_groups_of_jobs(session: Any, tmp_path: Path, once_begun: Any) -> None:
    context = session.sparkContext
    query = of_columns(session.range(0, 2, 1, 2), tmp_path)
    once_begun(lambda: context.cancelJobGroup("lasting"))
    context.setJobGroup("lasting", "endless", interruptOnCancel=True)
    try:
        with pytest.raises(Exception, match="cancelled"):
            query.collect()
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)


PROGRAM = """
    import os, signal, sys, threading
    from pathlib import Path

    signal.signal(signal.SIGINT, signal.default_int_handler)

    from py4j.protocol import Py4JNetworkError
    from spark_sessions import spark_session
    from test_spark_cancelled import is_in_call, of_columns, wait_for

    folder = Path(sys.argv[1])
    session = spark_session()
    query = of_columns(session.range(0, 2, 1, 2), folder)

    def interrupt():
        wait_for(lambda: len(list(folder.iterdir())) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        query.collect()
    except (KeyboardInterrupt, Py4JNetworkError):  # py4j closes the connection, early perhaps
        print("interrupted")
    thread.join()
    wait_for(lambda: not any(is_in_call(each.name) for each in folder.iterdir()))
    print("ended")

    def counted():
        try:
            return session.range(3).count() == 3
        except Py4JNetworkError:
            return False

    wait_for(counted)
    print("goes on")
"""


def test_an_interrupt_of_the_driver(tmp_path: Path) -> None:
    require_spark()
    paths = os.pathsep.join([PATHS, str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.stdout.split() == ["interrupted", "ended", "goes", "on"], done.stderr
