"""What travels: UDFs to other processes, helpers and types to the guest, errors back."""

from __future__ import annotations

import functools
import importlib
import inspect
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
import types
import typing
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

import udfvm
import udfvm.call.chunks
import udfvm.functions.compiled
import udfvm.vmm
from udfvm import errors

# ---- Errors ----


def _classes(base: type[errors.Error]) -> list[type[errors.Error]]:
    found = [base]
    for each in base.__subclasses__():
        found += _classes(each)
    return list(dict.fromkeys(found))


def _made(cls: type[errors.Error]) -> errors.Error:
    """An error of a class, with a value of its own for each argument."""
    arguments: list[Any] = []
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.name == "self" or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        number = "int" in str(parameter.annotation)
        arguments.append(len(arguments) + 7 if number else f"{parameter.name}\nof it")
    return cls(*(arguments or ["what happened"]))


@pytest.mark.parametrize("cls", _classes(errors.Error), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_errors_of_every_class_pickle_with_all_attributes(
    cls: type[errors.Error], protocol: int
) -> None:
    error = _made(cls)
    error.output = "printed\n"  # type: ignore[attr-defined]
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


# ---- Other processes ----

PROGRAM = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    import udfvm

    OFFSET = 1

    def bonus(k): return OFFSET

    @udfvm.udf
    def f(x: int) -> int:
        if x == 13:
            raise ValueError("bad row")
        return x + bonus(x)

    @udfvm.table_function(columns={"n": int})
    def numbers(k: int):
        yield from range(k)

    @udfvm.aggregate
    class Total:
        def __init__(self): self.sum = 0
        def step(self, v: int) -> None: self.sum += v
        def finish(self) -> int: return self.sum

    def rows(table, k): return list(table(k))

    def aggregated(each):
        import numpy
        return each(numpy.array([1, 2, 3]))

    def main(method):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(pool.map(f, [1, 2, 3]), pool.starmap(rows, [(numbers, 3)]), pool.map(aggregated, [Total]))
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            failed = executor.submit(f, 13).exception()
            print(type(failed).__name__, failed.guest_message, failed.udf)
            print(executor.submit(f, 4).result())

    if __name__ == "__main__":
        main(sys.argv[1])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_functions_of_main_go_to_workers(tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    ended = subprocess.run(
        [sys.executable, program, method], capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "[2, 3, 4] [[(0,), (1,), (2,)]] [6]",
        "UDFError bad row f",
        "5",
    ]


def test_joblib_takes_functions_of_main(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(PROGRAM).partition("def main(")[0]
        + "import joblib\nprint(joblib.Parallel(2)(joblib.delayed(f)(x) for x in (1, 2)))\n"
    )
    ended = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.stdout.splitlines() == ["[2, 3]"], ended.stderr


@udfvm.udf
def found_here(x: int) -> int:
    return x * 2


def _declared_inside(factor: int) -> udfvm.ScalarFunction:
    @udfvm.udf(name="inside", timeout=7)
    def function(x: int) -> int:
        return x * factor

    return function


def test_by_reference_where_it_can_be_found_else_by_value() -> None:
    assert pickle.loads(pickle.dumps(found_here)) is found_here
    inside = _declared_inside(5)
    arrived = pickle.loads(pickle.dumps(inside))
    assert arrived is not inside
    assert (arrived.name, arrived.limits, arrived(3)) == ("inside", inside.limits, 15)
    assert pickle.loads(pickle.dumps(inside)) is arrived  # its image is opened once
    assert pickle.loads(pickle.dumps(_declared_inside(6)))(3) == 18


def test_a_function_may_refer_to_its_own_udf() -> None:
    @udfvm.udf
    def factorial(x: int) -> int:
        return x * factorial(x - 1) if x > 1 else 1

    arrived = pickle.loads(pickle.dumps(factorial))
    assert arrived(5) == 120


def test_one_bad_row_does_not_break_a_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as executor:
        with pytest.raises(errors.TypeMappingError) as raised:
            executor.submit(found_here, "text").result()
        assert (raised.value.argument, raised.value.position) == ("x", 1)
        assert executor.submit(found_here, 4).result() == 8


def test_what_cannot_travel_is_named_with_a_way_out() -> None:
    import threading

    lock = threading.Lock()

    @udfvm.udf
    def locked(x: int) -> int:
        with lock:
            return x

    with pytest.raises(udfvm.SignatureError, match="'lock'") as raised:
        locked(1)
    assert "inside the function" in str(raised.value)
    with pytest.raises(
        udfvm.SignatureError, match=r"'lock'.*module that the other process can import"
    ):
        pickle.dumps(locked)


# ---- Helpers ----

_calls = 3


@functools.lru_cache(maxsize=4)
def table(n: int) -> dict[int, int]:
    return {i: i * i for i in range(n)}


@functools.cache
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@functools.singledispatch
def kind(value: object) -> str:
    return "object"


@kind.register
def _(value: int) -> str:
    return "int"


@kind.register(list)
def _of_list(value: list[object]) -> str:
    return "list of " + (kind(value[0]) if value else "nothing")


class Shape:
    def __init__(self, width: int) -> None:
        self.width = width

    @functools.cached_property
    def area(self) -> int:
        return self.width * self.width

    @functools.lru_cache  # noqa: B019 - what is tested
    def scaled(self, by: int) -> int:
        return self.width * by

    @functools.singledispatchmethod
    def described(self, value: object) -> str:
        return f"object {self.width}"

    @described.register
    def _(self, value: int) -> str:
        return f"int {self.width}"


UserId = typing.NewType("UserId", int)


def test_helpers_that_functools_made() -> None:
    @udfvm.udf
    def use(x: int) -> str:
        shape = Shape(x)
        functions = f"{table(10)[x]} {fibonacci(30)} {kind([x])} {kind('')}"
        return (
            f"{functions} {shape.area} {shape.scaled(2)} {shape.described(x)}"
            f" {table.cache_info()[2]}"
        )

    assert use(3) == "9 832040 list of int object 9 6 int 3 4"


def test_new_types_are_what_they_are_of() -> None:
    Name = typing.NewType("Name", str)

    @udfvm.udf
    def use(x: UserId) -> Name | None:
        return Name(str(UserId(x + 1)))

    assert [str(each.type) for each in use.parameters] == ["int64"]
    assert use(1) == "2"


def add(a: int, b: int) -> int:
    return a + b


class Callable_:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int) -> int:
        return x + self.by


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(add, 10),
        functools.partial(add, b=10),
        functools.partial(functools.partial(add), 10),
        Callable_(10),
        Callable_(10).__call__,
        functools.cache(Callable_(10).__call__),
    ],
)
def test_callables_keep_their_annotations(function: Callable[..., int]) -> None:
    made = udfvm.udf(function, name="plus")
    assert [str(each.type) for each in made.parameters] == ["int64"]
    assert made(5) == 15
    assert pickle.loads(pickle.dumps(made))(6) == 16


PIECES = {
    "attributes of cached functions": (
        (
            "import functools\n@functools.lru_cache\ndef g(x): return x\ng.extra ="
            " 5\n@functools.singledispatch\ndef d(x): return x\nd.more = [d]"
        ),
        "g(x) + g.extra + d.more[0](1)",
        9,
    ),
    "parameters of generic types": (
        (
            "import typing\nP = typing.ParamSpec('P')\nTs = typing.TypeVarTuple('Ts')\nT ="
            " typing.TypeVar('T')\nclass C(typing.Generic[P, T]):\n    def __init__(self, f):"
            " self.f = f\n    def __call__(self, *a: P.args): return self.f(*a)\nclass"
            " D(typing.Generic[typing.Unpack[Ts]]): pass\nc = C[[int], int](abs)\nd = D[int, str]()"
        ),
        "c(-x) + len(type(d).__parameters__)",
        4,
    ),
    "private slots": (
        (
            "class C:\n    __slots__ = ('a', '__b')\n    def __init__(self): self.a, self.__b = 1,"
            " 2\n    def b(self): return self.__b\nc = C()"
        ),
        "c.a + c.b() + x",
        6,
    ),
}


@pytest.mark.parametrize("kind", PIECES)
def test_pieces_of_main(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, body, expected = PIECES[kind]
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(source + f"\ndef f(x: int) -> int: return {body}\n", module.__dict__)
    made = udfvm.udf(module.__dict__["f"])
    assert made(3) == expected
    assert pickle.loads(pickle.dumps(made))(3) == expected


CULPRITS = {
    "L": ("L = threading.Lock()", r"'L' in 'f'"),
    "g()": ("L = threading.Lock()\ndef g(): return L", r"'L' in 'g' \(by g\)"),
    "h()": (
        "L = threading.Lock()\ndef g(): return L\ndef h(): return g()",
        r"'L' in 'g' \(by h, g\)",
    ),
    "d": ("d = {'a': {'b': [1, threading.Lock()]}}", r"d\['a'\]\['b'\]\[1\] in 'f'"),
    "c": ("class C: pass\nc = C()\nc.x = {'k': threading.Lock()}", r"c\.x\['k'\] in 'f'"),
    "s": ("class C:\n    __slots__ = ('x',)\ns = C()\ns.x = threading.Lock()", r"s\.x in 'f'"),
    "C.m": ("L = threading.Lock()\nclass C:\n    def m(self): return L", r"'L' in 'm' \(by C\.m\)"),
    "C": ("class C:\n    lock = threading.RLock()", r"C\.lock in 'f'"),
    "p": ("p = functools.partial(print, threading.Lock())", r"p\.args\[0\] in 'f'"),
    "k()": ("def k(*, l=threading.Lock()): return l", r"l=<.*> in 'k' \(by k\)"),
    "o['f']": (
        "L = threading.Lock()\ndef g(): return L\no = {'f': g}",
        r"'L' in 'g' \(by o\['f'\]\)",
    ),
}


@pytest.mark.parametrize("body", CULPRITS)
def test_the_way_to_what_cannot_travel(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, expected = CULPRITS[body]
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(
        f"import functools, threading\n{source}\ndef f(x: int) -> str: return str({body})\n",
        module.__dict__,
    )
    with pytest.raises(
        udfvm.SignatureError,
        match=f"'f' cannot be sent to a micro-VM: {expected}: cannot pickle.*inside the function",
    ):
        udfvm.udf(module.__dict__["f"]).prepare()


def test_files_of_the_host_are_missed_with_a_way_out() -> None:
    @udfvm.udf
    def read(x: int) -> str:
        with open("/home/someone/table.csv") as file:
            return file.read()

    with pytest.raises(
        udfvm.UDFError, match=r"(?s)FileNotFoundError.*importlib\.resources.*as an argument"
    ) as raised:
        read(1)
    assert (
        raised.value.guest_message
        == "[Errno 2] No such file or directory: '/home/someone/table.csv'"
    )


# ---- Modules ----


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path  # type: ignore[misc]
    for name in set(sys.modules) - before:
        del sys.modules[name]


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


def test_what_udfvm_has_not_in_a_micro_vm() -> None:
    @udfvm.udf
    def use(x: int) -> int:
        return udfvm.sqlite.Policy(row_timeout=x)  # type: ignore[return-value]

    with pytest.raises(
        udfvm.UDFError, match=r"RuntimeError: udfvm\.sqlite\.Policy is not there in a micro-VM"
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


def test_subclasses_of_str_inside_lists() -> None:
    import enum

    class Text(str):
        pass

    class Color(enum.StrEnum):
        RED = "red"

    @udfvm.udf
    def joined(words: list[str]) -> list[str]:
        return [*words, Text("made"), Color.RED]

    assert joined([Text("a"), Color.RED, "c"]) == ["a", "red", "c", "made", "red"]


# ---- Data files ----

_INIT = """
import importlib.resources
import pkgutil

def greeting():
    return importlib.resources.files("with_data").joinpath("texts", "greeting.txt").read_text(encoding="utf-8")

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


def test_data_files_of_own_packages_travel(package: Path) -> None:
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


FILES = {
    "open": (
        "def read(x: int) -> str:\n    return open(os.path.join(os.path.dirname(__file__),"
        " 'table.csv')).read()"
    ),
    "path": (
        "def read(x: int) -> str:\n    return (Path(__file__).parent / 'table.csv').read_text()"
    ),
    "folder": (
        "def read(x: int) -> str:\n    return (Path(__file__).resolve().parent / 'data' / 'deep' /"
        " 'more.csv').read_text()"
    ),
    "whole": (
        "def read(x: int) -> str:\n    return"
        " Path(__file__).with_name('data').joinpath('deep/more.csv').read_text()"
    ),
    "here": (
        "HERE = Path(__file__).parent\ndef read(x: int) -> str:\n    return (HERE /"
        " 'table.csv').read_text()"
    ),
    "text": (
        "HERE = os.path.dirname(__file__)\ndef read(x: int) -> str:\n    return open(HERE + '/' +"
        " 'table.csv').read()"
    ),
    "file": (
        "TABLE = Path(__file__).parent / 'table.csv'\ndef read(x: int) -> str:\n    return"
        " TABLE.read_text()"
    ),
    "below": (
        "DATA = Path(__file__).parent / 'data'\ndef read(x: int) -> str:\n    return"
        " next(DATA.rglob('*.csv')).read_text()"
    ),
    "helper": (
        "def path(name): return Path(__file__).parent / name\ndef read(x: int) -> str:\n    return"
        " path('table.csv').read_text()"
    ),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("where", ["module", "package", "imported"])
def test_files_beside_the_code(folder: Path, kind: str, where: str) -> None:
    home = folder / "beside" if where == "package" else folder
    (home / "data" / "deep").mkdir(parents=True)
    (home / "table.csv").write_text("a,b")
    (home / "data" / "deep" / "more.csv").write_text("a,b")
    (home / "secret.csv").write_text("secret")
    name = "beside" if where == "package" else f"files_{kind}"
    (home / ("__init__.py" if where == "package" else f"{name}.py")).write_text(
        f"import os\nfrom pathlib import Path\n{FILES[kind]}\n"
    )
    if where == "imported":
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(f"def read(x: int) -> str:\n    import {name}\n    return {name}.read(x)\n", space)
        function = space["read"]
    else:
        function = importlib.import_module(name).read
    made = udfvm.udf(function, name="read")
    assert made(1) == "a,b"
    (home / "table.csv").write_text("c,d")
    (home / "data" / "deep" / "more.csv").write_text("c,d")
    assert made.refresh()(1) == "c,d"


def test_only_what_the_code_names_comes_along(folder: Path) -> None:
    (folder / "named.csv").write_text("named")
    (folder / "secret.csv").write_text("secret")
    (folder / "lists.py").write_text(
        "import os\ndef names(x: int) -> list[str]:\n    assert"
        " os.path.join(os.path.dirname(__file__), 'named.csv')\n    return"
        " sorted(os.listdir(os.path.dirname(__file__)))\ndef dynamic(x: int) -> str:\n    return"
        " open(os.path.dirname(__file__) + '/' + 'secret'[:6] + '.csv'[:4]).read()\n"
    )
    module = importlib.import_module("lists")
    assert udfvm.udf(module.names)(1) == ["lists.py", "named.csv"]
    with pytest.raises(
        udfvm.UDFError, match=r"(?s)FileNotFoundError.*where code opens them by __file__"
    ):
        udfvm.udf(module.dynamic)(1)


def test_files_beside_the_code_that_are_too_large_are_an_error(folder: Path) -> None:
    with (folder / "large.bin").open("wb") as file:
        file.truncate(65 << 20)
    (folder / "opens_large.py").write_text(
        "import os\ndef read(x: int) -> int:\n    return len(open(os.path.dirname(__file__) + '/' +"
        " 'large.bin', 'rb').read())\n"
    )
    with pytest.raises(
        udfvm.SignatureError,
        match=r"'read': files beside its code are larger than 64 MiB.*large\.bin.*as an argument",
    ):
        udfvm.udf(importlib.import_module("opens_large").read)(1)


def test_memory_file_systems_can_be_mounted_anywhere() -> None:
    @udfvm.udf
    def mounted(x: int) -> list[str]:
        import ctypes
        import os

        library, folder = ctypes.CDLL(None, use_errno=True), "/srv/some/where"
        library.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_void_p]
        assert not os.path.exists(folder)  # nothing of the call before
        assert library.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, None) == 0
        with open(folder + "/file", "w") as file:
            file.write("x")
        errors = []
        for target, kind in (
            ("/srv/other", "ext4"),
            ("/", "tmpfs"),
            (folder + "/file/below", "tmpfs"),
            (folder + "/file", "tmpfs"),
        ):
            assert library.mount(b"", target.encode(), kind.encode(), 0, None) == -1
            errors.append(os.strerror(ctypes.get_errno()))
        return [
            *os.listdir("/srv/some"),
            *os.listdir(folder),
            *errors,
            str(os.path.exists(os.__file__)),
        ]

    for _ in range(2):
        assert mounted(1) == [
            "where",
            "file",
            "No such device",
            "Device or resource busy",
            "Not a directory",
            "Not a directory",
            "True",
        ]


# ---- Options ----


def test_an_option_that_cannot_travel_is_named(tmp_path: Path) -> None:
    import threading

    lock = threading.Lock()

    def log(text: str, stream: str) -> None:
        with lock:
            print(text, stream)

    @udfvm.udf(log=log)
    def logged(x: int) -> int:
        return x

    with pytest.raises(
        udfvm.SignatureError, match=r"'logged' cannot be sent to another process: log="
    ):
        pickle.dumps(logged)

    def doubled(x: int) -> int:
        print("hello")
        return 2 * x

    seen: list[str] = []
    arrived = pickle.loads(pickle.dumps(udfvm.udf(doubled, log=lambda text, _: seen.append(text))))
    assert arrived(3) == 6
    source = "long long twice_over(long long x) { return 2 * x; }"
    compiled = udfvm.from_c(source, "twice_over", signature="(int64) -> int64", log=log)
    with pytest.raises(
        udfvm.SignatureError, match=r"'twice_over' cannot be sent to another process: log="
    ):
        pickle.dumps(compiled)
    local = udfvm.from_c(source, "twice_over", signature="(int64) -> int64", log=lambda *_: None)
    assert pickle.loads(pickle.dumps(local))(4) == 8
