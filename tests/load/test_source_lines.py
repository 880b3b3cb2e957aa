"""Of a source file, the lines of a function travel with it, and no others."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable

import pytest

import udfvm

BESIDE = "a text that no function below refers to"


def plain(x: float) -> float:
    return (
        1
        / x
    )  # fmt: skip


def texts() -> str:
    import linecache

    lines = (entry[2] for entry in linecache.cache.values() if len(entry) > 2)
    return "".join("".join(each) for each in lines)


class Scaled:
    """Its methods travel with their lines."""

    factor = 2.0

    def times(self, x: float) -> float:
        return self.factor / x


def made_by_lambda(x: float) -> float:
    scaled = Scaled()
    return min((x,), key=lambda y: scaled.times(y) + y)


def own_source() -> str:
    return inspect.getsource(plain)


def test_other_lines_of_the_file_stay_here() -> None:
    told = udfvm.udf(texts)()
    assert "def texts() -> str:" in told
    assert "a text that no function" not in told and "class Scaled" not in told
    assert "a text that no function" in "".join(linecache.getlines(__file__))


def test_no_image_has_other_lines() -> None:
    for function in (udfvm.udf(plain), udfvm.udf(made_by_lambda)):
        image = function.prepare().image
        assert image is not None
        assert BESIDE.encode() not in image.path.read_bytes()


@pytest.mark.parametrize(
    ("function", "lines"),
    [
        (plain, ["        1\n"]),
        (made_by_lambda, ["key=lambda y: scaled.times(y) + y", "return self.factor / x"]),
    ],
    ids=["of several lines", "nested"],
)
def test_tracebacks_have_their_lines(function: Callable[[float], float], lines: list[str]) -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        udfvm.udf(function)(0.0)
    assert caught.value.guest_traceback is not None
    assert not [line for line in lines if line.strip() not in caught.value.guest_traceback]


def test_the_source_of_a_function_is_there() -> None:
    assert udfvm.udf(own_source)() == inspect.getsource(plain)
