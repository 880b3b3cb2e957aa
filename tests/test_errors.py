"""Errors go from one process to another with all their attributes."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from udfvm import errors


def _classes(base: type[errors.Error]) -> list[type[errors.Error]]:
    found = [base]
    for each in base.__subclasses__():
        found += _classes(each)
    return list(dict.fromkeys(found))


def _made(cls: type[errors.Error]) -> errors.Error:
    """An error of a class, with a value of its own for each argument."""
    arguments: list[Any] = []
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.name == "self" or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        number = "int" in str(parameter.annotation)
        arguments.append(len(arguments) + 7 if number else f"{parameter.name}\nof it")
    return cls(*(arguments or ["what happened"]))


@pytest.mark.parametrize("cls", _classes(errors.Error), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_errors_of_every_class_pickle_with_all_attributes(
    cls: type[errors.Error], protocol: int
) -> None:
    error = _made(cls)
    error.output = "printed\n"  # type: ignore[attr-defined]
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
