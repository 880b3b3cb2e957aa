"""with_options() makes copies of functions of every form."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import udfvm
from udfvm import errors


class Largest:
    def __init__(self) -> None:
        self.largest = 0

    def step(self, value: int) -> None:
        self.largest = max(self.largest, value)

    def finish(self) -> int:
        return self.largest


def counted(count: int) -> Iterator[int]:
    yield from range(count)


def doubled(x: int) -> int:
    return 2 * x


def doubled_arrays(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return x * 2


MODULE = '(module (func (export "f") (param i64) (result i64) local.get 0 i64.const 2 i64.mul))'
SOURCE = "long long f(long long x) { return 2 * x; }"
FORMS: dict[str, tuple[Callable[..., udfvm.Function], Callable[[Any], Any], Any]] = {
    "scalar": (lambda **o: udfvm.udf(**o)(doubled), lambda f: f(2), 4),
    "vectorised": (
        lambda **o: udfvm.udf(vectorized=True, **o)(doubled_arrays),
        lambda f: f(np.array([2])).tolist(),
        [4],
    ),
    "table": (
        lambda **o: udfvm.table_function(columns={"i": int}, **o)(counted),
        lambda f: list(f(2)),
        [(0,), (1,)],
    ),
    "aggregate": (lambda **o: udfvm.aggregate(**o)(Largest), lambda f: f(np.array([2, 1])), 2),
    "native": (
        lambda **o: udfvm.from_c(SOURCE, "f", signature="(x: i64) -> i64", **o),
        lambda f: f(2),
        4,
    ),
    "wasm": (lambda **o: udfvm.from_wasm(MODULE, "f", **o), lambda f: f(2), 4),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_with_other_options(form: str) -> None:
    declare, call, result = FORMS[form]
    original = declare(memory="256MiB", timeout=7)
    with udfvm.Pool(size=1) as pool:
        copy = original.with_options(name="copy", timeout=None, max_log=5, log="drop", pool=pool)
        assert call(copy) == call(original) == result
        assert pool.statistics().live == 1
    assert (copy.name, copy.pool) == ("copy", pool) and original.name != "copy"
    assert copy.limits == original.limits._replace(timeout_ns=0, max_log=5, log="drop")
    assert type(copy) is type(original)
    assert (copy.parameters, copy.result) == (original.parameters, original.result)
    assert repr(copy) == repr(original).replace(original.name, "copy", 1)
    again = copy.with_options(pool=None)
    assert again.name == "copy" and again.pool is udfvm.Pool.default()
    assert again.limits == copy.limits and call(again.prepare()) == result


@pytest.mark.parametrize("form", FORMS)
def test_copies_go_to_other_processes(form: str) -> None:
    declare, call, result = FORMS[form]
    copy = declare().with_options(name="copy", max_output=1000)
    arrived = pickle.loads(pickle.dumps(copy))
    assert type(arrived) is type(copy) and repr(arrived) == repr(copy)
    assert arrived.limits == copy.limits and call(arrived) == result


@pytest.mark.parametrize("form", FORMS)
def test_options_that_a_copy_cannot_have(form: str) -> None:
    original = FORMS[form][0]()
    with pytest.raises(errors.SignatureError, match=r"unknown option timeot=.*timeout=?"):
        original.with_options(timeot=1)  # type: ignore[call-arg]
    with pytest.raises(errors.SignatureError, match="timeout= takes seconds as a number"):
        original.with_options(timeout="1s")  # type: ignore[arg-type]
    with pytest.raises(errors.SignatureError, match="cannot be the name of a UDF"):
        original.with_options(name="no name")
    with pytest.raises(errors.SignatureError, match="the name of a UDF is empty: pass name="):
        original.with_options(name="")
    for option in {
        "table": ["isolation"],
        "wasm": ["files", "packages"],
        "native": ["packages"],
    }.get(form, ["vectorized"]):
        is_fixed = option == "vectorized"
        text = f"{option}= is fixed" if is_fixed else f"unknown option {option}="
        with pytest.raises(errors.OptionError, match=text):
            original.with_options(**{option: "row"})  # type: ignore[arg-type]
    assert original.with_options() is not original
