"""A UDF follows the names that it refers to, as Python looks them up when they are used."""

from __future__ import annotations

import importlib
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
from udfvm.call import fast_path
from udfvm.load.bindings import capture, changed


class Notebook:
    """Cells that are run one after the other in one namespace, as in a notebook."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")

    def run(self, source: str) -> None:
        exec(compile(source, "<cell>", "exec"), self.module.__dict__)

    def __getitem__(self, name: str) -> Any:
        return self.module.__dict__[name]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    made = Notebook()
    monkeypatch.setitem(sys.modules, "__main__", made.module)
    made.run("import udfvm")
    return made


UDF = "@udfvm.udf\ndef f(x: int) -> int:\n    return {}\n"


def test_a_global_that_is_assigned_again(notebook: Notebook) -> None:
    notebook.run(UDF.format("x * K") + "K = 2")
    assert notebook["f"](3) == 6
    image = notebook["f"].image
    notebook.run("K = 10")
    assert notebook["f"](3) == 30
    notebook.run("K = 2")
    assert notebook["f"](3) == 6
    assert notebook["f"].image.digest == image.digest


def test_a_helper_that_comes_after_the_first_call(notebook: Notebook) -> None:
    notebook.run(UDF.format("helper(x)"))
    with pytest.raises(udfvm.UDFError, match="name 'helper' is not defined"):
        notebook["f"](1)
    notebook.run("def helper(x): return inner(x) + 1")
    with pytest.raises(udfvm.UDFError, match="name 'inner' is not defined"):
        notebook["f"](1)
    notebook.run("def inner(x): return -x")
    assert notebook["f"](1) == 0
    notebook.run("def inner(x): return 5 * x")
    assert notebook["f"](1) == 6
    notebook.run("del inner")
    with pytest.raises(udfvm.UDFError, match="name 'inner' is not defined"):
        notebook["f"](1)


def test_a_failed_build_is_not_kept(notebook: Notebook) -> None:
    notebook.run(
        UDF.format("helper(x)")
        + "import threading\nlock = threading.Lock()\ndef helper(x): return lock and x"
    )
    for _ in range(2):
        with pytest.raises(udfvm.SignatureError, match="cannot be sent to a micro-VM"):
            notebook["f"](1)
    notebook.run("lock = 7")
    assert notebook["f"](1) == 1


def test_a_builtin_that_is_shadowed(notebook: Notebook) -> None:
    notebook.run(UDF.format("abs(x)"))
    assert notebook["f"](-3) == 3
    notebook.run("def abs(x): return 0")
    assert notebook["f"](-3) == 0
    notebook.run("del abs")
    assert notebook["f"](-3) == 3


def test_classes(notebook: Notebook) -> None:
    notebook.run(
        UDF.format("Child().value(x)")
        + "class Base:\n    factor = 2\n    def value(self, x): return x * self.factor + SHIFT\n"
        + "class Child(Base):\n    pass\nSHIFT = 0"
    )
    assert notebook["f"](1) == 2
    notebook["Base"].factor = 3
    assert notebook["f"](1) == 3
    notebook["Base"].value = lambda self, x: -x
    assert notebook["f"](1) == -1
    notebook.run("class Child:\n    def value(self, x): return SHIFT")
    assert notebook["f"](1) == 0
    notebook.run("SHIFT = 9")
    assert notebook["f"](1) == 9


WRAPPED = {
    "partial": "g = functools.partial(h, K)\ndef f(x: int) -> int: return g(x)",
    "method": (
        "class C:\n    def m(self, x): return h(K, x)\ng = C().m\ndef f(x: int) -> int: return g(x)"
    ),
    "default": "def f(x: int, g=h) -> int: return g(K, x)",
    "decorated": (
        "def twice(g):\n    @functools.wraps(g)\n    def inner(x): return g(x)\n    return inner\n"
        "@twice\ndef g(x): return h(K, x)\ndef f(x: int) -> int: return g(x)"
    ),
    "lambda": "g = lambda x: h(K, x)\ndef f(x: int) -> int: return [g(y) for y in (x,)][0]",
    "udf": "@udfvm.udf\ndef g(x: int) -> int: return h(K, x)\ndef f(x: int) -> int: return g(x)",
    "property": (
        "class C:\n    @property\n    def p(self): return h(K, 1)\n    @staticmethod\n    def s(x):"
        " return C().p * x\ndef f(x: int) -> int: return C.s(x)"
    ),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_is_wrapped(notebook: Notebook, kind: str) -> None:
    notebook.run("import functools\nF = 1\nK = 10\ndef h(k, x): return k * x * F\n" + WRAPPED[kind])
    made = udfvm.udf(_one_argument(notebook["f"]), name="f")
    assert made(2) == 20
    notebook.run("F = 3")
    assert made(2) == 60


HELD = {
    "dict": "OPS = {'a': lambda x: x * K}\ndef g(x): return OPS['a'](x)",
    "nested": "OPS = (('a', {'b': [lambda x: x * K]}),)\ndef g(x): return OPS[0][1]['b'][0](x)",
    "instance": (
        "class M:\n    def __init__(self, h): self.h = h\nm = M(h)\ndef g(x): return m.h(x)"
    ),
    "slots": "class M:\n    __slots__ = ('h',)\nm = M()\nm.h = h\ndef g(x): return m.h(x)",
    "empty slots": (
        "class M:\n    __slots__ = ()\n    def m(self, x): return x * K\nm = M()\ndef g(x): return"
        " m.m(x)"
    ),
    "dataclass": (
        "@dataclasses.dataclass(slots=True, frozen=True)\nclass M:\n    h: object\nm = M(h)\ndef"
        " g(x): return m.h(x)"
    ),
    "namespace": "m = types.SimpleNamespace(h=h)\ndef g(x): return m.h(x)",
    "proxy": "m = types.MappingProxyType({'h': h})\ndef g(x): return m['h'](x)",
    "defaultdict": "m = collections.defaultdict(lambda: K)\ndef g(x): return x * m[0]",
    "default": "def g(x, by={'h': h}): return by['h'](x)",
    "udf": (
        "@udfvm.udf\ndef inner(x: int) -> int: return h(x)\nm = [inner]\ndef g(x): return m[0](x)"
    ),
    "partial method": (
        "class M:\n    def m(self, by, x): return x * by * K\n    p = functools.partialmethod(m,"
        " 1)\ndef g(x): return M().p(x)"
    ),
    "generic function": (
        "@functools.singledispatch\ndef d(x): return 0\n@d.register\ndef _(x: int): return x *"
        " K\ndef g(x): return d(x)"
    ),
    "generic method": (
        "class M:\n    @functools.singledispatchmethod\n    def m(self, x): return 0\n   "
        " @m.register\n    def _(self, x: int): return x * K\ndef g(x): return M().m(x)"
    ),
    "library's decorator": (
        "@contextlib.contextmanager\ndef m(): yield K\ndef g(x):\n    with m() as k: return x * k"
    ),
    "metaclass": (
        "class Meta(type):\n    def m(cls, x): return x * K\nclass M(metaclass=Meta): pass\ndef"
        " g(x): return M.m(x)"
    ),
    "alias": (
        "T = typing.TypeVar('T')\nclass M(typing.Generic[T]):\n    def m(self, x): return x * K\nA"
        " = M[int]\ndef g(x): return A().m(x)"
    ),
    "class of no module": (
        "space = {'__name__': 'nowhere'}\nexec('class M:\\n    k = 1', space)\nM = space['M']\n"
        "def K_(value): M.k = value\ndef g(x): return x * M.k"
    ),
    "subclass of list": "class M(list): pass\nm = M([h])\ndef g(x): return m[0](x)",
    "cycle": "m = [h]\nm.append(m)\ndef g(x): return m[1][1][0](x)",
}


@pytest.mark.parametrize("kind", HELD)
def test_functions_are_followed_wherever_they_are_held(notebook: Notebook, kind: str) -> None:
    notebook.run(
        "import collections, contextlib, dataclasses, functools, types, typing\nK = 2\ndef h(x):"
        " return x * K\n" + HELD[kind]
    )
    if "K_" in HELD[kind]:
        notebook.run("K_(2)")
    notebook.run(UDF.format("g(x)"))
    assert notebook["f"](2) == 4
    notebook.run("K_(5)" if "K_" in HELD[kind] else "K = 5")
    assert notebook["f"](2) == 10


def test_a_chain_of_any_length_is_followed(notebook: Notebook) -> None:
    notebook.run("K = 1\nlink = lambda x: x * K\nfor _ in range(5000):\n    link = [link]\n")
    places = capture(notebook["link"])
    assert not changed(places)
    notebook.run("K = 2")
    assert changed(places)


def test_what_comes_to_a_class_or_a_generic_function(notebook: Notebook) -> None:
    notebook.run(
        UDF.format("x * C.k + d(x)") + "import functools\nclass B:\n    k = 1\nclass C(B): pass\n"
        "@functools.singledispatch\ndef d(x): return 0\n"
    )
    made = notebook["f"]
    assert made(1) == 1
    notebook.run("C.k = 5")
    assert made(1) == 5
    notebook.run("d.register(int, lambda x: 10)")
    assert made(1) == 15
    notebook.run("d.register(int, lambda x: 20)")
    assert made(1) == 25
    notebook.run("del C.k")
    assert made(1) == 21


def test_a_module_that_only_the_body_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "imported_later.py"
    file.write_text("K = 1\n")

    @udfvm.udf
    def f(x: int) -> int:
        import imported_later  # type: ignore[import-not-found]

        return x * int(imported_later.K)

    assert f(3) == 3
    file.write_text("K = 55\n")
    importlib.invalidate_caches()
    importlib.import_module("imported_later")
    assert f(3) == 165
    del sys.modules["imported_later"]


def test_host_functions(notebook: Notebook) -> None:
    notebook.run(
        "calls = 0\ndef price(x: int) -> int:\n    global calls\n    calls += 1\n    return calls\n"
        "@udfvm.udf(host_functions=[price])\ndef f(x: int) -> int: return price(x)\n"
    )
    made = notebook["f"]
    assert made(0) == 1
    runtime = made._calls._runtime
    assert [made(0), made(0)] == [2, 3]  # what its globals mean is nothing to the guest
    assert made._calls._runtime is runtime
    notebook.run("def price(x: int) -> int: return 7")
    for _ in range(2):
        with pytest.raises(
            udfvm.SignatureError,
            match=r"^UDF 'f': 'price' has been defined anew.*declare the UDF again$",
        ):
            made(0)
    notebook.run("price = lambda x: 8")  # another function, that is meant to travel
    assert made(0) == 8


def test_batches_that_race_with_a_change(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.run(UDF.format("x * K") + "K = 1")
    made, array = notebook["f"], np.array([1, 2])
    assert made(1) == 1
    whole = fast_path.small_batches

    def meanwhile(*arguments: Any) -> Any:
        small = whole(*arguments)
        notebook.run("K = 3")
        assert made(1) == 3  # another thread's call
        return small

    monkeypatch.setattr(fast_path, "small_batches", meanwhile)
    made(array)
    monkeypatch.undo()
    for _ in range(3):
        assert list(made(array)) == [3, 6]


def _one_argument(function: Callable[..., int]) -> Callable[[int], int]:
    def f(x: int) -> int:
        return function(x)

    return f


def test_closures() -> None:
    def make() -> tuple[udfvm.ScalarFunction, Callable[[int], None]]:
        factor = 2

        @udfvm.udf
        def scaled(x: int) -> int:
            return x * factor

        def assign(value: int) -> None:
            nonlocal factor
            factor = value

        return scaled, assign

    scaled, assign = make()
    assert scaled(2) == 4
    assign(5)
    assert scaled(2) == 10


def test_code_and_defaults_that_are_replaced(notebook: Notebook) -> None:
    notebook.run(
        UDF.format("helper(x)")
        + "def helper(x, by=2): return x * by\ndef other(x, by): return x - by"
    )
    assert notebook["f"](5) == 10
    notebook["helper"].__defaults__ = (3,)
    assert notebook["f"](5) == 15
    notebook["helper"].__code__ = notebook["other"].__code__
    assert notebook["f"](5) == 2


def test_modules_that_are_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "followed_module.py"
    file.write_text("K = 1\ndef scale(x): return x * K\n")
    module = importlib.import_module("followed_module")

    @udfvm.udf
    def by_global(x: int) -> int:
        return int(module.scale(x))

    @udfvm.udf
    def by_import(x: int) -> int:
        import followed_module

        return int(followed_module.scale(x))

    assert by_global(3) == by_import(3) == 3
    module.K = 4  # type: ignore[attr-defined]
    assert by_global(3) == 12
    file.write_text("K = 70\ndef scale(x): return x * K + 1\n")
    importlib.invalidate_caches()
    importlib.reload(module)
    assert by_global(3) == by_import(3) == 211


def test_objects_that_are_changed_in_place(notebook: Notebook) -> None:
    notebook.run(UDF.format("table[x]") + "table = {1: 10}")
    made = notebook["f"]
    assert made(1) == 10
    notebook["table"][1] = 20
    assert made(1) == 10
    assert made.refresh() is made
    assert made(1) == 20


def test_every_way_of_calling(notebook: Notebook) -> None:
    notebook.run(
        "import numpy as np\nfrom typing import Iterator\nK = 1\n@udfvm.udf\ndef followed_scalar(x:"
        " float) -> float: return x * K\n@udfvm.udf(vectorized=True, input_types=['double'],"
        " output_type='double')\ndef followed_vector(x: np.ndarray) -> np.ndarray: return x *"
        " K\n@udfvm.table_function(columns={'x': float})\ndef table(x: float):\n    yield x *"
        " K\n@udfvm.aggregate\nclass Total:\n    def __init__(self): self.total = 0.0\n    def"
        " step(self, x: float) -> None: self.total += x * K\n    def finish(self) -> float: return"
        " self.total\n"
    )
    scalar, vector, table, total = (
        notebook[name] for name in ("followed_scalar", "followed_vector", "table", "Total")
    )
    for made in (scalar, vector):
        udfvm.arrow.register(None, made)

    def results() -> list[float]:
        array, column = np.array([2.0]), pa.array([2.0])
        return [
            scalar(2.0),
            scalar(array)[0],
            scalar(column)[0].as_py(),
            scalar(pa.chunked_array([column]))[0].as_py(),
            vector(array)[0],
            vector(array)[0],
            vector(column)[0].as_py(),
            next(table(2.0))[0],
            total(array),
            *(
                pc.call_function(name, [column])[0].as_py()
                for name in ("followed_scalar", "followed_vector")
            ),
        ]

    for factor in (1, 3, 1, 5):
        notebook.run(f"K = {factor}")
        assert set(results()) == {2.0 * factor}


def test_threads_see_the_old_meaning_or_the_new(notebook: Notebook) -> None:
    notebook.run(UDF.format("x * K") + "K = 1")
    made = notebook["f"]
    assert made(1) == 1
    seen: list[int] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            seen.append(made(1))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for factor in range(2, 6):
        notebook.run(f"K = {factor}")
        assert made(1) == factor
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= {1, 2, 3, 4, 5}
    assert made(1) == 5


def test_names_that_stay_cost_no_image(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.run(UDF.format("x * K") + "K = 1")
    made = notebook["f"]
    runtime = made._calls.ready()
    for _ in range(3):
        assert made(2) == 2
    notebook.run("unrelated = 1")
    assert made(2) == 2
    assert made._calls.ready() is runtime


def test_changed_is_exact() -> None:
    with pytest.raises(TypeError):
        changed((1, 2))
    with pytest.raises(TypeError):
        changed([])  # type: ignore[arg-type]
    assert not changed(())

    class Odd(dict[str, int]):
        pass

    odd = Odd(a=1)
    assert not changed((odd, "a", odd["a"]))
    assert changed((odd, "b", odd["a"]))


def test_library_code_is_not_followed() -> None:
    import json

    assert len(capture(json.dumps)) == 0

    def f(x: Any) -> Iterator[str]:
        yield json.dumps(x)

    keys = capture(f)[1::3]
    assert "dumps" in keys
    assert "JSONEncoder" not in keys


# ---- SQL ----


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_statements_take_what_names_mean_when_they_begin(
    notebook: Notebook, isolation: str
) -> None:
    notebook.run(
        f"K = 1\n@udfvm.udf(isolation={isolation!r})\ndef f(x: int) -> int: return x *"
        " K\n@udfvm.table_function(columns={'x': int})\ndef t(x: int):\n    yield x *"
        " K\n@udfvm.aggregate\nclass Total:\n    def __init__(self): self.total = 0\n    def"
        " step(self, x: int) -> None: self.total += x * K\n    def finish(self) -> int: return"
        " self.total\n"
    )
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *(notebook[name] for name in ("f", "t", "Total")))
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
    queries = (
        f"{rows} SELECT f(i), vm_udf('f', i) FROM n",
        "SELECT value, value FROM vm_map('f', 'SELECT 0, 1')",
        "SELECT x, x FROM t(1)",
        f"{rows} SELECT total(1), total(1) FROM n WHERE i = 1",
    )
    for factor in (1, 3, 7):
        notebook.run(f"K = {factor}")
        for query in queries:
            assert connection.execute(query).fetchone() == (factor, factor)
    running = connection.execute(f"{rows} SELECT f(i) FROM n")
    assert next(running) == (7,)
    notebook.run("K = 100")
    assert connection.execute("SELECT f(1)").fetchall() == [(100,)]
    assert list(running) == [(7 * i,) for i in range(2, 21)]
    assert connection.execute("SELECT f(1)").fetchall() == [(100,)]


def test_a_function_that_cannot_be_built_fails_the_statement_alone(notebook: Notebook) -> None:
    notebook.run(UDF.format("x * K") + "import threading\nK = 2")
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, notebook["f"])
    assert connection.execute("SELECT f(1)").fetchall() == [(2,)]
    notebook.run("K = threading.Lock()")
    for _ in range(2):
        with pytest.raises(apsw.SQLError, match="UDF 'f' cannot be sent to a micro-VM"):
            connection.execute("SELECT f(1)")
    notebook.run("K = 3")
    assert connection.execute("SELECT f(1)").fetchall() == [(3,)]


def test_another_base_image(notebook: Notebook) -> None:
    notebook.run(UDF.format("int(K(x))") + "import numpy\nK = abs")
    with udfvm.Pool(size=2) as pool:
        made = udfvm.udf(pool=pool)(notebook["f"].function)
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, made)
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
        running = connection.execute(f"{rows} SELECT f(-i) FROM n")
        assert next(running) == (1,)
        notebook.run("K = numpy.negative")
        assert connection.execute("SELECT f(5)").fetchall() == [(-5,)]
        assert sum(value for (value,) in running) == sum(range(2, 21))
        assert connection.execute("SELECT f(5)").fetchall() == [(-5,)]
