"""Data files of the user's packages are shipped with them."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path

import pytest

import udfvm

_INIT = """
import importlib.resources
import pkgutil

def greeting():
    texts = importlib.resources.files("with_data").joinpath("texts")
    return texts.joinpath("greeting.txt").read_text(encoding="utf-8")

def raw():
    return pkgutil.get_data(__name__, "raw.bin")
"""


def _with_data() -> dict[str, bytes]:
    return {
        "with_data/__init__.py": _INIT.encode(),
        "with_data/texts/greeting.txt": "grüß".encode(),
        "with_data/raw.bin": bytes(range(256)),
        "with_data/inner/__init__.py": b"",
        "with_data/inner/more.txt": b"more",
    }


@pytest.fixture(params=["folder", "zip"])
def package(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "zip":
        with zipfile.ZipFile(folder / "data.zip", "w") as archive:
            for name, data in _with_data().items():
                archive.writestr(name, data)
        monkeypatch.syspath_prepend(folder / "data.zip")
        return folder / "data.zip"
    for name, data in _with_data().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "with_data"


def test_data_files_of_user_packages_are_shipped(package: Path) -> None:
    @udfvm.udf
    def imported_inside(x: int) -> str:
        import with_data

        return f"{with_data.greeting()} {len(with_data.raw())}"

    assert imported_inside(1) == "grüß 256"
    with_data = importlib.import_module("with_data")

    @udfvm.udf
    def by_value(x: int) -> str:
        return f"{with_data.greeting()} {len(with_data.raw())}"

    assert by_value(1) == "grüß 256"

    @udfvm.udf
    def by_name(x: int) -> list[str]:
        from importlib.resources import files

        names = sorted(each.name for each in files("with_data").iterdir())
        return [*names, files("with_data.inner").joinpath("more.txt").read_text()]

    assert by_name(1) == ["inner", "raw.bin", "texts", "more"]


def test_data_files_are_part_of_what_a_function_is(package: Path) -> None:
    def make() -> udfvm.ScalarFunction:
        @udfvm.udf
        def read(x: int) -> str:
            import with_data

            return str(with_data.greeting())

        return read

    assert make()(1) == "grüß"
    if package.is_dir():
        (package / "texts" / "greeting.txt").write_text("moin")
        assert make()(1) == "moin"


def test_data_files_that_are_too_large_are_an_error(folder: Path) -> None:
    (folder / "heavy").mkdir()
    (folder / "heavy" / "__init__.py").write_text("import pkgutil\n")
    with (folder / "heavy" / "large.bin").open("wb") as file:
        file.truncate(65 << 20)

    @udfvm.udf
    def read(x: int) -> int:
        import heavy

        return len(heavy.pkgutil.get_data("heavy", "large.bin"))

    with pytest.raises(
        udfvm.SignatureError,
        match=r"'read': data files of package 'heavy' are larger than 64 MiB.*install",
    ):
        read(1)
