"""A function follows the names that it refers to, as Python looks them up when they are used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from notebook_cells import UDF, Notebook

import udfvm
from udfvm.call import fast_path
from udfvm.load.bindings import capture, changed


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


def test_additions_to_a_class_or_a_generic_function(notebook: Notebook) -> None:
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
