"""Helpers of every form are shipped with the function that uses them."""

from __future__ import annotations

import functools
import pickle
import sys
import types
import typing
from collections.abc import Callable

import pytest

import udfvm


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


def test_new_types_stand_for_their_base_types() -> None:
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


DEFINITIONS = {
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


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_definitions_of_main(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, body, expected = DEFINITIONS[kind]
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(source + f"\ndef f(x: int) -> int: return {body}\n", module.__dict__)
    made = udfvm.udf(module.__dict__["f"])
    assert made(3) == expected
    assert pickle.loads(pickle.dumps(made))(3) == expected
