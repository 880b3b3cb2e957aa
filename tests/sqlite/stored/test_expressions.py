"""Expressions in SQL: vm_expr."""

from __future__ import annotations

import struct
from typing import Any

import apsw
import pytest
from stored_functions import ROWS, created, error_of, opened

import udfvm
import udfvm.sqlite
from udfvm.protocol import (
    OUTPUT_BASE,
    STATUS_OK,
    TYPE_BLOB,
    TYPE_BOOL,
    TYPE_INT64,
    TYPE_NULL,
    TYPE_TEXT,
    VECTOR_COMPLETE,
)
from udfvm.sqlite import Policy


@pytest.fixture(scope="module")
def expressions() -> apsw.Connection:
    return opened(":memory:")


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("'a / b * 100', 3, 60.0", 5.0),
        ("'a', 9223372036854775807", 2**63 - 1),
        ("'a', -0.5", -0.5),
        ("'a', 'ä'", "ä"),
        ("'a', x'00ff'", b"\x00\xff"),
        ("'a + b', x'00', x''", b"\x00"),
        ("'type(a).__name__ + type(b).__name__', 1, 1.0", "intfloat"),
        ("'a is None', NULL", None),
        ("'a', coalesce(NULL, 7)", 7),
        ("'None'", None),
        ("'a > b', 2, 1", 1),
        ("' a\n + 1 ', 1", 2),
        ("'[a, (1,), {\"x\": b}]', 1, 2.5", '[1,[1],{"x":2.5}]'),
        ("'datetime.date(2020, 1, a)', 3", "2020-01-03"),
        ("'decimal.Decimal(a) * 2', '1.50'", "3.00"),
        ("'fractions.Fraction(a, 4)', 3", 0.75),
        ("'bytearray(a)', x'01'", b"\x01"),
        ("'float(\"nan\")'", None),
        ("'a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*p*q*r*s*t*u*v*w*x*y*z'" + ", 1" * 26, 1),
    ],
)
def test_values(expressions: apsw.Connection, call: str, result: Any) -> None:
    [(found,)] = expressions.execute(f"SELECT vm_expr({call})").fetchall()
    if isinstance(result, str) and result.startswith("["):
        found = found.replace(" ", "")
    assert found == result and type(found) is type(result)


@pytest.mark.parametrize(
    ("call", "cause", "text"),
    [
        ("'a +* b', 1, 2", "UDFError", "    a +* b\n       ^\nSyntaxError: invalid syntax"),
        ("'x = 1'", "UDFError", "SyntaxError"),
        ("'a / b', 1, 0", "UDFError", "row 0: ZeroDivisionError: division by zero"),
        ("'2 ** 70'", "UDFError", "OverflowError"),
        ("'object()'", "UDFError", "the expression gave object, which SQL has no value for"),
        ("'c', 1, 2", "UDFError", "NameError: name 'c' is not defined"),
        ("'a', CAST(x'ff' AS TEXT)", "TypeMappingError", "not valid UTF-8"),
        ("1", "TypeMappingError", "vm_expr: the first argument must be an expression"),
        ("NULL", "TypeMappingError", "vm_expr: the first argument must be an expression"),
        ("'a'" + ", 1" * 27, "TypeMappingError", "vm_expr: an expression has at most 26 values"),
        ("'" + "(" * 5000 + "'", "UDFError", "too many nested parentheses"),
        ("'" + "é" * 300 + " +'", "UDFError", "invalid syntax"),
        ("'a' || char(10) || 'b'", "UDFError", "UDF 'a"),
    ],
)
def test_errors(expressions: apsw.Connection, call: str, cause: str, text: str) -> None:
    with pytest.raises(apsw.Error) as caught:
        expressions.execute(f"SELECT vm_expr({call})").fetchall()
    assert text in str(caught.value) and type(caught.value.__cause__).__name__ == cause
    assert expressions.execute("SELECT vm_expr('a', 1)").fetchall() == [(1,)]


def test_each_text_is_a_function_of_its_own(expressions: apsw.Connection) -> None:
    """One of a text and a number of values, which no name finds, and which is loaded once."""
    calls = "vm_expr('a', 1), vm_expr('a', 2, 3), vm_expr('b', 4, 5), vm_expr(' a', 6)"
    assert expressions.execute(f"SELECT {calls}").fetchall() == [(1, 2, 5, 6)]
    created(expressions, "a", "def a(): return 7", "() -> int")
    query = "SELECT vm_expr('a', 1), vm_udf('a'), vm_expr('a', 2)"
    assert expressions.execute(query).fetchall() == [(1, 7, 2)]
    assert "no function" in error_of(expressions, "SELECT vm_drop('b')")
    formulas = "WITH f(t) AS (VALUES ('a + 1'), ('a * 3'), (NULL)) SELECT vm_expr(t, 2) FROM f"
    rows = expressions.execute(formulas)
    assert [next(rows), next(rows)] == [(3,), (6,)]
    with pytest.raises(apsw.SQLError, match="must be an expression"):
        next(rows)
    expressions.execute("SELECT vm_release()").fetchall()
    expressions.execute("SELECT vm_expr('a', 1)").fetchall()
    expressions.execute("SELECT vm_expr('a', 1)").fetchall()
    assert expressions.execute("SELECT vm_release()").fetchall() == [(1,)]


def test_rows_stream(expressions: apsw.Connection) -> None:
    query = ROWS.format(3000) + "SELECT sum(vm_expr('a * 2 + b', i, 0.5)) FROM n"
    assert expressions.execute(query).fetchall() == [(3000 * 3001 + 1500.0,)]
    mixed = ROWS.format(40) + (
        "SELECT group_concat(vm_expr('type(a).__name__[0]', CASE i % 4 WHEN 0 THEN i WHEN 1 THEN"
        " i / 2.0 WHEN 2 THEN 'x' END), '') FROM n"
    )
    assert expressions.execute(mixed).fetchall() == [("fsi" * 10,)]


def test_the_policy_holds() -> None:
    without = opened(":memory:", None)
    assert "does not allow functions of language 'python'" in error_of(
        without, "SELECT vm_expr('1')"
    )
    limited = opened(":memory:", Policy(row_timeout=0.2, max_source=40))
    assert "0.2 s" in error_of(limited, "SELECT vm_expr('sum(iter(int, 1))')")
    assert "max_source" in error_of(limited, f"SELECT vm_expr('1{' ' * 40}')")
    view = opened(":memory:")
    view.execute("CREATE VIEW v AS SELECT vm_expr('1')")
    assert "unsafe use of vm_expr" in error_of(view, "SELECT * FROM v")


def row_reply(type_: int, length: int = 0, value: int = 0, data: bytes = b"") -> bytes:
    """A reply of one value, as a guest could write it."""
    return struct.pack("<IIQ", type_, length, value) + data


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (row_reply(TYPE_INT64, 0, 7), 7),
        (row_reply(TYPE_TEXT, 2, 16, b"ab"), "ab"),
        (row_reply(TYPE_NULL, 5, 5), None),
        (row_reply(TYPE_BOOL, 0, 2), "neither 0 nor 1"),
        (row_reply(TYPE_TEXT, 2, 16, b"\xff\xff"), "not valid UTF-8"),
        (row_reply(TYPE_TEXT, 3, 16, b"ab"), "bytes outside of the reply"),
        (row_reply(TYPE_BLOB, 2**32 - 1, 2**64 - 1, b"ab"), "bytes outside of the reply"),
        (row_reply(99, 2, 16, b"ab"), "not of the declared type"),
        (row_reply(2**32 - 1), "not of the declared type"),
        (b"short", "too short"),
    ],
)
def test_forged_replies(reply: bytes, result: object) -> None:
    """A result of any type is one of SQL's, whatever the guest says that it is."""
    connection = opened(":memory:", Policy(files=True))
    evil = (
        f"[ctypes.memmove({OUTPUT_BASE}, a, len(a)), ctypes.CFUNCTYPE(None, ctypes.c_uint64,"
        f" ctypes.c_uint64)({VECTOR_COMPLETE})({STATUS_OK}, len(a))]"
    ).replace("ctypes.", "__import__('ctypes').")
    if isinstance(result, str) and result != "ab":
        assert result in error_of(connection, "SELECT vm_expr(?, ?)", evil, reply)
    else:
        found = connection.execute("SELECT vm_expr(?, ?)", (evil, reply)).fetchall()
        assert found == [(result,)]
    assert connection.execute("SELECT vm_expr('a', 1)").fetchall() == [(1,)]


def test_more_texts_than_micro_vms() -> None:
    with udfvm.Pool(size=2) as pool:
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, policy=Policy(pool=pool))
        texts = "(SELECT value AS i FROM json_each('[1,2,3,4,5,6,7,8,9]'))"
        query = f"SELECT group_concat(vm_expr('a * ' || (i % 4), i), ' ') FROM {texts}"
        assert connection.execute(query).fetchall() == [("1 4 9 0 5 12 21 0 9",)]
        open_ = connection.execute("SELECT vm_expr('a', 1) UNION ALL SELECT vm_expr('a + 0', 2)")
        assert next(open_) == (1,)
        assert connection.execute(query).fetchall() == [("1 4 9 0 5 12 21 0 9",)]
        assert next(open_) == (2,)
        open_.close()
        connection.close()
