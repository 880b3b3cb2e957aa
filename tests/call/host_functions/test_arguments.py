"""Arguments of host functions are converted without loss, or refused in the guest."""

from __future__ import annotations

import numpy as np
import pytest
from shared_host_functions import rate

import udfvm


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("()", r"rate\(\) takes the arguments \(currency\): 'currency' is missing"),
        ("(1, 2)", r"rate\(\) takes the arguments \(currency\): 2 were given"),
        ("(1,)", r"rate\(\): argument 'currency' is 1, of type int; expected str"),
        ("('\\ud800',)", r"rate\(\): argument 'currency' is .*, which has a lone surrogate"),
    ],
)
def test_wrong_arguments_are_the_functions_mistake(arguments: str, message: str) -> None:
    @udfvm.udf(host_functions=[rate])
    def ask(text: str) -> float | None:
        return rate(*eval(text))

    with pytest.raises(udfvm.UDFError, match=message) as caught:
        ask(arguments)
    assert "_udfvm_" not in str(caught.value)
    assert "line" in caught.value.guest_traceback  # the function's own frame is there
    assert ask("('EUR',)") == 1.0


def number(a: float) -> float:
    return a


def truth(a: bool) -> bool:
    return a


def whole(a: int) -> int:
    return a


def text(a: str) -> str:
    return a


def data(a: bytes) -> bytes:
    return a


@udfvm.udf(host_functions=[number, truth, whole, text, data], packages=["numpy"])
def passes(pickled: bytes) -> str:
    import pickle

    name, value = pickle.loads(pickled)
    return repr(
        {"number": number, "truth": truth, "whole": whole, "text": text, "data": data}[name](value)
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("number", 2**53, "9007199254740992.0"),
        ("number", 2**53 + 1, None),
        ("number", -(2**53) - 1, None),
        ("number", 2**54, "1.8014398509481984e+16"),
        ("number", np.int64(2**53 + 1), None),
        ("number", np.float32(0.5), "0.5"),
        ("number", True, "1.0"),
        ("number", np.True_, "1.0"),
        ("number", "1", None),
        ("number", 10**400, None),
        ("truth", True, "True"),
        ("truth", np.False_, "False"),
        ("truth", 1, None),
        ("truth", "x", None),
        ("whole", True, "1"),
        ("whole", np.True_, "1"),
        ("whole", np.uint8(200), "200"),
        ("whole", 1.0, None),
        ("whole", 2**63, None),
        ("text", "a\0é", "'a\\x00é'"),
        ("text", b"a", None),
        ("text", "\ud800", None),
        ("data", bytearray(b"a"), "b'a'"),
        ("data", np.arange(3), None),
        ("data", "a", None),
    ],
)
def test_arguments_are_converted_without_loss(
    name: str, value: object, expected: str | None
) -> None:
    import pickle

    argument = pickle.dumps((name, value))
    if expected is not None:
        assert passes(argument) == expected
        return
    with pytest.raises(udfvm.UDFError, match=rf"{name}\(\): argument 'a'"):
        passes(argument)
