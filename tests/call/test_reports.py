"""What calls cost: ``last_call`` and ``udfvm.stats()``."""

from __future__ import annotations

import os
import threading
import time

import apsw
import numpy as np
import pyarrow as pa
import pytest
from reported_functions import Total, words

import udfvm
from udfvm.call.reports import error_name
from udfvm.errors import Code
from udfvm.vmm.accounts import sums

PHASES = ("host_seconds", "copy_seconds", "guest_seconds", "restore_seconds")


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100


@udfvm.udf(timeout=0.2)
def ends(how: str) -> str:
    print("called to", how)
    if how == "raise":
        raise ValueError(how)
    if how == "exit":
        os._exit(3)
    while how == "loop":
        pass
    return how


def report_of(function: udfvm.Function) -> udfvm.CallReport:
    report = function.last_call
    assert report is not None
    assert report.function == function.name
    assert report.seconds == pytest.approx(sum(getattr(report, phase) for phase in PHASES))
    assert report.guest_seconds > 0 and report.ended <= time.monotonic()
    return report


def own(function: udfvm.ScalarFunction, name: str) -> udfvm.ScalarFunction:
    """The function under a name of the test's own, whose calls nobody else counts."""
    return function.with_options(name=name)


def test_a_row() -> None:
    function = own(score, "report_of_a_row")
    assert function.last_call is None
    for number in range(1, 13):  # in Python, then in C
        assert function(12.0, 300.0) == 4.0
        report = report_of(function)
        assert (report.number, report.ending, report.rows) == (number, "returned", 1)
        assert report.exchanges == report.exits == 1
        assert report.input_bytes == 8 + 2 * 16 and report.output_bytes == 16
        assert report.pages_restored > 0 and not (report.is_jailed or report.is_streaming)
        assert report.written_bytes == report.pages_restored * 4096
        assert all(getattr(report, phase) > 0 for phase in PHASES)


@pytest.mark.parametrize("rows", [1, 1000])
@pytest.mark.parametrize("container", [np.asarray, pa.array])
def test_a_batch(rows: int, container: object) -> None:
    function = own(score, "report_of_a_batch")
    column = container(np.arange(float(rows)))  # type: ignore[operator]
    for _ in range(3):  # in Python, then in C
        function(column, column)
        report = report_of(function)
        assert (report.rows, report.exchanges, report.ending) == (rows, 1, "returned")
        assert report.input_bytes > 16 * rows and report.output_bytes > 8 * rows
        assert report.copy_seconds > 0


@pytest.mark.parametrize(
    ("how", "ending"),
    [("raise", "UDFError"), ("exit", "GuestExitError"), ("loop", "CallTimeoutError")],
)
def test_a_call_that_fails(how: str, ending: str, capfd: pytest.CaptureFixture[str]) -> None:
    function = own(ends, f"report_of_{how}")
    with pytest.raises(udfvm.CallError) as caught:
        function(how)
    assert type(caught.value).__name__ == ending
    report = report_of(function)
    assert (report.ending, report.rows) == (ending, 1)
    assert report.printed_bytes == len(f"called to {how}\n")
    totals = udfvm.stats()[function.name]
    assert (totals.calls, dict(totals.errors)) == (1, {ending: 1})
    assert function("return") == "return"
    assert report_of(function).ending == "returned"
    assert dict(udfvm.stats()[function.name].errors) == {ending: 1}


def test_host_functions() -> None:
    def price(name: str) -> float:
        time.sleep(0.01)
        return float(len(name))

    @udfvm.udf(host_functions=[price], name="report_of_host_calls")
    def twice(name: str) -> float:
        return float(price(name) + price(name))

    assert twice("four") == 8.0
    report = report_of(twice)
    assert report.host_calls == 2 and report.exits == 3
    assert report.host_seconds >= 0.02


def test_sql() -> None:
    function = own(score, "report_of_sql")
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100)"
    query = f"{numbers} SELECT sum(report_of_sql(i, 100)) FROM n"
    assert connection.execute(query).fetchall() == [(5050.0,)]
    report = report_of(function)
    assert (report.number, report.rows, report.exchanges) == (1, 100, 100)
    assert report.input_bytes == 100 * (8 + 2 * 16) and report.output_bytes == 100 * 16
    assert function(1.0, 1.0) == 100.0  # the same account
    assert report_of(function).number == 2
    assert udfvm.stats()["report_of_sql"].rows == 101


def test_rows_of_sql_that_are_calls() -> None:
    function = score.with_options(name="report_of_rows", isolation="row")
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    connection.execute("SELECT report_of_rows(value, 100) FROM json_each('[1, 2, 3]')").fetchall()
    report = report_of(function)
    assert (report.number, report.rows, report.exits) == (3, 1, 1)


def test_table_functions_and_aggregates() -> None:
    table = words.with_options(name="report_of_words")
    assert len(list(table("one two three"))) == 3
    assert (report_of(table).rows, report_of(table).exchanges) == (1, 1)
    total = Total.with_options(name="report_of_total")
    assert total(np.arange(10.0)) == 45.0
    assert report_of(total).rows == 10
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, table, total)
    connection.execute("SELECT report_of_total(value) FROM json_each('[1.0, 2.5]')").fetchall()
    assert (report_of(total).number, report_of(total).rows) == (2, 2)
    connection.execute("SELECT word FROM report_of_words('a b')").fetchall()
    assert report_of(table).number == 2


def test_native_and_wasm_functions() -> None:
    source = "double half(double x) { return x / 2; }"
    native = udfvm.from_c(source, "half", signature="(x: f64) -> f64", name="report_of_native")
    assert native(3.0) == 1.5
    assert report_of(native).rows == 1
    module = (
        '(module (func (export "half") (param f64) (result f64) local.get 0 f64.const 2 f64.div))'
    )
    wasm = udfvm.from_wasm(module, "half", name="report_of_wasm")
    assert wasm(3.0) == 1.5
    assert report_of(wasm).rows == 1


def test_any_number_of_arguments() -> None:
    @udfvm.udf(name="report_of_any")
    def joined(*words: str) -> str:
        return "".join(words)

    assert joined.last_call is None
    joined("a")
    joined("a", "b")
    assert report_of(joined).input_bytes == 8 + 2 * 16 + 2
    assert udfvm.stats()["report_of_any"].calls == 2


def test_parts_of_a_map_and_threads_are_all_counted() -> None:
    function = own(score, "report_of_map")
    column = np.arange(300_000.0)
    list(function.map(pa.table({"dep_delay": column, "distance": column}))["report_of_map"])
    totals = udfvm.stats()["report_of_map"]
    assert totals.rows == len(column) and totals.calls >= 1
    function(1.0, 2.0)
    threads = [
        threading.Thread(target=lambda: [function(1.0, 2.0) for _ in range(20)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert udfvm.stats()["report_of_map"].rows == len(column) + 81


def test_pools_and_names() -> None:
    with udfvm.Pool(size=1) as pool:
        bound = own(score, "report_of_pools").with_options(pool=pool)
        bound(1.0, 2.0)
        bound.with_options(timeout=5.0)(1.0, 2.0)  # the same name in the same pool
        assert report_of(bound).number == 1
        own(score, "report_of_pools")(1.0, 2.0)
        found = [each for each in udfvm.stats() if each.function == "report_of_pools"]
        assert {each.pool: each.calls for each in found} == {pool: 2, udfvm.Pool.default(): 1}
        assert pool.warm(bound).result() == 1  # a call that is nobody's
        assert sum(each.calls for each in udfvm.stats() if each.pool is pool) == 2
    with pytest.raises(KeyError):
        udfvm.stats()["no such function"]


def test_calls_in_jails() -> None:
    with udfvm.Pool(size=1, jail=True) as pool:
        function = own(score, "report_of_jail").with_options(pool=pool)
        for number in (1, 2):
            assert function(12.0, 300.0) == 4.0
            report = report_of(function)
            assert report.is_jailed and report.exits >= 1 and report.number == number


def test_pages_of_a_jailed_vm_are_known_when_the_report_is_read() -> None:
    with udfvm.Pool(size=1, jail=True) as pool:
        function = own(score, "pages_of_jail").with_options(pool=pool)
        for number in (1, 2):
            function(12.0, 300.0)
            report = report_of(function)
            assert report.number == number and report.pages_restored > 0
            assert report.written_bytes >= report.pages_restored * 4096
        (totals,) = [each for each in udfvm.stats() if each.function == "pages_of_jail"]
        assert totals.pages_restored > report.pages_restored


@pytest.mark.parametrize("jail", [False, True])
def test_the_peak_of_guest_memory(jail: bool) -> None:
    size = 64 << 20
    with udfvm.Pool(size=1, jail=jail) as pool:

        @udfvm.udf(pool=pool, memory="512MiB")
        def takes(x: int) -> int:
            return len(bytearray(x)) + len([bytes(1000) for _ in range(x // 2000)])

        takes(1000)
        little = report_of(takes).peak_memory_bytes
        assert 16 << 20 < little < 256 << 20
        takes(size)
        much = report_of(takes).peak_memory_bytes
        assert little + size <= much <= 512 << 20
        takes(1000)
        assert report_of(takes).peak_memory_bytes == little  # it is that of one call
        assert udfvm.stats()["takes"].peak_memory_bytes == much
        assert "at most" in str(report_of(takes))


def test_the_peak_of_calls_that_fail_and_of_streaming() -> None:
    @udfvm.udf(timeout=0.3)
    def holds(x: int) -> int:
        kept = bytearray(x)
        while x:
            pass
        return len(kept)

    with pytest.raises(udfvm.CallTimeoutError):
        holds(48 << 20)
    assert report_of(holds).peak_memory_bytes > 48 << 20
    function = own(score, "peak_of_streaming")
    con = apsw.Connection(":memory:")
    udfvm.sqlite.register(con, function)
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1.0 UNION ALL SELECT x + 1 FROM n WHERE x < 200)"
    con.execute(f"{numbers} SELECT sum(peak_of_streaming(x, 2.0)) FROM n").fetchall()
    assert report_of(function).peak_memory_bytes > 16 << 20


def test_a_batch_that_is_cut_has_one_report() -> None:
    @udfvm.udf(name="text_of_a_batch")
    def text(x: float) -> str:
        return "x" * 1000

    rows = 150_000
    reports: list[udfvm.CallReport] = []
    with udfvm.on_call(reports.append):
        result = text(pa.array(np.arange(float(rows))))
        assert len(result) == rows
        del result
    report = report_of(text)
    assert report.parts > 1 and report.ending == "returned"
    assert report.rows >= rows and report.output_bytes > rows * 1000
    assert udfvm.stats()["text_of_a_batch"].calls == len(reports) >= report.parts
    assert f"in {report.parts} parts" in str(report)
    text(1.0)
    assert report_of(text).parts == 1 and report_of(text).number > report.number


def test_a_child_begins_with_nothing() -> None:
    function = own(score, "report_of_child")
    function(1.0, 2.0)
    child = os.fork()
    if child == 0:
        try:
            empty = function.last_call is None and len(udfvm.stats()) == 0
            function(1.0, 2.0)
            os._exit(not (empty and udfvm.stats()["report_of_child"].calls == 1))
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert udfvm.stats()["report_of_child"].calls == 1


def test_texts() -> None:
    function = own(score, "report_of_texts")
    function(1.0, 2.0)
    report = report_of(function)
    lines = str(report).splitlines()
    assert lines[0].startswith("report_of_texts: returned after ")
    assert [line.split()[0] for line in lines[1:]] == ["time", "rows", "data", "exits", "memory"]
    html = report._repr_html_()
    assert html.startswith("<table>") and "report_of_texts: returned" in html
    assert "1 call, 1 row" in repr(udfvm.stats()) and "<table>" in udfvm.stats()._repr_html_()
    with pytest.raises(AttributeError):
        report.rows = 2  # type: ignore[misc]


def test_each_code_of_a_call_has_the_name_of_its_error() -> None:
    assert error_name(0) == "UDFError"
    score(1.0, 2.0)
    assert len(sums(score._calls.account).errors) == len(Code)
    for code in set(Code) - {Code.OK}:
        assert error_name(code).endswith(("Error", "KeyboardInterrupt"))
