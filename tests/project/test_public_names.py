"""What ``import udfvm`` offers."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import udfvm
from udfvm import errors


def test_every_exception_is_exported() -> None:
    raised = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.Error) and name[0] != "_"
    }
    assert {"Error", "CallError", "HostFunctionError", "HostCallLimitError"} <= raised
    assert raised <= set(udfvm.__all__)
    assert all(getattr(udfvm, name) is getattr(errors, name) for name in raised)


def test_every_failure_of_the_core_has_its_exception() -> None:
    for code in errors.Code:
        raised = errors.from_core(code, "something failed")
        assert isinstance(raised, errors.Error | KeyboardInterrupt | ValueError), code
    assert isinstance(errors.from_core(errors.Code.CLOSED, ""), udfvm.PoolClosedError)


#: Engines whose packages the extra "test" does not have, because they are large.
LARGE = {"ray": "ray", "spark": "pyspark"}


def test_every_public_name_exists() -> None:
    for name in udfvm.__all__:
        if name in LARGE and not find_spec(LARGE[name]):
            with pytest.raises(udfvm.EngineError, match=rf"pip install 'udfvm\[{name}\]'"):
                getattr(udfvm, name)
        else:
            assert hasattr(udfvm, name), name


@pytest.mark.parametrize(
    "module",
    [
        "udfvm",
        "udfvm.arrow",
        "udfvm.dask",
        "udfvm.datafusion",
        "udfvm.duckdb",
        "udfvm.ibis",
        "udfvm.pandas",
        "udfvm.polars",
        *(f"udfvm.{engine}" for engine, package in LARGE.items() if find_spec(package)),
        "udfvm.sqlite",
        "udfvm.wasm",
    ],
)
def test_dir_lists_public_names_alone(module: str) -> None:
    name = module.removeprefix("udfvm.")
    found = udfvm if name == "udfvm" else getattr(udfvm, name)
    assert dir(found) == sorted(found.__all__)
