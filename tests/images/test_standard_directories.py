"""Which directories are the standard library's and packages'."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import udfvm
from udfvm.images.host import package_directories, standard_directories


def test_directories_are_those_of_sysconfig() -> None:
    paths = sysconfig.get_paths()
    assert {paths["stdlib"], paths["purelib"], paths["platlib"]} <= standard_directories()


def test_guests_import_from_them() -> None:
    paths = sysconfig.get_paths()
    assert {paths["stdlib"], paths["purelib"]} <= set(package_directories())


@pytest.mark.parametrize("option", [[], ["-S"]])
def test_declaring_a_function_imports_neither_sysconfig_nor_datetime(option: list[str]) -> None:
    # Without site, nothing says where a package lies that is installed as an editable one.
    path = [*sys.path, str(Path(udfvm.__file__).parents[1])]
    code = (
        f"import sys; sys.path[:] = {path!r}\n"
        "import udfvm\n"
        "half = udfvm.udf(lambda x: x / 2, name='half', input_types=['double'],"
        " output_type='double')\n"
        "assert half.limits\n"
        "print(sorted({'sysconfig', 'datetime'} & set(sys.modules)))"
    )
    made = subprocess.run(
        [sys.executable, "-I", *option, "-c", code], capture_output=True, text=True, check=True
    )
    assert made.stdout == "[]\n"
