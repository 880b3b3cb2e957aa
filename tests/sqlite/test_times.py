"""Dates and times in SQL as text and as counts: the option ``times`` of ``register``."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, Literal

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

import udfvm
import udfvm.sqlite

UTC = datetime.UTC


@udfvm.udf
def next_day(day: datetime.date) -> datetime.date:
    return day + datetime.timedelta(days=1)


@udfvm.udf
def later(moment: datetime.datetime, by: datetime.timedelta) -> datetime.datetime:
    return moment + by


@udfvm.udf
def half_past(time: datetime.time) -> datetime.time:
    return time.replace(minute=30)


@udfvm.udf
def same_date(day: datetime.date | None) -> datetime.date | None:
    return day


@udfvm.udf
def same_moment(moment: datetime.datetime) -> datetime.datetime:
    return moment


@udfvm.udf
def same_time(time: datetime.time) -> datetime.time:
    return time


@udfvm.udf
def since(
    moment: datetime.datetime, start: datetime.datetime = datetime.datetime(2026, 1, 1, 12)
) -> float:
    return (moment - start).total_seconds()


def moments(type_: str) -> Any:
    """Returns an identity function over moments of a type."""

    def moment(value: Any) -> Any:
        return value

    return udfvm.udf(moment, input_types=[type_], output_type=type_)


MOMENTS = {type_: moments(type_) for type_ in ("timestamp[s]", "timestamp[ms]", "timestamp[ns]")}
ZONED = moments("timestamp[us, tz=Europe/Berlin]")
TIMES = {type_: moments(type_) for type_ in ("time32[s]", "time32[ms]", "time64[ns]")}
DATE64 = moments("date64")


def connection(times: Literal["text", "integer"] | None, *functions: Any, **named: Any) -> Any:
    """Returns a connection with functions, some under other names."""
    con = apsw.Connection(":memory:")
    udfvm.sqlite.register(con, *functions, times=times)
    for name, function in named.items():
        udfvm.sqlite.register(con, function, name=name, times=times)
    return con


@pytest.fixture(scope="module")
def text() -> Iterator[apsw.Connection]:
    """All functions, with text."""
    con = connection(
        "text",
        *(next_day, later, half_past, same_date, same_moment, same_time, since),
        zoned=ZONED,
        seconds=MOMENTS["timestamp[s]"],
        milliseconds=MOMENTS["timestamp[ms]"],
        nanoseconds=MOMENTS["timestamp[ns]"],
        date64=DATE64,
    )
    yield con
    con.close()


@pytest.fixture(scope="module")
def integer() -> Iterator[apsw.Connection]:
    """Times of day, with integers."""
    con = connection(
        "integer",
        *(half_past, same_time, same_date),
        seconds=TIMES["time32[s]"],
        milliseconds=TIMES["time32[ms]"],
        nanoseconds=TIMES["time64[ns]"],
        date64=DATE64,
    )
    yield con
    con.close()


def one(con: apsw.Connection, query: str, *arguments: Any) -> Any:
    """Returns the only value of a query."""
    [[value]] = con.execute(query, arguments).fetchall()
    return value


def test_text_is_that_of_the_date_functions_of_sqlite(text: apsw.Connection) -> None:
    assert one(text, "SELECT next_day('2024-02-28')") == "2024-02-29"
    assert one(text, "SELECT next_day(date('2026-12-31'))") == "2027-01-01"
    assert one(text, "SELECT later('2026-01-01 23:00:00', 3600000000)") == "2026-01-02 00:00:00"
    assert one(text, "SELECT same_moment(d) = d FROM (SELECT datetime('now') AS d)") == 1
    assert one(text, "SELECT half_past(time('12:01:02'))") == "12:30:02.000000"
    assert one(text, "SELECT same_date(NULL)") is None


@pytest.mark.parametrize(
    ("given_text", "result"),
    [
        ("2026-01-31T12:00:00", "2026-01-31 12:00:00"),
        ("2026-01-31 12:00", "2026-01-31 12:00:00"),
        ("2026-01-31 12:00:00.5", "2026-01-31 12:00:00.500000"),
        ("2026-01-31 12:00:00.123456000", "2026-01-31 12:00:00.123456"),
        ("1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00"),
        ("9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
    ],
)
def test_forms_of_moments(text: apsw.Connection, given_text: str, result: str) -> None:
    assert one(text, "SELECT same_moment(?)", given_text) == result


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("next_day", value)
        for value in (
            *("2026-02-29", "1900-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "2026-1-01"),
            *("2026-01-32", "2026-01-01 ", " 2026-01-01", "2026-01-01 00:00:00", "+026-01-01", ""),
            *("12026-01-01", "2026/01/01", "now", "\uff12026-01-01"),
        )
    ]
    + [
        ("same_moment", value)
        for value in (
            *("2026-01-01", "2026-01-01 24:00:00", "2026-01-01 12:60:00", "2026-01-01 12:00:60"),
            *("2026-01-01 12:00:00Z", "2026-01-01 12:00:00+00:00", "2026-01-01 12:00:00."),
            *("2026-01-01 12:00:00.1234567", "2026-01-01  12:00:00", "2026-01-01 12", "12:00:00"),
        )
    ]
    + [
        ("zoned", value)
        for value in (
            *("2026-01-01 12:00:00", "2026-01-01 12:00:00+24:00", "2026-01-01 12:00:00+0100"),
            *("2026-01-01 12:00:00z", "2026-01-01 12:00:00+01", "2026-01-01 12:00:00 +01:00"),
        )
    ]
    + [("seconds", "2026-01-01 12:00:00.5"), ("nanoseconds", "2300-01-01 00:00:00")],
)
def test_other_texts_are_errors(text: apsw.Connection, function: str, value: str) -> None:
    with pytest.raises(apsw.SQLError, match=r"\(position 1\) takes TEXT with a date") as caught:
        one(text, f"SELECT {function}(?)", value)
    assert isinstance(caught.value.__cause__, udfvm.TypeMappingError)
    assert str(caught.value).endswith(f"; got '{value}'")


def test_wrong_texts_are_shown_visible_and_cut(text: apsw.Connection) -> None:
    for given_text, shown in (
        ("31.01.2026\x1b\n", r"'31.01.2026\x1b\x0a'"),
        ("x" * 40, f"'{'x' * 40}'"),
        ("x" * 41, f"'{'x' * 40}...'"),
        ("x" * 38 + "€€", f"'{'x' * 38}...'"),
    ):
        with pytest.raises(apsw.SQLError) as caught:
            one(text, "SELECT next_day(?)", given_text)
        assert str(caught.value).endswith(f"; got {shown}")
        assert str(caught.value.__cause__).endswith(f"; got {shown}")
    with pytest.raises(apsw.SQLError):
        one(text, "SELECT next_day(CAST(? AS TEXT))", b"\x80" * 100)


@pytest.mark.parametrize("times", [None, "integer"])
def test_errors_say_how_to_take_text(times: Literal["integer"] | None) -> None:
    con = connection(times, next_day, same_moment, date64=DATE64)
    remedy = r"1970 here: register\(..., times='text'\) takes text$"
    for call, unit in (
        ("next_day('2026-01-31')", "dates are days since"),
        ("same_moment('2026-01-31 12:00:00')", "timestamps are counts of their unit since"),
        ("date64('2026-01-31')", "timestamps are counts of their unit since"),
    ):
        with pytest.raises(apsw.SQLError, match=f"takes INTEGER; got TEXT; {unit} {remedy}"):
            one(con, f"SELECT {call}")
    if times is None:
        con = connection(None, next_day, same_time)
        remedy = r"such as '12:00:00': register\(..., times='integer'\) takes integers$"
        with pytest.raises(apsw.SQLError, match=f"got INTEGER; times of day are TEXT.*{remedy}"):
            one(con, "SELECT same_time(1)")
    with pytest.raises(apsw.SQLError, match=r"takes INTEGER; got REAL$"):
        one(con, "SELECT next_day(1.5)")


def test_errors_say_how_to_take_decimals() -> None:
    @udfvm.udf(input_types=["decimal128(9, 2)"], output_type="decimal128(9, 2)")
    def same_price(price: Any) -> Any:
        return price

    con = connection(None, same_price)
    assert one(con, "SELECT same_price(CAST(1.5 AS TEXT))") == "1.50"
    for value, type_ in ((1.5, "REAL"), (2, "INTEGER")):
        with pytest.raises(apsw.SQLError, match="takes TEXT; got ") as caught:
            one(con, "SELECT same_price(?)", value)
        remedy = f"got {type_}; decimals are TEXT here: CAST(x AS TEXT)"
        assert str(caught.value).endswith(remedy)


@pytest.mark.parametrize("value", [20_000, 1.5, b"2026-01-01"])
def test_other_types_are_errors(text: apsw.Connection, value: object) -> None:
    with pytest.raises(apsw.SQLError, match="takes TEXT with a date, such as '2026-01-31'"):
        one(text, "SELECT next_day(?)", value)


def test_zones(text: apsw.Connection) -> None:
    """Text of moments in a zone has an offset, and that of results is in UTC."""
    for given_text in (
        "2026-07-01 12:00:00Z",
        "2026-07-01T14:00:00+02:00",
        "2026-07-01 06:30-05:30",
    ):
        assert one(text, "SELECT zoned(?)", given_text) == "2026-07-01 12:00:00+00:00"


def test_units(text: apsw.Connection) -> None:
    assert one(text, "SELECT seconds('2026-01-01 00:00:01')") == "2026-01-01 00:00:01"
    assert one(text, "SELECT milliseconds('2026-01-01 00:00:01.5')") == "2026-01-01 00:00:01.500"
    written = "2026-01-01 00:00:01.000000500"
    with pytest.raises(apsw.SQLError, match="which has microseconds"):
        one(text, "SELECT nanoseconds(?)", written)  # which a datetime cannot hold
    assert one(text, "SELECT date64('2026-01-01')") == "2026-01-01"


def test_defaults(text: apsw.Connection) -> None:
    assert one(text, "SELECT since('2026-01-01 12:00:01')") == 1.0
    assert one(text, "SELECT since('2026-01-01 12:00:01', '2026-01-01 12:00:00.5')") == 0.5


def test_signatures(text: apsw.Connection, integer: apsw.Connection) -> None:
    query = "SELECT signature FROM vm_functions WHERE name = ?"
    assert one(text, query, "same_moment") == "(moment text) -> text"
    assert one(integer, query, "same_time") == "(time int) -> int"


def test_counts_of_days(integer: apsw.Connection) -> None:
    for sql in ("SELECT date64(?)", "SELECT value FROM vm_map('date64', 'SELECT 1, ' || ?)"):
        assert one(integer, sql, -86_400_000) == -86_400_000
        with pytest.raises(apsw.SQLError, match=r"date64\[ms\] -1 does not represent a whole"):
            one(integer, sql, -1)


def test_counts_of_times_of_day(integer: apsw.Connection) -> None:
    assert one(integer, "SELECT half_past(0)") == 1_800_000_000
    assert one(integer, "SELECT same_time(86399999999)") == 86_399_999_999
    assert one(integer, "SELECT seconds(86399)") == 86_399
    assert one(integer, "SELECT milliseconds(1)") == 1
    assert one(integer, "SELECT nanoseconds(1000)") == 1000
    assert one(integer, "SELECT same_date(1)") == 1
    for wrong in (-1, 86_400_000_000, "12:00:00", 1.0):
        with pytest.raises(apsw.SQLError, match="takes INTEGER, a time since midnight"):
            one(integer, "SELECT same_time(?)", wrong)
    with pytest.raises(apsw.SQLError, match=r"since midnight; got INTEGER 86400000000$"):
        one(integer, "SELECT same_time(86400000000)")


@given(st.datetimes())
def test_every_moment(moment: datetime.datetime) -> None:
    con = _everything("text")
    written = moment.isoformat(" ", "microseconds")
    result = one(con, "SELECT same_moment(?)", written)
    assert datetime.datetime.fromisoformat(result) == moment
    offset = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
    if 1 < moment.year < 9999:
        aware = moment.replace(tzinfo=offset)
        result = one(con, "SELECT zoned(?)", aware.isoformat())
        assert datetime.datetime.fromisoformat(result) == aware
        assert result.endswith("+00:00")


@given(st.dates())
def test_every_date(day: datetime.date) -> None:
    assert one(_everything("text"), "SELECT same_date(?)", str(day)) == str(day)


@given(st.times())
def test_every_time(time: datetime.time) -> None:
    count = (time.hour * 3600 + time.minute * 60 + time.second) * 10**6 + time.microsecond
    assert one(_everything("integer"), "SELECT same_time(?)", count) == count


_connections: dict[str, Any] = {}


def _everything(times: Literal["text", "integer"]) -> Any:
    if times not in _connections:
        _connections[times] = connection(times, same_moment, same_date, same_time, zoned=ZONED)
    return _connections[times]


@udfvm.table_function(
    input_types=["date"], columns={"day": "date", "at": "time", "moment": "timestamp[s]"}
)
def days(first):  # type: ignore[no-untyped-def]
    for number in range(2):
        day = first + datetime.timedelta(days=number)
        yield day, datetime.time(number), datetime.datetime.combine(day, datetime.time(number))


@udfvm.aggregate
class Latest:
    def __init__(self) -> None:
        self.latest: datetime.datetime | None = None

    def step(self, moment: datetime.datetime) -> None:
        self.latest = moment if self.latest is None else max(self.latest, moment)

    def finish(self) -> datetime.datetime | None:
        return self.latest


@udfvm.udf(vectorized=True, input_types=["timestamp[us]"], output_type="date32")
def far(moment):  # type: ignore[no-untyped-def]
    import pyarrow as guest_pa

    return guest_pa.array([3_000_000] * len(moment), guest_pa.int32()).cast(guest_pa.date32())


def test_table_functions_aggregates_and_batches() -> None:
    con = connection("text", days, Latest, same_moment, far)
    rows = con.execute("SELECT day, at, moment FROM days('2026-02-28')").fetchall()
    assert rows == [
        ("2026-02-28", "00:00:00.000000", "2026-02-28 00:00:00"),
        ("2026-03-01", "01:00:00.000000", "2026-03-01 01:00:00"),
    ]
    con.execute("CREATE TABLE t (at TEXT)")
    con.execute("INSERT INTO t VALUES ('2026-01-01 00:00:00'), ('2026-06-01 00:00:00'), (NULL)")
    query = "SELECT latest(at) FROM t WHERE at IS NOT NULL"
    assert con.execute(query).fetchall() == [("2026-06-01 00:00:00",)]
    query = "SELECT value FROM vm_map('same_moment', 'SELECT rowid, at FROM t')"
    assert con.execute(query).fetchall() == [
        ("2026-01-01 00:00:00",),
        ("2026-06-01 00:00:00",),
        (None,),
    ]
    with pytest.raises(apsw.SQLError, match="outside of the years 0 to 9999"):
        con.execute("SELECT value FROM vm_map('far', 'SELECT rowid, at FROM t')").fetchall()


def test_forged_times_of_day_are_refused() -> None:
    """A guest may reply with any text where a time of day is declared."""

    @udfvm.udf
    def forged(text: str) -> datetime.time:
        class Time(datetime.time):
            def isoformat(self, *_: str) -> str:
                return text

        return Time(12)

    con = connection("integer", forged)
    assert one(con, "SELECT forged('00:00:01')") == 1_000_000
    for text in ("noon", "", "24:00:00", "12:00:00.0000001", "12:00:00+00:00", "1" * 100_000):
        with pytest.raises(apsw.SQLError, match="not a time of day") as caught:
            one(con, "SELECT forged(?)", text)
        assert isinstance(caught.value.__cause__, udfvm.ProtocolError)


def test_errors_say_what_text_there_may_be(text: apsw.Connection) -> None:
    with pytest.raises(apsw.SQLError, match="a date and a time, without an offset, such as"):
        one(text, "SELECT later('2026-01-31T12:00:00Z', 1)")
    with pytest.raises(apsw.SQLError, match="a time in whole seconds"):
        one(text, "SELECT seconds('2026-01-31 12:00:00.5')")


def test_the_option_is_checked() -> None:
    con = apsw.Connection(":memory:")
    with pytest.raises(udfvm.OptionError, match=r"udfvm.sqlite.register: times"):
        udfvm.sqlite.register(con, same_date, times="iso")  # type: ignore[arg-type]
