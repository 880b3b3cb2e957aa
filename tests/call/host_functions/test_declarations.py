"""Host functions are declared like functions: their defaults, results and names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from shared_host_functions import rate

import udfvm
from udfvm import errors
from udfvm.call.host_functions import HostFunctions


def anonymous() -> Callable[..., Any]:
    return lambda x: x


def dated(x: int) -> Any:
    return x


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ([rate, rate.__class__(rate.__code__, {}, "rate")], "two functions named 'rate'"),
        ([anonymous()], "not a function with a name"),
        ([7], "not a function with a name"),
        (
            [dated],
            "host function 'dated': the result is annotated Any, which is no type: annotate one$",
        ),
    ],
)
def test_functions_that_cannot_be_host_functions(functions: list[Any], message: str) -> None:
    if functions[0] is rate:
        functions[1].__annotations__ = rate.__annotations__
    with pytest.raises(udfvm.SignatureError, match=message):
        HostFunctions("f", functions)


def call(function: Callable[..., Any], body: str) -> Any:
    made = udfvm.udf(
        eval(f"lambda k: {body}", {function.__name__: function}),
        name="u",
        input_types=["string"],
        output_type="string",
        host_functions=[function],
    )
    return made("z")


def test_a_host_function_that_returns_nothing() -> None:
    told = []

    def tell(text: str) -> None:
        told.append(text)

    assert call(tell, "str(tell(k))") == "None"
    assert told == ["z"]

    def lies(text: str) -> None:
        return 5  # type: ignore[return-value]

    with pytest.raises(
        errors.HostFunctionError, match="returned int, and is annotated to return None"
    ):
        call(lies, "str(lies(k))")


def test_defaults_of_host_functions() -> None:
    def several(
        a: str,
        b: int = 5,
        c: float = 0.5,
        d: str = "é",
        e: bytes = b"\0x",
        f: bool = True,
        g: int | None = None,
    ) -> str:
        return repr((a, b, c, d, e, f, g))

    whole = ("z", 5, 0.5, "é", b"\0x", True, None)
    assert call(several, "several(k)") == repr(whole)
    assert call(several, "several(k, 6, g=7)") == repr((whole[0], 6, *whole[2:6], 7))
    assert call(several, "several(a=k, d='d')") == repr((*whole[:3], "d", *whole[4:]))
    with pytest.raises(udfvm.UDFError, match=r"several\(\) takes the arguments \(a, b=5, c=0\.5"):
        call(several, "several()")
    with pytest.raises(udfvm.UDFError, match=r"several\(\) takes the arguments"):
        call(several, "several(k, x=1)")


def impossible_functions() -> list[tuple[Any, str]]:
    async def waits(k: str) -> int:
        return 1

    async def yields(k: str) -> Any:
        yield 1

    class Waits:
        __name__ = "waits"

        async def __call__(self, k: str) -> int:
            return 1

    def untyped(k: dict) -> int:  # type: ignore[type-arg]
        return len(k)

    def useless(k: str, n: None) -> int:
        return 1

    def odd_list(k: str, n: list[int] = ["five"]) -> int:  # type: ignore[list-item]  # noqa: B006
        return n[0]

    def odd(k: str, n: int = "five") -> int:  # type: ignore[assignment]
        return n

    def nothing(k: str, n: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
        return n

    return [
        (waits, "is async: give an ordinary function"),
        (yields, "is async"),
        (Waits(), "is async"),
        (untyped, "dict does not say the types of its keys and values"),
        (useless, "parameter 'n' is None alone"),
        (odd_list, r"the default of 'n' is \['five'\], which is not of its type, list"),
        (odd, "the default of 'n' is 'five', which is not of its type, int"),
        (nothing, r"the default of 'n' is None: annotate it int \| None"),
    ]


@pytest.mark.parametrize(("function", "message"), impossible_functions())
def test_functions_that_host_functions_cannot_be(function: Any, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.udf(
            lambda k: 1,
            name="u",
            input_types=["string"],
            output_type="int64",
            host_functions=[function],
        )
