"""What the policy of a connection allows, and its limits."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from stored_functions import ROWS, created, error_of, opened

import udfvm
import udfvm.sqlite
from udfvm.sqlite import Policy


def test_without_a_policy_nothing_stored_runs(tmp_path: Path) -> None:
    maker = opened(tmp_path / "a.db")
    created(maker, "f", "def f(): return 1", "() -> int")
    maker.close()
    connection = opened(tmp_path / "a.db", None)
    assert "no UDF named 'f'" in error_of(connection, "SELECT vm_udf('f')")
    assert "does not allow it" in error_of(
        connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
    )
    assert "does not allow it" in error_of(connection, "SELECT vm_drop('f')")
    assert "cannot change it" in error_of(connection, "SELECT vm_policy('allow_create', 1)")
    assert connection.execute(
        "SELECT vm_policy('allow_create'), vm_policy('languages')"
    ).fetchall() == [(0, "")]
    udfvm.sqlite.register(connection, policy=Policy())
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(1,)]
    assert "does not allow it" in error_of(
        connection, "SELECT vm_create('g', 'python', 'def g(): return 1', '() -> int')"
    )
    udfvm.sqlite.register(connection, policy=Policy(languages=["wasm"]))
    assert "does not allow functions of language 'python'" in error_of(
        connection, "SELECT vm_udf('f')"
    )
    connection.close()


def test_limits_of_the_policy() -> None:
    policy = Policy(allow_create=True, row_timeout=0.2, max_output=1000)
    connection = opened(":memory:", policy)
    created(connection, "loop", "def loop():\n    while True: pass", "() -> int", "row_timeout=100")
    assert "0.2 s" in error_of(connection, "SELECT vm_udf('loop')")
    created(connection, "big", "def big(n): return 'x' * n", "(int) -> text")
    assert "limit of 1000 bytes" in error_of(connection, "SELECT vm_udf('big', 2000)")
    created(
        connection,
        "files",
        "def files(): return len(open('/usr/lib/os-release').read())",
        "() -> int",
    )
    assert "Error" in error_of(connection, "SELECT vm_udf('files')")
    connection.close()


def test_modules_are_what_the_policy_gives() -> None:
    connection = opened(":memory:", Policy(allow_create=True))
    source = "import xml.dom.minidom\ndef f(): return 1"
    assert "ModuleNotFoundError" in error_of(
        connection, "SELECT vm_create('f', 'python', ?, '() -> int')", source
    )
    connection.close()
    connection = opened(":memory:", Policy(allow_create=True, packages=["xml.dom.minidom"]))
    assert created(connection, "f", source, "() -> int") == 1
    connection.close()


@pytest.mark.parametrize(
    "options",
    [
        {"languages": ["perl"]},
        {"row_timeout": 0},
        {"idle_spin": 2},
        {"statement_timeout": -1},
        {"load_timeout": 1e-9},
        {"max_source": 0},
        {"memory": "1KiB"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_policies_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(udfvm.Error, match=r"udfvm\.sqlite\.Policy: "):
        Policy(**options)


def test_names_of_the_program_go_before_those_of_the_database(tmp_path: Path) -> None:
    @udfvm.udf
    def f() -> int:
        return 1

    connection = opened(tmp_path / "a.db")
    created(connection, "f", "def f(): return 666", "() -> int")
    udfvm.sqlite.register(connection, f)
    assert connection.execute("SELECT vm_udf('f')").fetchall() == [(1,)]
    assert "takes precedence over" in error_of(
        connection, "SELECT vm_create('F', 'python', 'def f(): return 1', '() -> int', 'replace')"
    )
    connection.close()


def test_statement_timeout() -> None:
    connection = opened(":memory:", Policy(allow_create=True, statement_timeout=0.4))
    created(connection, "doze", "import time\ndef doze(s): time.sleep(s)", "(double) -> int")
    connection.execute("SELECT vm_udf('doze', 0.01)").fetchall()
    for seconds in (0.01, 1000.0):
        started = time.monotonic()
        assert "did not end within 0.4 s" in error_of(
            connection, ROWS.format(1000) + f"SELECT vm_udf('doze', {seconds}) FROM n"
        )
        assert time.monotonic() - started < 900  # not when the function ends
    connection.close()


def test_idle_spin_of_nothing_makes_every_row_an_exit() -> None:
    connection = opened(":memory:", Policy(allow_create=True, idle_spin=0))
    created(connection, "same", "def same(i): return i", "(int) -> int")
    threads = threading.active_count()
    assert connection.execute(
        ROWS.format(100) + "SELECT sum(vm_udf('same', i)) FROM n"
    ).fetchall() == [(5050,)]
    assert threading.active_count() == threads
    connection.close()
