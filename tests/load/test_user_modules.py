"""Modules of the user are shipped with the function that uses them, in whatever way it does."""

from __future__ import annotations

import importlib
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import apsw
import pytest

import udfvm


def test_modules_of_the_user_are_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "LIMIT = 3\ndef check(x):\n    if x > LIMIT:\n        raise ValueError('too much')\n   "
        " return x\n"
    )
    (tmp_path / "users_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    users_module = importlib.import_module("users_module")

    @udfvm.udf
    def checked(x: int) -> int:
        return users_module.check(x)

    assert checked(3) == 3
    with pytest.raises(udfvm.UDFError) as caught:
        checked(4)
    assert "raise ValueError('too much')" in caught.value.guest_traceback
    assert "return users_module.check(x)" in caught.value.guest_traceback


def test_modules_that_bodies_import_are_shipped_as_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "users_package"
    (package / "deeper").mkdir(parents=True)  # a package without __init__.py
    (package / "__init__.py").write_text("NAME = 'users'\n")
    (package / "checks.py").write_text(
        "from . import NAME\nfrom .deeper import limits\n\ndef check(x):\n    return"
        " limits.below(x)\n"
    )
    (package / "deeper" / "limits.py").write_text(
        "def below(x):\n    if x > 3:\n        raise ValueError('too much')\n    return x\n"
    )
    (tmp_path / "users_broken.py").write_text("def broken(:\n")
    monkeypatch.syspath_prepend(tmp_path)

    @udfvm.udf
    def checked(x: int) -> int:
        from users_package.checks import check

        return int(check(x))

    @udfvm.udf
    def breaks(x: int) -> int:
        import users_broken

        return int(users_broken.broken(x))

    assert checked(3) == 3
    with pytest.raises(udfvm.UDFError) as caught:
        checked(4)
    assert "raise ValueError('too much')" in caught.value.guest_traceback
    assert "users_package" not in sys.modules
    with pytest.raises(udfvm.UDFError, match="SyntaxError"):
        breaks(1)


def test_functions_of_packages_import_relatively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "relative_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "other.py").write_text("def double(x):\n    return 2 * x\n")
    (package / "functions.py").write_text(
        "def doubled(x: int) -> int:\n    from .other import double\n    return double(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    functions = importlib.import_module("relative_package.functions")
    assert udfvm.udf(functions.doubled)(21) == 42


def test_a_module_under_two_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "twice_named.py").write_text("K = {'a': 1}\ndef one():\n    return K['a']\n")
    module = importlib.import_module("twice_named")
    monkeypatch.setitem(sys.modules, "alias_of_twice_named", module)

    @udfvm.udf
    def use(x: int) -> int:
        return x + module.K["a"] + module.one()

    assert use(1) == 3


def test_modules_of_a_subclass(folder: Path) -> None:
    @udfvm.udf
    def constant(x: int) -> int:
        return x + apsw.SQLITE_MISUSE

    assert type(apsw) is not types.ModuleType
    assert constant(1) == 22
    (folder / "lazy_one.py").write_text(
        "import sys, types\nclass Lazy(types.ModuleType):\n   "
        " pass\nsys.modules[__name__].__class__ = Lazy\nK = 4\n"
    )
    lazy = importlib.import_module("lazy_one")

    @udfvm.udf
    def own(x: int) -> int:
        return x + lazy.K

    assert own(1) == 5


def test_namespace_packages_by_dotted_name(folder: Path) -> None:
    (folder / "spaced" / "inner").mkdir(parents=True)
    (folder / "spaced" / "inner" / "part.py").write_text("def two():\n    return 2\n")
    program: dict[str, Any] = {"__name__": "__main__"}
    exec(
        "import spaced.inner.part\ndef use(x: int) -> int:\n    return x +"
        " spaced.inner.part.two()\n",
        program,
    )
    assert udfvm.udf(program["use"])(1) == 3


MODULES = {
    "one.py": "import two\ndef f(n):\n    return two.g(n - 1) if n else 'one'\n",
    "two.py": "import one\ndef g(n):\n    return one.f(n - 1) if n else 'two'\n",
    "round_/__init__.py": "from round_.part import X\n",
    "round_/part.py": "import round_\nclass X:\n    def who(self): return round_.X.__name__\n",
    "lazy_/__init__.py": (
        "import importlib\ndef __getattr__(name):\n    if name == 'thing':\n        return"
        " importlib.import_module('._inner', __name__).thing\n    raise AttributeError(name)\n"
    ),
    "lazy_/_inner.py": "def thing(x): return f'thing {x}'\n",
    "declares.py": (
        "import udfvm\nfrom udfvm import sqlite, udf\nK = 2\npolicy ="
        " udfvm.sqlite.Policy\n@udfvm.udf\ndef inner(x: int) -> int: return x *"
        " K\n@udf(timeout=5)\ndef outer(x: int) -> int: return inner(x) + 1\n"
    ),
}
USES = {
    "import one": ("one.f(3)", "two"),
    "import two": ("two.g(1)", "one"),
    "from round_ import X": ("X().who()", "X"),
    "import lazy_": ("lazy_.thing(x)", "thing 1"),
    "from lazy_ import thing": ("thing(x)", "thing 1"),
    "import importlib": ("importlib.import_module('lazy_._inner').thing(x)", "thing 1"),
    "import declares": ("str(declares.outer(x))", "3"),
    "from declares import outer": ("str(outer(x))", "3"),
}


@pytest.mark.parametrize("where", ["global", "body"])
@pytest.mark.parametrize("use", USES)
def test_modules_in_circles_lazy_ones_and_those_that_declare_functions(
    folder: Path, use: str, where: str
) -> None:
    for name, text in MODULES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    importlib.invalidate_caches()
    expression, expected = USES[use]
    before, inside = (f"{use}\n", "") if where == "global" else ("", f"    {use}\n")
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(f"{before}def f(x: int) -> str:\n{inside}    return {expression}\n", space)
    assert udfvm.udf(space["f"])(1) == expected


def test_names_of_udfvm_that_micro_vms_lack() -> None:
    @udfvm.udf
    def use(x: int) -> int:
        return udfvm.sqlite.Policy(row_timeout=x)  # type: ignore[return-value]

    with pytest.raises(
        udfvm.UDFError, match=r"RuntimeError: udfvm\.sqlite\.Policy does not exist in a micro-VM"
    ):
        use(1)


def test_modules_in_zip_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr("zipped_one.py", "def three():\n    return 3\n")
        archive.writestr(
            "zipped_two.py", "import zipped_one\ndef four():\n    return zipped_one.three() + 1\n"
        )
    monkeypatch.syspath_prepend(folder / "code.zip")
    zipped = importlib.import_module("zipped_one")

    @udfvm.udf
    def use(x: int) -> int:
        import zipped_two

        return x + zipped.three() + zipped_two.four()

    assert use(1) == 8
