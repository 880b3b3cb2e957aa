"""Mistakes are found at decoration, which keeps the function and imports little."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors
from udfvm.errors import SignatureError

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]


def _missing(x: Missing) -> int:
    return 0


def _typed(x: int) -> int:
    return x


def _untyped(x, y):  # type: ignore[no-untyped-def]
    return x


def _variadic(*values: int) -> int:
    return 0


def _keyword_only(*, x: int) -> int:
    return 0


def _two_types(x: int | str) -> int:
    return 0


def _returns_none(x: int) -> None:
    return None


def _returns_nothing(x: int):  # type: ignore[no-untyped-def]
    return x


def _array(x: np.ndarray) -> int:  # type: ignore[type-arg]
    return 0


def _fraction(x: Fraction) -> int:
    return 0


def _chunked(x: pa.ChunkedArray) -> int:
    return 0


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (_missing, {}, "annotation cannot be evaluated.*Missing"),
        (_untyped, {}, "parameter 'x' has no type: annotate it, or pass input_types="),
        (_untyped, {"input_types": ["int64"], "output_type": "int64"}, "1 types for 2 parameters"),
        (
            _untyped,
            {"input_types": {"z": "int64"}, "output_type": "int64"},
            "'z', which is not a parameter",
        ),
        (_untyped, {"input_types": "int64", "output_type": "int64"}, "must be a list"),
        (
            _untyped,
            {"input_types": ["int64", "int65"], "output_type": "int64"},
            "parameter 'y'.*'int65' is not a supported type: did you mean 'int64'. .see Types",
        ),
        (_untyped, {"input_types": ["int64", "int64"]}, "the result has no type.*output_type="),
        (_variadic, {}, "cannot be passed by position"),
        (_keyword_only, {}, "cannot be passed by position"),
        (_two_types, {}, "allows more than one type"),
        (_returns_none, {}, "the result is annotated None"),
        (_returns_nothing, {}, "the result has no type"),
        (_array, {"input_types": ["int64"]}, "needs @udfvm.udf\\(vectorized=True\\)"),
        (_chunked, {"input_types": ["int64"]}, "annotate pyarrow.Array"),
        (_fraction, {}, "Fraction.*is not a supported type"),
        (_typed, {"input_types": ["string"]}, "annotated int but input_types= says string"),
        (_typed, {"isolation": "batch"}, "must be 'statement' or 'row'"),
        (_typed, {"timeout": -1}, "timeout=-1"),
        (_typed, {"memory": "lots"}, "is not a size"),
        (_typed, {"memory": "1MiB"}, "must be from 16 MiB"),
        (_typed, {"max_output": 0}, "max_output=0 must be from 1"),
        (_typed, {"name": "no name"}, "pass name="),
        (_typed, {"name": "x" * 300}, "longer than 255 bytes"),
        (_typed, {"packages": "pandas"}, "must be a list"),
        (_typed, {"packages": ["not a module"]}, "not the name of a module"),
        (lambda x: x, {"input_types": ["int64"], "output_type": "int64"}, "pass name="),
        (3, {}, "decorates functions"),
        (
            lambda: 0,
            {"vectorized": True, "name": "f", "output_type": "int64"},
            "at least one parameter",
        ),
    ],
)
def test_mistakes_are_found_at_decoration(
    function: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SignatureError, match=message):
        udfvm.udf(**options)(function)


def test_limits_of_the_decorator() -> None:
    function = udfvm.udf(
        timeout=0.25,
        memory="100MiB",
        max_output="1MiB",
        deterministic=True,
        isolation="row",
        name="other",
    )(_typed)
    assert function.limits.timeout_ns == 250_000_000
    assert function.limits.memory == 100 << 20
    assert function.limits.max_output == 1 << 20
    assert function.limits.deterministic
    assert (function.isolation, function.name) == ("row", "other")
    assert udfvm.udf(_typed).limits.timeout_ns == 10_000_000_000
    assert "int64" in repr(function)


def test_import_is_light() -> None:
    code = (
        "import sys, udfvm\n@udfvm.udf\ndef f(x: float) -> float | None: return x\nheavy ="
        " {'pyarrow', 'numpy', 'pandas', 'cloudpickle', 'cffi', 'udfvm.vmm'} &"
        " set(sys.modules)\nassert not heavy, heavy\nassert udfvm.arrow.register and"
        " udfvm.errors.Error is udfvm.Error\ntry: udfvm.nothing\nexcept AttributeError: pass\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_decorator_keeps_the_function() -> None:
    def documented(x: int) -> int:
        """Says what it does."""
        return x

    function: Callable[..., object] = documented
    wrapped = udfvm.udf(documented)
    assert wrapped.function is function
    assert wrapped.__doc__ == "Says what it does."
    with pytest.raises(SignatureError, match="a UDF already"):
        udfvm.udf(wrapped)


def test_asynchronous_functions_are_refused() -> None:
    async def waits(x: int) -> int:
        await asyncio.sleep(0)
        return x

    async def rows(x: int) -> Any:
        yield x

    for decorate, function in (
        (udfvm.udf, waits),
        (udfvm.table_function(columns={"i": int}), rows),
    ):
        with pytest.raises(errors.SignatureError, match="async"):
            decorate(function)
    with pytest.raises(errors.SignatureError, match="async"):
        udfvm.udf(functools.wraps(waits)(waits))


def test_generators_are_refused_where_a_value_is_declared() -> None:
    def numbers(x: int) -> int:
        yield x

    for declared_as in (
        udfvm.udf,
        udfvm.udf(vectorized=True, output_type="int64", input_types=["int64"]),
    ):
        with pytest.raises(
            errors.SignatureError,
            match=r"the function yields: return a value, or declare it with @udfvm\.table_function",
        ):
            declared_as(numbers)
    assert udfvm.table_function(columns={"i": int})(numbers).name == "numbers"
