"""Functions are followed in whatever holds them: wrappers, containers, objects, modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from notebook_cells import UDF, Notebook

import udfvm
from udfvm.load.bindings import capture, changed

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
    references = capture(notebook["link"])
    assert not changed(references)
    notebook.run("K = 2")
    assert changed(references)


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


def _one_argument(function: Callable[..., int]) -> Callable[[int], int]:
    def f(x: int) -> int:
        return function(x)

    return f


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
