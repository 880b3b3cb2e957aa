"""What errors say: the option, the argument, the place that was searched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import apsw
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors
from udfvm.sqlite import Policy

EXTENSION = Path(udfvm.__file__).parent / "sqlite" / "udfvm_sqlite"


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.part"])
def test_a_package_that_is_not_installed(package: str) -> None:
    with pytest.raises(errors.SignatureError, match=f"packages= has '{package}', which is not installed"):
        udfvm.udf(packages=[package], name="one", output_type="int64")(lambda: 1)
    with pytest.raises(errors.Error, match=f"Policy: packages= has '{package}', which is not installed"):
        Policy(packages=[package])


def test_a_package_without_that_module() -> None:
    @udfvm.udf(packages=["json.no_such_module"])
    def one() -> int:
        return 1

    with pytest.raises(errors.BuildError, match=r"(?s)No module named 'json\.no_such_module'.*packages= names it"):
        one()


@pytest.mark.parametrize("declared", ["int64", "int8", "uint64", "list<int64>"])
def test_an_integer_of_thousands_of_digits(declared: str) -> None:
    huge = udfvm.udf(input_types=["double"], output_type=declared, name="huge")(
        lambda x: [10**5000] if declared.startswith("list") else 10**5000
    )
    for argument in (1.0, pa.array([1.0])):
        with pytest.raises(udfvm.UDFError, match=r"out of the range of (the|its) declared") as caught:
            huge(argument)
        assert "sys.set_int_max_str_digits" not in str(caught.value)


def test_a_result_that_is_no_json() -> None:
    @udfvm.udf
    def document() -> dict[str, object]:
        return {"a": float("nan")}

    with pytest.raises(udfvm.UDFError, match="ValueError: the function returned what is no JSON: ") as caught:
        document()
    assert "json/" not in str(caught.value)


def test_where_a_function_was_looked_for(tmp_path: Path) -> None:
    shell = subprocess.run(
        ["sqlite3", ":memory:", "-cmd", f".load {EXTENSION}", "SELECT vm_udf('absent', 1)"],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "UDFVM_CACHE": str(tmp_path)},
    )  # fmt: skip
    places = f"registered on this connection, stored in its database or sealed in {tmp_path}/functions"
    assert f"no UDF named 'absent' is {places}" in shell.stderr
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udfvm.udf(lambda: 1, name="one", output_type="int64"))
    with pytest.raises(apsw.SQLError, match=r"no UDF named 'absent' is registered on this connection \(registered: one\)"):
        connection.execute("SELECT vm_udf('absent', 1)")
