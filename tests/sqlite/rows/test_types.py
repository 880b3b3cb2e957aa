"""Types of SQL and of Python: values both ways, and what fits none."""

from __future__ import annotations

import math
from typing import Any

import apsw
import pytest
from row_functions import (
    Query,
    error_of,
)

import udfvm
import udfvm.sqlite


@pytest.mark.parametrize(
    ("function", "value"),
    [
        *(("same_int", value) for value in (0, 1, -1, 2**63 - 1, -(2**63))),
        *(("same_float", value) for value in (0.0, 0.1, -1e308, 5e-324, math.inf, -math.inf)),
        *(("same_bool", value) for value in (0, 1)),
        *(("same_text", value) for value in ("", "a", "a\0b", "naïve 🐍", "x" * 1_000_000)),
        *(("same_blob", value) for value in (b"", b"\0", bytes(range(256)), b"\0\xff" * 500_000)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_go_both_ways(query: Query, function: str, value: Any) -> None:
    [(result, through_name)] = query(f"SELECT {function}(?1), vm_udf('{function}', ?1)", value)
    assert result == value and type(result) is type(value)
    assert through_name == value


def test_integer_is_taken_as_float(query: Query) -> None:
    assert query("SELECT same_float(3), typeof(same_float(3))") == [(3.0, "real")]


def test_nan_becomes_null(query: Query) -> None:
    assert query("SELECT not_a_number(), same_float(9e999)") == [(None, math.inf)]


def test_negative_zero(query: Query) -> None:
    [(value,)] = query("SELECT same_float(?)", -0.0)
    assert math.copysign(1, value) == -1


def test_null_makes_the_result_null_without_a_call(query: Query) -> None:
    assert query("SELECT counter(NULL), counter(1), counter(NULL), counter(1)") == [
        (None, 1, None, 2)
    ]


def test_null_reaches_a_parameter_that_allows_none(query: Query) -> None:
    assert query("SELECT type_of(NULL), type_of('x')") == [("NoneType", "str")]


def test_none_becomes_null(query: Query) -> None:
    assert query("SELECT score(1, 0), vm_udf('score', 1, 0)") == [(None, None)]


def test_no_arguments(query: Query) -> None:
    assert query("SELECT constant(), vm_udf('constant')") == [(42, 42)]


VALUE = "argument 'value' (position 1)"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("same_int('1')", f"UDF 'same_int', row 0: {VALUE} takes INTEGER; got TEXT"),
        ("same_int(1.5)", f"UDF 'same_int', row 0: {VALUE} takes INTEGER; got REAL"),
        (
            "same_float('1')",
            f"UDF 'same_float', row 0: {VALUE} takes REAL or INTEGER; got TEXT",
        ),
        (
            "score(1, x'00')",
            "UDF 'score', row 0: argument 'distance' (position 2) takes REAL or INTEGER; got BLOB",
        ),
        ("same_text(1)", f"UDF 'same_text', row 0: {VALUE} takes TEXT; got INTEGER"),
        ("same_text(x'61')", f"UDF 'same_text', row 0: {VALUE} takes TEXT; got BLOB"),
        ("same_blob('a')", f"UDF 'same_blob', row 0: {VALUE} takes BLOB; got TEXT"),
        (
            "same_bool(2)",
            (f"UDF 'same_bool', row 0: {VALUE} takes INTEGER 0 or 1 (a bool); got INTEGER 2"),
        ),
        (
            "same_bool('1')",
            (f"UDF 'same_bool', row 0: {VALUE} takes INTEGER 0 or 1 (a bool); got TEXT"),
        ),
        (
            "same_text(CAST(x'ff' AS TEXT))",
            f"UDF 'same_text', row 0: {VALUE} is TEXT that is not valid UTF-8",
        ),
        ("vm_udf('same_int')", "UDF 'same_int': it takes 1 argument (value); got 0"),
        ("vm_udf('score', 1)", "UDF 'score': it takes 2 arguments (dep_delay, distance); got 1"),
        (
            "vm_udf('nobody', 1)",
            (
                "vm_udf: no UDF named 'nobody' is registered on this connection (registered: score,"
                " same_int"
            ),
        ),
        ("vm_udf()", "vm_udf: the first argument must be the name of a UDF"),
        ("vm_udf(NULL)", "vm_udf: the first argument must be the name of a UDF"),
    ],
)
def test_wrong_arguments_are_errors(query: Query, call: str, expected: str) -> None:
    assert error_of(query, f"SELECT {call}").startswith(expected)


def test_wrong_count_under_its_own_name(query: Query) -> None:
    assert "wrong number of arguments" in error_of(query, "SELECT score(1)")


def test_too_large_an_argument(query: Query) -> None:
    assert "does not fit into the input window" in error_of(
        query, "SELECT length(same_blob(zeroblob(900000000)))"
    )


def test_registering_a_type_that_sql_has_not() -> None:
    @udfvm.udf(input_types=["uint64"])
    def unsigned(value: int) -> int:
        return value

    connection = apsw.Connection(":memory:")
    with pytest.raises(udfvm.TypeMappingError, match=r"unsigned.*'value'.*uint64"):
        udfvm.sqlite.register(connection, unsigned)
    connection.close()
