"""What errors say: the option, the argument, the place that was searched."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors
from udfvm.sqlite import Policy

EXTENSION = Path(udfvm.__file__).parent / "sqlite" / "udfvm_sqlite"


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.part"])
def test_a_package_that_is_not_installed(package: str) -> None:
    with pytest.raises(
        errors.SignatureError, match=f"packages= has '{package}', which is not installed"
    ):
        udfvm.udf(packages=[package], name="one", output_type="int64")(lambda: 1)
    with pytest.raises(
        errors.Error,
        match=f"udfvm.sqlite.Policy: packages= has '{package}', which is not installed",
    ):
        Policy(packages=[package])


def test_a_package_without_that_module() -> None:
    @udfvm.udf(packages=["json.no_such_module"])
    def one() -> int:
        return 1

    with pytest.raises(
        errors.BuildError, match=r"(?s)No module named 'json\.no_such_module'.*packages= names it"
    ):
        one()


@pytest.mark.parametrize("declared", ["int64", "int8", "uint64", "list<int64>"])
def test_an_integer_of_thousands_of_digits(declared: str) -> None:
    huge = udfvm.udf(input_types=["double"], output_type=declared, name="huge")(
        lambda x: [10**5000] if declared.startswith("list") else 10**5000
    )
    for argument in (1.0, pa.array([1.0])):
        with pytest.raises(
            udfvm.UDFError, match=r"out of the range of (the|its) declared"
        ) as caught:
            huge(argument)
        assert "sys.set_int_max_str_digits" not in str(caught.value)


def test_a_result_that_is_no_json() -> None:
    @udfvm.udf
    def document() -> dict[str, object]:
        return {"a": float("nan")}

    with pytest.raises(
        udfvm.UDFError,
        match="ValueError: the function returned a value that JSON cannot represent: ",
    ) as caught:
        document()
    assert "json/" not in str(caught.value)


def test_where_a_function_was_looked_for(tmp_path: Path) -> None:
    shell = subprocess.run(
        ["sqlite3", ":memory:", "-cmd", f".load {EXTENSION}", "SELECT vm_udf('absent', 1)"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "UDFVM_CACHE": str(tmp_path)},
    )
    places = (
        f"registered on this connection, stored in its database or sealed in {tmp_path}/functions"
    )
    assert f"no UDF named 'absent' is {places}" in shell.stderr
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udfvm.udf(lambda: 1, name="one", output_type="int64"))
    with pytest.raises(
        apsw.SQLError,
        match=r"no UDF named 'absent' is registered on this connection \(registered: one\)",
    ):
        connection.execute("SELECT vm_udf('absent', 1)")


def shell(cache: Path, *statements: str, database: str = ":memory:") -> str:
    done = subprocess.run(
        ["sqlite3", database, "-cmd", f".load {EXTENSION}", *statements],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "UDFVM_CACHE": str(cache)},
    )
    return done.stderr


def test_an_unknown_name_tells_which_there_are_and_which_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        shell(tmp_path / "none", "SELECT vm_udf('score')")
        .rstrip()
        .endswith("none/functions (there is none)")
    )
    source = tmp_path / "mine.py"
    source.write_text(
        "import udfvm\n"
        + "".join(
            f"@udfvm.udf\ndef {name}(x: float) -> float:\n    return x\n"
            for name in ("score", "other", "shop_price")
        )
    )
    cache = tmp_path / "cache"
    monkeypatch.setenv("UDFVM_CACHE", str(cache))
    done = subprocess.run(
        [sys.executable, "-c", "from udfvm.cli import main; main()", "seal", str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (cache / "functions" / "not a name.udf").write_text("")
    (cache / "functions" / "note.txt").write_text("")
    sealed = "(sealed: other, score, shop_price)"
    for asked, meant in (
        ("scor", "score"),
        ("SCORE", "score"),
        ("scroe", "score"),
        ("price", "shop_price"),
        ("my_other", "other"),
        ("absent", None),
        ("s", None),
        ("", None),
        ("x" * 10_000, None),
    ):
        for call in (
            f"vm_udf('{asked}', 1.0)",
            f"* FROM vm_map('{asked}', 'SELECT 1.0')",
            f"vm_attach('{asked}')",
        ):
            output = shell(cache, f"SELECT {call}")
            assert sealed in output and (
                f": did you mean '{meant}'?" in output if meant else "did you mean" not in output
            ), (call, output)
    # What was used comes first; what SQL stored is beside it.
    database = str(tmp_path / "stored.db")
    connection = apsw.Connection(database)
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True, languages=["python"]))
    for name in ("tax", "total"):
        connection.execute(
            f"SELECT vm_create('{name}', 'python', 'def {name}(x): return x', '(x double) ->"
            " double')"
        )
    with pytest.raises(
        apsw.SQLError,
        match=(
            r"'taxx' is registered on this connection \(stored: tax, total\): did you mean 'tax'\?"
        ),
    ):
        connection.execute("SELECT vm_udf('taxx', 1.0)")
    with pytest.raises(
        apsw.SQLError,
        match=r"no function 'totl' in this database \(stored: tax, total\): did you mean 'total'\?",
    ):
        connection.execute("SELECT vm_drop('totl')")
    with pytest.raises(
        apsw.SQLError,
        match=r"vm_agg: no UDF named 'tax_' is registered on this connection \(there is none\)",
    ):
        connection.execute("SELECT vm_agg('tax_', 1.0)")
    output = shell(
        cache, "SELECT vm_udf('score', 1.0)", "SELECT vm_udf('tota', 1.0)", database=database
    )
    assert "(stored: tax, total; sealed: score, other, shop_price): did you mean 'total'?" in output
    columns = "language, signature, options, source, version, created"
    connection.execute(
        f"INSERT INTO udfvm_functions SELECT ?, {columns} FROM udfvm_functions LIMIT 1",
        ("evil\x1b[31m",),
    )
    with pytest.raises(apsw.SQLError, match=r"\(stored: evil\\x1b\[31m, tax, total\)"):
        connection.execute("SELECT vm_udf('absent', 1.0)")
    # A policy that runs none says so, and does not advise what would not run.
    closed = apsw.Connection(database)
    udfvm.sqlite.register(closed)
    with pytest.raises(
        apsw.SQLError,
        match=r"\(stored, which the connection's policy does not run: .*tax, total\)$",
    ):
        closed.execute("SELECT vm_udf('taxx', 1.0)")


def test_many_names_are_cut(tmp_path: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True, languages=["python"]))
    for number in range(30):
        connection.execute(
            f"SELECT vm_create('name_{number:02}', 'python', 'def f(x): return x', '(x double) ->"
            " double', 'entry=f')"
        )
    with pytest.raises(apsw.SQLError, match=r"name_19, \.\.\.\): did you mean 'name_29'\?"):
        connection.execute("SELECT vm_udf('name_299', 1.0)")


NO_NUMBERS = ["1s", "5", "", b"1", [1], True, Decimal(1), timedelta(seconds=1), 1j]
C = ("#include <udfvm.h>\nUDFVM_SCALAR(one, f64, (f64, x)) { return 1; }", "one")


class Count:
    def step(self, x: int) -> None: ...
    def finish(self) -> int:
        return 0


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("option", ["timeout", "build_timeout"])
def test_a_time_that_is_no_number(option: str, value: object) -> None:
    def one(x: float) -> float:
        return 1

    def many(x: float) -> Iterator[float]:
        yield 1

    given: dict[str, Any] = {option: value}
    text = re.escape(f"{option}= takes seconds as a number, such as 1.5; got {value!r}")
    for declare in (
        lambda: udfvm.udf(**given)(one),
        lambda: udfvm.udf(one, **given),
        lambda: udfvm.table_function(columns={"x": float}, **given)(many),
        lambda: udfvm.aggregate(**given)(Count),
        lambda: udfvm.from_c(*C, **given),
        lambda: udfvm.from_elf("/bin/true", "one", **given),
        lambda: udfvm.from_wasm(b"\0asm\1\0\0\0", "one", **given),
    ):
        with pytest.raises(udfvm.OptionError, match=f"UDF '(one|many|Count)': {text}"):
            declare()


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_times_of_pools_and_policies_that_are_no_numbers(value: object) -> None:
    for option, make in (
        ("keep_seconds", udfvm.Pool),
        ("wait", udfvm.Pool),
        ("row_timeout", Policy),
        ("load_timeout", Policy),
        ("statement_timeout", Policy),
        ("idle_spin", Policy),
    ):
        given: dict[str, Any] = {option: value}
        with pytest.raises(
            udfvm.OptionError,
            match=re.escape(f"{option}= takes seconds as a number, such as 1.5; got {value!r}"),
        ):
            make(**given)


def test_a_period_says_how_it_is_a_number() -> None:
    with pytest.raises(udfvm.SignatureError, match=r"pass its \.total_seconds\(\)"):
        udfvm.udf(timeout=timedelta(seconds=1))(lambda: 1)  # type: ignore[call-overload]


def test_numbers_of_other_libraries_are_numbers() -> None:
    options: dict[str, Any] = {
        "timeout": np.float32(1.5),
        "memory": np.int64(64 << 20),
        "host_calls": np.int64(5),
    }
    options["build_timeout"] = Fraction(9)
    limits = udfvm.udf(**options, name="one", output_type="int64")(lambda: 1).limits
    assert (
        limits[:2] == (64 << 20, 1_500_000_000)
        and limits.host_calls == 5
        and limits.build_timeout_ns == 9_000_000_000
    )
    assert udfvm.Pool(np.int64(3), wait=np.float32(0.5)).size == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["many", 1.5, None, True, [1]], ids=repr)
def test_a_count_or_size_that_is_none(value: object) -> None:
    given: dict[str, Any]
    for option in ("host_calls", "memory", "max_log"):
        given = {option: value}
        with pytest.raises(udfvm.SignatureError, match=f"UDF '<lambda>': {option}=") as caught:
            udfvm.udf(**given)(lambda: 1)
        assert repr(value) in str(caught.value)
    for make, option in ((udfvm.Pool, "size"), (udfvm.Pool, "keep"), (Policy, "max_source")):
        given = {option: value}
        with pytest.raises(
            udfvm.OptionError, match=re.escape(f"{option}= takes a whole number; got {value!r}")
        ):
            make(**given)
    given = {"pool": 4}
    with pytest.raises(udfvm.SignatureError, match=r"UDF 'one': pool= takes a udfvm\.Pool; got 4"):
        udfvm.udf(**given, name="one", output_type="int64")(lambda: 1)
