"""Arguments that only the guest can refuse: the same error in Python and in SQL, with the argument
and the row. What a guest says of arguments is checked.
"""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal
from typing import Any

import apsw
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm.layouts import GUEST_ERROR
from udfvm.protocol import OUTPUT_BASE, STATUS_ERROR, VECTOR_COMPLETE
from udfvm.vmm.guest_error import excerpt, parse


@udfvm.udf
def hour(day: int, at: datetime.time) -> int:
    return day + at.hour


@udfvm.udf(input_types=["list<int64>"], output_type="int64")
def count(x: list[int]) -> int:
    return len(x)


@udfvm.udf(input_types=["decimal128(5, 2)"], output_type="string")
def text(x: Decimal) -> str:
    return str(x)


@udfvm.udf(input_types=["int8"], output_type="int64")
def small(x: int) -> int:
    return x


@udfvm.udf(vectorized=True, input_types=["list<int64>"], output_type="int64")
def lengths(x: pa.Array) -> pa.Array:
    return pc.list_value_length(x).cast("int64")


@udfvm.table_function(input_types=["list<int64>"], columns={"item": "int64"})
def items(x: list[int]):  # type: ignore[no-untyped-def]
    yield from ((item,) for item in x)


@udfvm.aggregate(input_types=["list<int64>"])
class Total:
    def __init__(self) -> None:
        self.count = 0

    def step(self, x: list[int]) -> None:
        self.count += len(x)

    def finish(self) -> int:
        return self.count


NARROW = udfvm.from_wasm(
    '(module (func (export "narrow") (param i32) (result i32) local.get 0))',
    "narrow",
    signature="(x: i64) -> i64",
)


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    made = apsw.Connection(":memory:")
    policy = udfvm.sqlite.Policy(allow_create=True)
    functions = hour, count, text, small, lengths, items, Total, NARROW
    udfvm.sqlite.register(made, *functions, policy=policy)
    made.execute(
        "SELECT vm_create('words', 'python', 'def f(x): return len(x)', '(x: json) -> int')"
    )
    return made


@pytest.mark.parametrize(
    ("statement", "udf", "row", "argument", "reason"),
    [
        ("SELECT hour(1, '25:00')", "hour", 0, ("at", 2), "is not a time64[us]: '25:00' is no ti"),
        ("SELECT hour(1, 'noon')", "hour", 0, ("at", 2), "is not a time64[us]: 'noon' where a t"),
        ("SELECT text('1.5x')", "text", 0, ("x", 1), "is not a decimal128(5, 2): '1.5x' where a"),
        ("SELECT text('1.234')", "text", 0, ("x", 1), "is not a decimal128(5, 2): Decimal('1.234'"),
        ("SELECT count('[1')", "count", 0, ("x", 1), "is not valid JSON: Expecting ',' delimiter"),
        ("SELECT count('[\"a\"]')", "count", 0, ("x", 1), "is not a list<item: int64>: item 0: ex"),
        ("SELECT count(y) FROM two", "count", 1, ("x", 1), "is not valid JSON: Expecting value"),
        ("SELECT vm_udf('words', '{')", "words", 0, ("x", 1), "is not valid JSON: Expecting prop"),
        ("SELECT small(300)", "small", 0, ("x", 1), "is not an int8: 300 is out of its range"),
        ("SELECT * FROM vm_map('small', 'SELECT 1, 1 UNION ALL SELECT 1, 300')",
            "small", 1, ("x", 1), "is 300, out of the range of int8"),
        ("SELECT * FROM vm_map('count', 'SELECT 1, y FROM two')",
            "count", 1, ("x", 1), "is not valid JSON: Expecting value"),
        ("SELECT * FROM vm_map('lengths', 'SELECT 1, y FROM two')",
            "lengths", 1, ("x", 1), "is not valid JSON: Expecting value"),
        ("SELECT * FROM vm_table('items', '[')", "items", 0, ("x", 1), "is not valid JSON: Exp"),
        ("SELECT total(y) FROM two", "total", 1, ("x", 1), "is not valid JSON: Exp"),
        ("SELECT vm_agg('total', y) FROM two", "total", 1, ("x", 1), "is not valid JSON: Exp"),
        ("SELECT narrow(5000000000)", "narrow", 0, ("x", 1), "is 5000000000, out of range of i32"),
    ],
)  # fmt: skip
def test_sql_has_the_class_and_the_text_of_python(
    connection: apsw.Connection,
    statement: str,
    udf: str,
    row: int,
    argument: tuple[str, int],
    reason: str,
) -> None:
    rows = "WITH two(y) AS (VALUES ('[1]'), ('[x')) "
    if "vm_map" in statement:
        statement = statement.replace(
            "FROM two", "FROM (SELECT ''[1]'' AS y UNION ALL SELECT ''[x'')"
        )
    with pytest.raises(apsw.SQLError) as caught:
        connection.execute(rows + statement).fetchall()
    error = caught.value.__cause__
    assert isinstance(error, udfvm.TypeMappingError)
    assert (error.row, error.argument, error.position) == (row, *argument)
    assert error.reason.startswith(reason)
    assert str(error) == str(caught.value)
    name, position = argument
    assert str(error) == (
        f"UDF {udf!r}, row {row}: argument {name!r} (position {position}) {error.reason}"
    )


def test_a_failure_in_sql_says_nothing_of_the_output_of_another(
    connection: apsw.Connection,
) -> None:
    with pytest.raises(apsw.SQLError):
        connection.execute("SELECT count('[1')").fetchall()
    with pytest.raises(udfvm.TypeMappingError):
        hour(1, "noon")


def test_columns_name_the_row_among_all() -> None:
    for column in (pa.array([1, 2, 2**40]), pa.chunked_array([[1, 2], [2**40]])):
        with pytest.raises(
            udfvm.TypeMappingError, match="is 1099511627776, out of range"
        ) as caught:
            NARROW(column)
        assert (caught.value.row, caught.value.argument, caught.value.position) == (2, "x", 1)
    with pytest.raises(
        udfvm.TypeMappingError, match=r"'narrow', row 2: argument 'x' \(pos"
    ) as caught:
        NARROW(pa.array([1, 2, 2**40]).to_numpy())
    assert caught.value.row == 2
    with pytest.raises(udfvm.TypeMappingError, match=r"^UDF 'narrow': argument 'x'") as caught:
        NARROW(2**40)
    assert caught.value.row is None


def test_pipelines_leave_out_the_row() -> None:
    source = pa.table({"x": [*range(1000), 2**40, *range(10)]})
    with pytest.raises(udfvm.TypeMappingError, match=r"^UDF 'narrow', row 1000: argument 'x'"):
        NARROW.map(source)
    made = NARROW.map(source, on_error="null")["narrow"]
    assert made.null_count == 1
    assert not made[1000].is_valid


def test_kernels_of_arrow_count_in_the_batch() -> None:
    udfvm.arrow.register(None, NARROW, name="narrow_in_arrow")
    with pytest.raises(
        udfvm.TypeMappingError, match=r"^UDF 'narrow', row 1 of its batch: argument 'x'"
    ):
        pc.call_function("narrow_in_arrow", [pa.array([1, 2**40])])


# ---- Guests that are not honest ----


def report(argument: int, row: int = 0, *, lengths: tuple[int, int, int] = (4, 3, 0)) -> bytes:
    return GUEST_ERROR.pack(*lengths, 0, argument, row) + b"Typewhy"


@udfvm.udf
def forges(data: bytes) -> int:
    import ctypes

    ctypes.memmove(OUTPUT_BASE, data, len(data))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(
        STATUS_ERROR, len(data)
    )
    return 0


@pytest.mark.parametrize("argument", [2, 3, 1 << 15, (1 << 16) - 1])
def test_an_argument_that_the_function_does_not_have(argument: int) -> None:
    message = (
        r"the guest's reply is not valid: its error is about an argument that the function does"
    )
    with pytest.raises(udfvm.ProtocolError, match=message):
        forges(report(argument))
    with pytest.raises(udfvm.ProtocolError, match=message):
        forges(pa.array([report(argument)]))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, forges)
    with pytest.raises(apsw.SQLError, match=message) as caught:
        connection.execute("SELECT forges(?)", (report(argument),)).fetchall()
    assert isinstance(caught.value.__cause__, udfvm.ProtocolError)


def test_what_a_guest_says_of_an_argument_is_shown_as_guest_text() -> None:
    data = GUEST_ERROR.pack(1, 6, 0, 0, 1, 7) + b"T\x1b[31m\xff"
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, forges)
    with pytest.raises(udfvm.TypeMappingError) as caught:
        forges(data)
    text = "argument 'data' (position 1) \\x1b[31m\ufffd"
    assert str(caught.value) == f"UDF 'forges': {text}"
    with pytest.raises(apsw.SQLError) as told:
        connection.execute("SELECT forges(?)", (data,)).fetchall()
    assert str(told.value) == f"UDF 'forges', row 0: {text}"
    huge = GUEST_ERROR.pack(0, 1 << 20, 0, 0, 1, 0) + b"x" * (1 << 20)
    for call in (
        lambda: forges(huge),
        lambda: connection.execute("SELECT forges(?)", (huge,)).fetchall(),
    ):
        with pytest.raises((udfvm.TypeMappingError, apsw.SQLError)) as cut:
            call()
        assert len(str(cut.value)) < 1 << 16


def test_damaged_reports(connection: apsw.Connection) -> None:
    names = ["x", "y"]
    whole = report(2)
    assert (
        str(parse(whole, "f", parameters=names)) == "UDF 'f', row 0: argument 'y' (position 2) why"
    )
    for wrong in (
        *(whole[:length] for length in range(len(whole))),
        report(1, lengths=(2**32 - 1, 2**32 - 1, 2**32 - 1)),
        report(1, lengths=(0, 8, 0)),
        report(3),
    ):
        assert isinstance(parse(wrong, "f", parameters=names), udfvm.ProtocolError)
    assert isinstance(parse(whole, "f", loading=True), udfvm.ProtocolError)
    crash = struct.pack("<IIIHHq", 4, 3, 0, 11, 1, 0) + b"Typewhy" + bytes(16)
    assert isinstance(parse(crash, "f", parameters=names), udfvm.GuestCrashError)
    for row, expected in ((0, 5), (9, 14), (10, None), (-1, None), (-2, None), (2**62, None)):
        failure: Any = parse(report(1, row), "f", 5, 10, parameters=names)
        assert (failure.row, failure.argument) == (expected, "x")


def test_a_long_report_is_copied_in_part() -> None:
    long = GUEST_ERROR.pack(4, 1 << 20, 0, 0, 2, 3) + b"Type" + b"y" * (1 << 20)
    kept = excerpt(memoryview(long))
    assert len(kept) < 1 << 16
    failure: Any = parse(kept, "f", 0, 5, parameters=["a", "b"])
    assert (failure.argument, failure.row) == ("b", 3)
