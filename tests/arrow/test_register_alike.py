"""Registration has one shape in every integration: the same arguments, the same refusals."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import apsw
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow
import udfvm.sqlite

SHARED = ["target", "functions", "name", "replace"]


@udfvm.udf
def alike_one(x: float) -> float:
    return x + 1


@udfvm.udf
def alike_two(x: float) -> float:
    return x + 2


@pytest.fixture(params=[udfvm.sqlite, udfvm.arrow], ids=["sqlite", "arrow"])
def engine(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


@pytest.fixture
def target(engine: ModuleType) -> Any:
    return apsw.Connection(":memory:") if engine is udfvm.sqlite else None


@pytest.fixture
def names(engine: ModuleType, target: Any) -> Callable[[], set[str]]:
    """Says which of this module's names can be called."""

    def found() -> set[str]:
        if engine is udfvm.sqlite:
            return {name for (name,) in target.execute("SELECT name FROM vm_functions")}
        known = set()
        for name in pc.list_functions():
            if name.startswith("alike_"):
                try:
                    pc.call_function(name, [1.0])
                except udfvm.UnknownUDFError:
                    continue
                known.add(name)
        return known

    return found


def test_the_parameters(engine: ModuleType) -> None:
    register = inspect.signature(engine.register).parameters
    assert list(register)[:4] == SHARED
    assert register["target"].kind is inspect.Parameter.POSITIONAL_ONLY
    assert (register["name"].default, register["replace"].default) == (None, True)
    unregister = inspect.signature(engine.unregister).parameters
    assert list(unregister) == ["target", "functions_or_names"]
    assert unregister["target"].kind is inspect.Parameter.POSITIONAL_ONLY


def test_all_or_none(engine: ModuleType, target: Any, names: Callable[[], set[str]]) -> None:
    engine.register(target, alike_one)
    taken = alike_two.with_options(name="alike_one")
    for arguments in ([alike_two, taken], [taken, alike_two]):
        with pytest.raises(udfvm.SignatureError, match=r"'alike_one' already: .*replace=True"):
            engine.register(target, *arguments, replace=False)
        assert names() == {"alike_one"}
    with pytest.raises(udfvm.UnknownUDFError, match="no UDF named 'alike_three' is registered"):
        engine.unregister(target, alike_one, "alike_three")
    assert names() == {"alike_one"}
    engine.unregister(target, alike_one)
    assert names() == set()
    engine.register(target, alike_one, replace=False)
    assert names() == {"alike_one"}
    engine.unregister(target, "alike_one")


def test_two_of_a_name(engine: ModuleType, target: Any, names: Callable[[], set[str]]) -> None:
    other = alike_two.with_options(name="alike_one")
    with pytest.raises(udfvm.SignatureError, match=r"alike_one.*give one of them another"):
        engine.register(target, alike_one, other)
    engine.register(target, alike_one, alike_one)
    assert names() == {"alike_one"}
    engine.unregister(target, "alike_one", alike_one)
    assert names() == set()


def test_what_is_no_function(engine: ModuleType, target: Any) -> None:
    for wrong, text in ((3, "takes UDFs; got 3"), ([alike_one], r"got a list: write a \*")):
        with pytest.raises(udfvm.SignatureError, match=text):
            engine.register(target, wrong)
    with pytest.raises(udfvm.SignatureError, match="takes UDFs or their names; got 3"):
        engine.unregister(target, 3)
    with pytest.raises(udfvm.SignatureError, match="name= is the name of one function; got 2"):
        engine.register(target, alike_one, alike_two, name="alike_both")


def test_what_is_no_target(engine: ModuleType) -> None:
    for call in (engine.register, engine.unregister):
        for arguments in (["alike_one"], ["alike_one", alike_one], [alike_one]):
            with pytest.raises(udfvm.SignatureError, match=f"{engine.__name__}.*takes "):
                call(*arguments)


def test_unknown_options(engine: ModuleType, target: Any) -> None:
    with pytest.raises(udfvm.OptionError, match=r"replce=: did you mean replace=\?"):
        engine.register(target, alike_one, replce=True)
    with pytest.raises(udfvm.OptionError, match="unknown option name=: there are no options"):
        engine.unregister(target, name="alike_one")


def test_the_likely_name_in_pyarrow() -> None:
    udfvm.arrow.register(None, alike_one)
    with pytest.raises(udfvm.UnknownUDFError, match=r"did you mean 'alike_one'\?"):
        udfvm.arrow.unregister(None, "alike_on")
    udfvm.arrow.unregister(None, alike_one)
    with pytest.raises(udfvm.SignatureError, match=r"pyarrow\.compute has a function 'hash_sum'"):
        udfvm.arrow.register(None, alike_one, name="hash_sum")
