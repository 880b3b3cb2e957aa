"""``udfvm.on_call``: what is told, where, and what hooks cannot harm."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from reported_functions import Total, words

import udfvm
from udfvm.call.hooks import _hooks


@udfvm.udf
def hooked(x: float) -> float:
    return 12.0 / x


@udfvm.udf
def prints(x: float) -> float:
    print("printed before it fails")
    return 1 / x


hooked_words = words.with_options(name="hooked_words")
HookedTotal = Total.with_options(name="hookedtotal")


@pytest.fixture
def reports() -> Iterator[list[udfvm.CallReport]]:
    found: list[udfvm.CallReport] = []
    with udfvm.on_call(found.append):
        yield found
    assert not _hooks.installed


def test_rows_in_python_and_in_c(reports: list[udfvm.CallReport]) -> None:
    for _ in range(12):
        assert hooked(3.0) == 4.0
        assert reports[-1] == hooked.last_call
    numbers = [each.number for each in reports]
    assert numbers == list(range(numbers[0], numbers[0] + 12))
    assert {(each.function, each.rows, each.ending) for each in reports} == {
        ("hooked", 1, "returned")
    }


@pytest.mark.parametrize("rows", [5, 300_000])
@pytest.mark.parametrize("container", [np.asarray, pa.array])
def test_batches(reports: list[udfvm.CallReport], container: object, rows: int) -> None:
    for count in range(1, 4):
        result = hooked(container(np.full(rows, 4.0)))  # type: ignore[operator]
        assert result[rows - 1] == (3.0 if container is np.asarray else pa.scalar(3.0))
        del result
        gc.collect()  # the micro-VM whose memory it was goes back now
        assert sum(each.rows for each in reports) == count * rows


def test_every_way_to_call(reports: list[udfvm.CallReport]) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0]})
    assert hooked.map(table)["hooked"].to_pylist() == [12.0, 6.0, 4.0]
    assert {(each.function, each.rows) for each in reports} == {("hooked", 3)}
    reports.clear()
    udfvm.arrow.register(None, hooked)
    assert pc.call_function("hooked", [table["x"].chunk(0)]).to_pylist() == [12.0, 6.0, 4.0]
    assert [(each.function, each.rows) for each in reports] == [("hooked", 3)]
    reports.clear()
    con = apsw.Connection(":memory:")
    udfvm.sqlite.register(con, hooked, hooked_words, HookedTotal)
    assert con.execute("SELECT hooked(value) FROM json_each('[1, 2]')").fetchall() == [
        (12.0,),
        (6.0,),
    ]
    assert con.execute("SELECT word FROM hooked_words('a b')").fetchall() == [("a",), ("b",)]
    assert con.execute("SELECT HookedTotal(value) FROM json_each('[1.0, 2.0]')").fetchall() == [
        (3.0,)
    ]
    con.close()
    assert {each.function for each in reports} == {"hooked", "hooked_words", "hookedtotal"}
    assert {each.ending for each in reports} == {"returned"}


def test_a_call_that_fails_keeps_its_error(
    reports: list[udfvm.CallReport], capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever calls a hook makes meanwhile, that fail or not."""

    def calls(report: udfvm.CallReport) -> None:
        with pytest.raises(udfvm.UDFError, match="division"):
            hooked(0.0)
        assert hooked(6.0) == 2.0

    for _ in range(3):
        with udfvm.on_call(calls), pytest.raises(udfvm.UDFError, match="ZeroDivision") as caught:
            prints(0.0)
        assert caught.value.output == "printed before it fails\n"
    assert [(each.function, each.ending) for each in reports] == [("prints", "UDFError")] * 3
    capfd.readouterr()


def test_the_exception_of_a_host_function_survives(reports: list[udfvm.CallReport]) -> None:
    def price(x: float) -> float:
        raise LookupError(f"no price of {x}")

    @udfvm.udf(host_functions=[price])
    def asks(x: float) -> float:
        return price(x)

    with (
        udfvm.on_call(lambda _: hooked(3.0)),
        pytest.raises(udfvm.HostFunctionError) as caught,
    ):
        asks(1.0)
    assert isinstance(caught.value.__cause__, LookupError)
    assert reports[-1].ending == "HostFunctionError"


def test_a_hook_finds_its_pool_free() -> None:
    pool = udfvm.Pool(size=1, wait=0.0)
    function = hooked.with_options(pool=pool, name="hooked_alone")
    seen: list[float] = []

    def calls(report: udfvm.CallReport) -> None:
        seen.append(function(float(len(seen) + 1)))

    with udfvm.on_call(calls):
        for _ in range(12):  # in Python, then in C
            assert function(3.0) == 4.0
        assert function(np.full(3, 3.0)).tolist() == [4.0] * 3
    assert seen == [12.0 / (each + 1) for each in range(13)]  # and of these nobody was told
    pool.close()


@pytest.mark.parametrize("kind", [ValueError, SystemExit, GeneratorExit])
def test_what_a_hook_raises_is_logged(
    kind: type[BaseException],
    reports: list[udfvm.CallReport],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(report: udfvm.CallReport) -> None:
        raise kind("of the hook")

    later: list[udfvm.CallReport] = []
    with caplog.at_level(logging.ERROR, "udfvm"), udfvm.on_call(fails), udfvm.on_call(later.append):
        assert hooked(3.0) == 4.0
        with pytest.raises(udfvm.UDFError, match="ZeroDivision"):
            hooked(0.0)
    assert (
        [each.ending for each in later]
        == ["returned", "UDFError"]
        == [each.ending for each in reports]
    )
    assert [(each.name, each.exc_info is not None) for each in caplog.records] == [
        ("udfvm", True),
        ("udfvm", True),
    ]
    assert "failed at a call of 'hooked'" in caplog.text and "of the hook" in caplog.text


def test_ctrl_c_in_a_hook_is_the_programs() -> None:
    def interrupts(report: udfvm.CallReport) -> None:
        signal.raise_signal(signal.SIGINT)
        threading.Event().wait(60)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with udfvm.on_call(interrupts), pytest.raises(KeyboardInterrupt):
            hooked(3.0)
            threading.Event().wait(60)
        assert hooked(3.0) == 4.0
    finally:
        signal.signal(signal.SIGINT, before)


def test_removing() -> None:
    found: list[udfvm.CallReport] = []
    first, second = udfvm.on_call(found.append), udfvm.on_call(found.append)
    assert "removed" not in repr(first)
    hooked(3.0)
    assert len(found) == 2
    first.remove()
    first.remove()
    hooked(3.0)
    assert len(found) == 3 and repr(first).endswith("(removed)")
    second.remove()
    hooked(3.0)
    assert len(found) == 3


@pytest.mark.parametrize("wrong", [None, 3])
def test_what_is_no_hook(wrong: object) -> None:
    with pytest.raises(udfvm.OptionError, match="on_call"):
        udfvm.on_call(wrong)  # type: ignore[arg-type]


def test_a_coroutine_function_is_no_hook() -> None:
    async def later(report: udfvm.CallReport) -> None:
        raise AssertionError

    with pytest.raises(udfvm.OptionError, match="on_call"):
        udfvm.on_call(later)


def test_threads_add_and_remove_hooks_while_others_call() -> None:
    done = threading.Event()
    failures: list[BaseException] = []
    told: set[int] = set()

    def call() -> None:
        try:
            while not done.is_set():
                assert hooked(3.0) == 4.0
        except BaseException as error:  # noqa: BLE001 - the test raises it
            failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for each in callers:
        each.start()
    for _ in range(50):
        seen = threading.Event()

        def note(report: udfvm.CallReport, seen: threading.Event = seen) -> None:
            told.add(threading.get_ident())
            seen.set()

        with udfvm.on_call(note):
            assert seen.wait(60)
    done.set()
    for each in callers:
        each.join()
    assert not failures and told <= {each.ident for each in callers}


def test_a_forked_child_keeps_hooks(reports: list[udfvm.CallReport]) -> None:
    assert hooked(3.0) == 4.0
    child = os.fork()
    if child == 0:
        code = 1
        try:
            hooked(4.0)
            code = 0 if [each.number for each in reports[1:]] == [1] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(reports) == 1
