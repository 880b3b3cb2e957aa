"""Errors say what to write instead: results, values of SQL, keywords, memory."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import apsw
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow
import udfvm.sqlite

MOMENT = datetime.datetime(2024, 2, 29, 12)


def test_moments_and_dates_that_are_returned() -> None:
    @udfvm.udf
    def day() -> datetime.date:
        return MOMENT

    @udfvm.udf
    def days() -> list[datetime.date]:
        return [MOMENT]

    @udfvm.udf
    def moment() -> datetime.datetime:
        return MOMENT.date()  # type: ignore[return-value]

    for udf, advice in ((day, ": return its .date()"), (days, ": return its .date()"),
                        (moment, ": return datetime.datetime.combine(date, ")):  # fmt: skip
        with pytest.raises(udfvm.UDFError) as caught:
            udf()
        assert advice in caught.value.guest_message


def test_values_of_sql_that_are_in_another_form() -> None:
    @udfvm.udf
    def longest(xs: list[int]) -> int:
        return max(xs)

    @udfvm.udf
    def hours(duration: datetime.timedelta) -> float:
        return duration.total_seconds() / 3600

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, longest, hours)
    for statement, message in (
        ("SELECT longest(3)", r"takes TEXT; got INTEGER; JSON is TEXT here, such as .*json_array"),
        ("SELECT hours('1:30')", r"takes INTEGER; got TEXT; durations are counts of their unit"),
    ):
        with pytest.raises(apsw.SQLError, match=message):
            connection.execute(statement).fetchall()
    assert connection.execute("SELECT longest(json_array(3, 5))").fetchall() == [(5,)]


@udfvm.udf
def score(distance: float, hours: float = 1.0) -> float:
    return distance / hours


NATIVE = "long long f(long long x) { return x; }"
CASES: list[tuple[Callable[[], Any], str]] = [
    (lambda: score(distence=1.0), r"UDF 'score': .* 'distence': did you mean distance=\?"),
    (lambda: score(1.0, hour=1.0), r"UDF 'score': .* 'hour': did you mean hours=\?"),
    (lambda: score(1.0, zzz=1.0), r"UDF 'score': .* 'zzz'; it takes 1 to 2 arguments"),
    (lambda: score.map(pa.table({}), on_eror="null"),
        r"UDF 'score': map\(\): unknown option on_eror=: did you mean on_error=\?"),
    (lambda: score.with_options(timeot=1),
        r"UDF 'score': with_options\(\): unknown option timeot=: did you mean timeout=\?"),
    (lambda: udfvm.Pool().warm(score, vm=2), r"udfvm.Pool: warm\(\): .*did you mean vms=\?"),
    (lambda: udfvm.from_wasm("(module)", "f", files=True),
        "unknown option files=: it is for functions in Python and native code"),
    (lambda: udfvm.from_c(NATIVE, "f", packages=["numpy"]), "packages=: it is for functions in Py"),
    (lambda: udfvm.from_c(NATIVE, "f", input_types=["int64"]), "compiled functions are in signatu"),
    (lambda: udfvm.udf(signature="(int) -> int"), "signature=: types of functions in Python are"),
    (lambda: udfvm.sqlite.register(apsw.Connection(":memory:"), score, timeout=1),
        r"timeout=: .*function\.with_options\(timeout="),
    (lambda: udfvm.arrow.register(None, score, memory="1GiB"), r"with_options\(memory="),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), CASES)
def test_keywords_that_do_not_exist(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        wrong()


def test_kernels_that_do_not_end_say_how_many_rows_have_no_result() -> None:
    @udfvm.udf(timeout=0.1)
    def never(x: float) -> float:
        while x:
            pass
        return x

    udfvm.arrow.register(None, never)
    for _ in range(2):  # as a first call, and as those that C makes
        with pytest.raises(udfvm.CallTimeoutError, match="none of its 3 rows has a result"):
            pc.call_function("never", [pa.array([0.0, 0.0, 1.0])])
    assert pc.call_function("never", [pa.array([0.0])]).to_pylist() == [0.0]
    with pytest.raises(udfvm.CallTimeoutError, match="none of its 3 rows has a result"):
        pc.call_function("never", [pa.array([0.0, 0.0, 1.0])])


def test_memory_that_does_not_fit_says_how_much_is_free() -> None:
    @udfvm.udf(memory="32MiB", packages=["numpy"])
    def same(x: float) -> float:
        return x

    told = (
        r"out of memory: .* do not fit into the largest free piece, .*, where .* of 32 MiB are"
        r" used; raise memory= \(.*the default is 512 MiB\)"
    )
    with pytest.raises(udfvm.BuildError, match=told):
        same(1.0)
