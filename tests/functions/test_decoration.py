"""Mistakes are found at decoration, which keeps the function and imports little."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
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


def _keywords(**xs: int) -> int:
    return len(xs)


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


def _any_list(x: list) -> int:  # type: ignore[type-arg]
    return 0


def _any_dict(x: dict | None) -> int:  # type: ignore[type-arg]
    return 0


def _none_by_default(x: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
    return 0


def _text_by_default(x: int = "a") -> int:  # type: ignore[assignment]
    return 0


def _huge_by_default(x: int = 2**70) -> int:
    return 0


def _list_by_default(x: list[float] = [1.0, "a"]) -> int:  # type: ignore[list-item]  # noqa: B006
    return 0


def _no_list_by_default(x: list[float] = "ab") -> int:  # type: ignore[assignment]
    return 0


def _array_by_default(x: np.ndarray = None) -> np.ndarray:  # type: ignore  # noqa: PGH003, RUF013
    return x


class _Class:
    def method(self, x: int) -> int:
        return x


_ARRAYS: dict[str, Any] = {"vectorized": True, "input_types": ["double"], "output_type": "double"}


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (_missing, {}, "annotation cannot be evaluated.*Missing"),
        (_untyped, {}, "parameter 'x' has no type: annotate it, or pass input_types="),
        (
            _Class.method,
            {},
            r"'self' is a method's instance.*: declare udfvm.udf\(instance.method\)",
        ),
        (
            _untyped,
            {"input_types": ["int64", "list<timestamp[us, tz=Europe/Berln]>"]},
            "'Europe/Berln' is not a time zone: did you mean 'Europe/Berlin'",
        ),
        (
            _untyped,
            {"input_types": ["int64"], "output_type": "int64"},
            "input_types= has 1 type; the function has 2 parameters: .*",
        ),
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
        (_keywords, {}, ". takes any number of arguments, and a UDF has a fixed number: write"),
        (_keyword_only, {}, "'.' is keyword-only, .*: move it before the ."),
        (_none_by_default, {}, "the default of 'x' is None: annotate it `int . None`"),
        (_text_by_default, {}, "the default of 'x' is not valid: 'x' is declared int64, .*got str"),
        (_huge_by_default, {}, "the default of 'x' is not valid: .* out of the range of int64"),
        (_list_by_default, {}, "the default of 'x' is not valid: .*item 1 .*got str"),
        (_no_list_by_default, {}, "the default of 'x' is not valid: .*which takes a list; got str"),
        (_array_by_default, _ARRAYS, "the default of 'x' is None: annotate it `np.ndarray . N"),
        (_two_types, {}, "allows more than one type"),
        (_returns_none, {}, "the result is annotated None"),
        (_returns_nothing, {}, "the result has no type"),
        (_array, {"input_types": ["int64"]}, "needs @udfvm.udf\\(vectorized=True\\)"),
        (_chunked, {"input_types": ["int64"]}, "annotate pyarrow.Array"),
        (_fraction, {}, "Fraction.*is not a supported type"),
        (_any_list, {}, "'x': annotation list does not say the type of its values: write list.fl"),
        (_any_dict, {}, "'x': annotation dict does not say the types of its keys and values: wri"),
        (_typed, {"input_types": ["string"]}, "annotated int but input_types= says string"),
        (_typed, {"isolation": "batch"}, "must be 'statement' or 'row'"),
        (_typed, {"timeout": -1}, "timeout=-1"),
        (_typed, {"memory": "lots"}, "is not a size"),
        (_typed, {"memory": "1MiB"}, "must be from 16 MiB"),
        (_typed, {"max_output": 0}, "max_output=0 must be at least 1 byte, and below"),
        (_typed, {"name": "no name"}, "pass name="),
        (_typed, {"name": "x" * 300}, "longer than 255 bytes"),
        (_typed, {"packages": "pandas"}, "must be a list"),
        (_typed, {"packages": ["not a module"]}, "not the name of a module"),
        (lambda x: x, {"input_types": ["int64"], "output_type": "int64"}, "pass name="),
        (3, {}, "decorates functions; got 3"),
        (_Class, {}, "got the class _Class: .*use @udfvm.aggregate"),
        (udfvm.udf(_typed), {}, "is a UDF already: for other options, call its with_options"),
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


def test_defaults_of_every_form_are_checked() -> None:
    def rows(x: int = None) -> Iterator[int]:  # type: ignore[assignment]  # noqa: RUF013
        yield x

    class Sum:
        def step(self, x: float, weight: float = "1") -> None:  # type: ignore[assignment]
            pass

        def finish(self) -> float:
            return 0.0

    with pytest.raises(SignatureError, match="UDF 'rows': the default of 'x' is None"):
        udfvm.table_function(columns={"x": int})(rows)
    with pytest.raises(SignatureError, match="UDF 'sum': the default of 'weight' is not valid"):
        udfvm.aggregate(Sum)
    partial = functools.partial(_typed, x="a")  # which is no parameter any more
    assert udfvm.udf(partial, name="f", output_type="int64").parameters == ()


def test_defaults_that_calls_take_are_taken() -> None:
    @udfvm.udf
    def f(
        x: float = 1,
        y: int | None = None,
        z: Decimal = Decimal("1.5"),
        items: list[float] = (2.0, np.float64(3)),  # type: ignore[assignment]  # noqa: B008
        names: dict[str, int] = {"a": 1},  # noqa: B006
    ) -> str:
        return f"{x} {y} {z:.1f} {items} {names}"

    assert f() == "1.0 None 1.5 [2.0, 3.0] {'a': 1}"

    @udfvm.udf(vectorized=True, **FLOATS)
    def g(x: np.ndarray, y: np.ndarray = np.array([1.0, 2.0])) -> np.ndarray:  # type: ignore[type-arg]  # noqa: B008
        return x + y

    assert g(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]


FLOATS: Any = {"input_types": ["double", "double"], "output_type": "double"}


def test_how_many_arguments_there_may_be() -> None:
    @udfvm.udf
    def f(x: int, y: float = 2.0, z: float = 3.0) -> float:
        return x

    for arguments, keywords in (((), {}), ((1, 2.0, 3.0, 4.0), {}), ((1,), {"w": 1})):
        with pytest.raises(
            udfvm.TypeMappingError, match=r"; it takes 1 to 3 arguments \(x, y=, z=\)$"
        ):
            f(*arguments, **keywords)

    @udfvm.udf
    def none() -> int:
        return 1

    with pytest.raises(udfvm.TypeMappingError, match=r"; it takes 0 arguments$"):
        none(1)
