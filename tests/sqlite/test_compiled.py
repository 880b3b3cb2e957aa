"""Functions in compiled code in SQL: stored in databases, sealed for programs without Python, in
batches.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import udfvm
import udfvm.sqlite
from udfvm.sqlite import Policy, _extension, sealed

SOURCE = r"""
#include <udfvm.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

UDFVM_SCALAR(ratio, optional_f64, (f64, a), (f64, b)) { return b == 0 ? udfvm_null_f64() : udfvm_some_f64(a / b); }
UDFVM_SCALAR(or_seven, i64, (optional_i64, value)) { return value.valid ? value.value : 7; }
UDFVM_SCALAR(negate, boolean, (boolean, value)) { return !value; }
UDFVM_SCALAR(narrow, i16, (i8, a), (u32, b), (f32, c)) { return (int16_t)(a - (int)b + (int)c); }
UDFVM_SCALAR(half, f32, (f32, value)) { return value / 2; }
UDFVM_SCALAR(twice, text, (text, value))
{
    udfvm_text made = { udfvm_allocate(2 * value.length + 1), 2 * value.length };
    memcpy((char *)made.data, value.data, value.length);
    memcpy((char *)made.data + value.length, value.data, value.length);
    return made;
}
UDFVM_SCALAR(tail, optional_blob, (blob, value))
{
    return value.length ? udfvm_some_blob((udfvm_blob){ value.data + 1, value.length - 1 }) : udfvm_null_blob();
}
UDFVM_SCALAR(root, f64, (f64, value))
{
    if (value < 0)
        udfvm_fail("no root of %g", value);
    return sqrt(value);
}
UDFVM_SCALAR(same, i64, (i64, value)) { return value; }
UDFVM_VECTOR(total, f64, (f64, a), (f64, b))
{
    const double *a = arguments[0].buffers[1], *b = arguments[1].buffers[1];
    double *out = (double *)result->buffers[1];
    for (int64_t row = 0; row < result->length; row++)
        out[row] = a[row] + b[row];
}
static int64_t state;
UDFVM_SCALAR(calls, i64) { return ++state; }
UDFVM_SCALAR(crash, i64, (i64, value)) { return value == 3 ? *(volatile int *)8 : value; }
UDFVM_SCALAR(endless, i64, (i64, value)) { for (;;) state++; return value; }
UDFVM_SCALAR(leaves, i64, (i64, value)) { _exit((int)value); }
UDFVM_SCALAR(forges, i64, (i64, value))
{
    memset((void *)0x5000000000, 0xff, 64);
    ((void (*)(uint64_t, uint64_t))0x200040)(0, (uint64_t)value);
    return 1;
}
UDFVM_SCALAR(privileged, i64, (i64, value)) { __asm__ volatile("outb %%al, $0x80" ::"a"((char)value)); return value; }
double plain(double a, int64_t b) { return a * (double)b; }
"""
CONSTRUCTOR = r"""
#include <udfvm.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) { %s }
UDFVM_SCALAR(f, i64) { return 1; }
"""
SIGNATURES = {
    "ratio": "(double, double) -> double",
    "or_seven": "(int?) -> int",
    "negate": "(bool) -> bool",
    "narrow": "(int, int, double) -> int",
    "half": "(double) -> double",
    "twice": "(text) -> text",
    "tail": "(blob) -> blob",
    "root": "(double) -> double",
    "same": "(int) -> int",
    "total": "(double, double) -> double",
    "plain": "(double, int) -> double",
    "calls": "() -> int",
    "crash": "(int) -> int",
    "endless": "(int) -> int",
    "leaves": "(int) -> int",
    "forges": "(int) -> int",
    "privileged": "(int) -> int",
}
MODULE = """(module
    (func (export "area") (param f64 f64) (result f64) local.get 0 local.get 1 f64.mul)
    (func (export "next") (param i32) (result i32) local.get 0 i32.const 1 i32.add)
    (func $trap (export "trap") (param i64) (result i64) local.get 0 i64.eqz if unreachable end local.get 0)
    (func (export "spin") (param i64) (result i64) loop br 0 end unreachable)
    (global $count (mut i64) (i64.const 0))
    (func (export "calls") (result i64) global.get $count i64.const 1 i64.add global.set $count global.get $count))"""
WASM_SIGNATURES = {
    "area": "(double, double) -> double",
    "next": "(int) -> int",
    "trap": "(int) -> int",
    "spin": "(int) -> int",
    "calls": "() -> int",
}
ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


def compiled(folder: Path, source: str) -> bytes:
    command = [
        "gcc",
        "-O1",
        "-shared",
        "-fPIC",
        "-I",
        udfvm.get_include(),
        "-x",
        "c",
        "-o",
        str(folder / "f.so"),
        "-",
        "-lm",
    ]
    subprocess.run(command, input=source, text=True, check=True)
    return (folder / "f.so").read_bytes()


@pytest.fixture(scope="module")
def object_(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return compiled(tmp_path_factory.mktemp("compiled"), SOURCE)


@pytest.fixture(scope="module")
def connection(object_: bytes) -> Iterator[apsw.Connection]:
    """A database that holds every function; those in Wasm have names with a w."""
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True, row_timeout=0.5))
    for name, signature in SIGNATURES.items():
        connection.execute(
            "SELECT vm_create(?, 'native', ?, ?)", (name, object_, signature)
        ).fetchall()
    for name, signature in WASM_SIGNATURES.items():
        connection.execute(
            f"SELECT vm_create(?, 'wasm', ?, ?, 'entry={name}')", (f"w_{name}", MODULE, signature)
        ).fetchall()
    for name, source in (("calls", object_), ("w_calls", MODULE)):
        connection.execute(
            f"SELECT vm_create('{name}_row', ?, ?, '() -> int', 'isolation=row', 'entry=calls')",
            ("wasm" if name[0] == "w" else "native", source),
        ).fetchall()
    yield connection
    connection.close()


def query(connection: apsw.Connection, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
    return connection.execute(sql, bindings).fetchall()


def error_of(connection: apsw.Connection, sql: str, *bindings: Any) -> str:
    with pytest.raises(apsw.Error) as caught:
        query(connection, sql, *bindings)
    assert query(connection, "SELECT vm_udf('same', 5), vm_udf('w_next', 5)") == [(5, 6)], (
        "the next call is as before"
    )
    return str(caught.value)


CASES: dict[str, list[tuple[tuple[Any, ...], Any]]] = {
    "ratio": [((6, 2), 3.0), ((1.5, 0), None), ((None, 1.0), None), ((1.0, None), None)],
    "or_seven": [((None,), 7), ((2**63 - 1,), 2**63 - 1), ((-(2**63),), -(2**63))],
    "negate": [((1,), 0), ((0,), 1), ((None,), None)],
    "narrow": [((1, 2, 3.5), 2), ((-128, 2**8, 0.0), -384), ((None, 1, 1.0), None)],
    "half": [((3.0,), 1.5), ((None,), None)],
    "twice": [(("ä\0b",), "ä\0bä\0b"), (("",), ""), ((None,), None)],
    "tail": [((b"\0\1\2",), b"\1\2"), ((b"x",), b""), ((b"",), None), ((None,), None)],
    "root": [((2.25,), 1.5), ((None,), None)],
    "total": [((1, 2.5), 3.5), ((None, 1.0), None)],
    "plain": [((2.5, 4), 10.0), ((None, 1), None)],
    "w_area": [((3, 4), 12.0), ((None, 1.0), None)],
    "w_next": [((41,), 42), ((-(2**31),), 1 - 2**31), ((None,), None)],
}


@pytest.mark.parametrize("name", CASES)
def test_rows_and_batches(connection: apsw.Connection, name: str) -> None:
    count = len(CASES[name][0][0])
    marks = ", ".join("?" * count)
    for arguments, expected in CASES[name]:
        assert query(connection, f"SELECT vm_udf('{name}', {marks})", *arguments) == [(expected,)]
        source = f"SELECT 1, {marks}"
        assert query(
            connection, f"SELECT value FROM vm_map('{name}', '{source}', {marks})", *arguments
        ) == [(expected,)]
    columns = [f"x{i}" for i in range(count)]
    connection.execute(f"CREATE TEMP TABLE cases(id INTEGER PRIMARY KEY, {', '.join(columns)})")
    many = CASES[name] * 30
    connection.executemany(
        f"INSERT INTO cases({', '.join(columns)}) VALUES ({marks})",
        [arguments for arguments, _ in many],
    )
    expected = [value for _, value in many]
    source = f"SELECT id, {', '.join(columns)} FROM cases ORDER BY id"
    assert [
        value for (value,) in query(connection, f"SELECT value FROM vm_map('{name}', '{source}')")
    ] == expected
    rows = query(
        connection, f"SELECT vm_udf('{name}', {', '.join(columns)}) FROM cases ORDER BY id"
    )
    assert [value for (value,) in rows] == expected
    connection.execute("DROP TABLE cases")


def test_isolation(connection: apsw.Connection) -> None:
    for name in ("calls", "w_calls"):
        assert query(
            connection,
            ROWS.format(20) + f"SELECT max(vm_udf('{name}')), max(vm_udf('{name}_row')) FROM n",
        ) == [(20, 1)]


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        ("root", -1.0, "row 1: RuntimeError: no root of -1"),
        ("narrow", 128, "OverflowError: argument a: 128 is out of range"),
        ("half", 1e300, r"OverflowError: argument value: 1e\+300 is out of range"),
        ("w_next", 2**31, "row 1: OverflowError"),
        ("w_trap", 0, "row 1: Trap: wasm `unreachable`"),
        ("crash", 3, "SIGSEGV"),
        ("endless", 1, "did not end within 0.5 s"),
        ("w_spin", 1, "did not end within 0.5 s"),
        ("leaves", 3, "exit status 3"),
        ("forges", 64, "the guest's reply is not valid"),
        ("forges", 2**40, "larger than the limit"),
        ("privileged", 1, "SIGSEGV|I/O port"),
    ],
)
def test_failures_end_the_statement_and_no_more(
    connection: apsw.Connection, function: str, argument: float, expected: str
) -> None:
    others = ", 1, 1.0" if function == "narrow" else ""
    fine = 1 if function not in ("endless", "w_spin", "leaves", "forges", "privileged") else None
    connection.execute("CREATE TEMP TABLE done(x); BEGIN; INSERT INTO done VALUES ('before')")
    values = f"(SELECT ? AS x UNION ALL SELECT {argument})"
    assert re.search(
        expected,
        error_of(
            connection,
            f"INSERT INTO done SELECT vm_udf('{function}', x{others}) FROM {values}",
            fine,
        ),
    )
    source = f"SELECT 1, ?{others} UNION ALL SELECT 2, {argument}{others}"
    message = error_of(
        connection, f"INSERT INTO done SELECT value FROM vm_map('{function}', '{source}', ?)", fine
    )
    assert re.search(expected, message)
    connection.execute("COMMIT")
    assert query(connection, "SELECT * FROM done") == [("before",)]
    connection.execute("DROP TABLE done")


@pytest.mark.parametrize(
    ("name", "signature", "options", "expected"),
    [
        ("nothing", "() -> int", [], "exports no function nothing"),
        ("ratio", "(double) -> double", [], "2 parameters where the signature declares 1"),
        ("ratio", "(double, int) -> double", [], "is declared as i64, and compiled as f64"),
        (
            "ratio",
            "(double, double) -> text",
            [],
            "the result is declared as text, and compiled as f64",
        ),
        ("plain", "(double?, int) -> double", [], "takes and returns no nulls"),
        (
            "plain",
            "(text, text, text, text) -> double",
            [],
            "at most 6 arguments that are integers",
        ),
        (
            "many",
            f"({', '.join(['int'] * 33)}) -> int",
            [],
            "has 33 parameters; compiled code has at most 32",
        ),
        ("x", "() -> int", ["entry=calls", "entry=nothing"], "exports no function nothing"),
    ],
)
def test_signatures_that_the_object_has_not(
    connection: apsw.Connection,
    object_: bytes,
    name: str,
    signature: str,
    options: list[str],
    expected: str,
) -> None:
    marks = ", ?" * len(options)
    assert expected in error_of(
        connection,
        f"SELECT vm_create(?, 'native', ?, ?, 'replace'{marks})",
        name,
        object_,
        signature,
        *options,
    )


@pytest.mark.parametrize(
    ("language", "source", "expected"),
    [
        ("native", b"\x7fELF", "ImportError"),
        ("native", b"MZ" + bytes(5000), "is not an ELF file"),
        ("native", "text", "ImportError"),
        ("wasm", b"\0asm", "CompileError"),
        ("wasm", b"\0asm\1\0\0\0" + b"\1" * 500, "CompileError"),
        ("wasm", "(module", "CompileError"),
        ("wasm", '(module (func (export "f") (result v128) unreachable))', "TypeError"),
        ("wasm", b"\xff", "CompileError"),
        (
            "wasm",
            '(module (import "env" "system" (func)) (func (export "f") (result i64) i64.const 1))',
            "LinkError",
        ),
        (
            "wasm",
            (
                '(module (func $f loop br 0 end) (start $f) (func (export "f") (result i64)'
                " i64.const 1))"
            ),
            "was not ready within 1 s",
        ),
    ],
)
def test_sources_that_are_none(language: str, source: str | bytes, expected: str) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, policy=Policy(languages=["native", "wasm"], allow_create=True, load_timeout=1)
    )
    with pytest.raises(apsw.Error, match=f"vm_create: 'f': [^$]*{expected}"):
        query(connection, "SELECT vm_create('f', ?, ?, '() -> int')", language, source)
    assert query(connection, "SELECT count(*) FROM sqlite_master") == [(0,)]
    assert query(
        connection,
        "SELECT vm_create('f', 'wasm', ?, '() -> int', 'entry=calls'), vm_udf('f')",
        MODULE,
    ) == [(1, 1)]
    connection.close()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("for (;;) ;", "was not ready within 1 s"),
        ("_exit(0);", "exit"),
        ("*(volatile int *)8 = 1;", "SIGSEGV"),
        ('__asm__ volatile("hlt");', "SIGSEGV|signal|instruction"),
        ("((void (*)(void))0x200030)();", ""),
    ],
    ids=["loop", "exit", "crash", "halt", "seal"],
)
def test_hostile_constructors(tmp_path: Path, body: str, expected: str) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection,
        policy=Policy(languages=["native"], allow_create=True, load_timeout=1, row_timeout=1),
    )
    source = compiled(tmp_path, CONSTRUCTOR % body)
    if "0x200030" in body:  # what it seals is what it will be called as: nothing but itself
        with pytest.raises(apsw.Error):
            query(
                connection, "SELECT vm_create('f', 'native', ?, '() -> int'), vm_udf('f')", source
            )
    else:
        with pytest.raises(apsw.Error, match=expected):
            query(connection, "SELECT vm_create('f', 'native', ?, '() -> int')", source)
    good = compiled(tmp_path, CONSTRUCTOR % "")
    assert query(
        connection,
        "SELECT vm_create('f', 'native', ?, '() -> int', 'replace') > 0, vm_udf('f')",
        good,
    ) == [(1, 1)]
    connection.close()


def test_registered_by_a_program(object_: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.so").write_bytes(object_)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, udfvm.from_elf(tmp_path / "f.so", "twice"), udfvm.from_wasm(MODULE, "area")
    )
    assert query(connection, "SELECT twice('é'), area(3, 4)") == [("éé", 12.0)]
    assert query(
        connection, "SELECT value FROM vm_map('twice', 'VALUES (1, ''é''), (2, NULL)')"
    ) == [("éé",), (None,)]
    assert query(connection, "SELECT name, language, origin FROM vm_functions ORDER BY 1") == [
        ("area", "wasm", "connection"), ("twice", "native", "connection"),
    ]  # fmt: skip
    connection.close()


def test_without_python_in_the_process(object_: bytes, tmp_path: Path) -> None:
    """A connection with the extension alone, as the sqlite3 shell has it."""
    assert {path.name for path in sealed.prepare()} == {
        "python.runtime",
        "native.runtime",
        "wasm.runtime",
    }
    (tmp_path / "f.so").write_bytes(object_)
    sealed.seal(udfvm.from_elf(tmp_path / "f.so", "narrow", name="sealed_native"))
    sealed.seal(udfvm.from_wasm(MODULE, "area", name="sealed_wasm"))
    connection = apsw.Connection(":memory:")
    connection.enable_load_extension(True)
    connection.load_extension(str(_extension.PATH), _extension.ENTRY_POINT)
    query(
        connection,
        "SELECT vm_create('c_ratio', 'native', ?, '(double, double) -> double', 'entry=ratio')",
        object_,
    )
    query(
        connection,
        "SELECT vm_create('w_area', 'wasm', ?, '(double, double) -> double', 'entry=area')",
        MODULE,
    )
    assert query(connection, "SELECT vm_udf('c_ratio', 6, 2), vm_udf('w_area', 3, 4)") == [
        (3.0, 12.0)
    ]
    assert query(
        connection, "SELECT vm_udf('sealed_native', 3, 2, 1.0), vm_udf('sealed_wasm', 3, 4)"
    ) == [(2, 12.0)]
    assert query(
        connection,
        "SELECT value FROM vm_map('sealed_native', 'VALUES (1, 3, 2, 1.0), (2, 5, 0, 0.0)')",
    ) == [(2,), (5,)]
    listed = query(connection, "SELECT name, language, origin FROM vm_functions ORDER BY 1")
    assert listed == [
        ("c_ratio", "native", "database"),
        ("sealed_native", "native", "sealed"),
        ("sealed_wasm", "wasm", "sealed"),
        ("w_area", "wasm", "database"),
    ]
    connection.close()
