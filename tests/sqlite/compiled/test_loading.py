"""Compiled code that cannot be loaded, and who loads it."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from compiled_functions import MODULE, compiled, error_of, query

import udfvm
import udfvm.sqlite
from udfvm.sqlite import Policy, _extension, sealed

CONSTRUCTOR = r"""
#include <udfvm.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) { %s }
UDFVM_SCALAR(f, i64) { return 1; }
"""


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
        ("((void (*)(void))UDFVM_VECTOR_SEAL)();", ""),
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
    if "UDFVM_VECTOR_SEAL" in body:
        # What it seals is what it will be called as: nothing but itself.
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
