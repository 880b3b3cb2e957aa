"""Samples: the arguments of calls that run while an image is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from udfvm.checks import shown
from udfvm.codec.rows import encode_value
from udfvm.codec.value_codecs import has_codec, is_python_value
from udfvm.errors import OptionError, TypeMappingError
from udfvm.texts import counted
from udfvm.types.arrow_types import Parameter


def checked_sample(
    name: str, parameters: Sequence[Parameter], sample: Any
) -> tuple[object, ...] | None:
    """Returns the arguments of one call, in the order of the parameters; None without a sample.

    Raises OptionError. Columns are checked when the image is built.
    """
    if sample is None:
        return None
    if isinstance(sample, Mapping):
        arguments = _by_name(name, parameters, sample)
    elif hasattr(sample, "columns") and hasattr(sample, "num_rows"):
        arguments = tuple(sample.columns)
    elif isinstance(sample, tuple):
        arguments = sample
    else:
        raise OptionError(f"UDF {name!r}: {_wanted(parameters)}; got {shown(sample)}")
    if len(arguments) != len(parameters):
        got = counted(len(arguments), "argument")
        raise OptionError(f"UDF {name!r}: {_wanted(parameters)}; got {got}")
    for parameter, argument in zip(parameters, arguments, strict=True):
        _check_value(name, parameter, argument)
    return arguments


def checked_group(
    name: str, parameters: Sequence[Parameter], sample: Any
) -> list[tuple[object, ...]] | None:
    """Returns the arguments of the calls of ``step`` for one group; None without a sample. Raises
    OptionError.
    """
    if sample is None:
        return None
    if isinstance(sample, (str, bytes, tuple, Mapping)) or not isinstance(sample, Sequence):
        raise OptionError(
            f"UDF {name!r}: sample= must be a list of tuples, each with the arguments of one"
            f" step(); got {shown(sample)}"
        )
    return [checked_sample(name, parameters, row) or () for row in sample]


def _by_name(
    name: str, parameters: Sequence[Parameter], sample: Mapping[Any, object]
) -> tuple[object, ...]:
    names = [parameter.name for parameter in parameters]
    if missing := [each for each in names if each not in sample]:
        raise OptionError(f"UDF {name!r}: sample= has no value for {missing[0]!r}")
    if unknown := [each for each in sample if each not in names]:
        raise OptionError(
            f"UDF {name!r}: sample= has a value for {shown(unknown[0])}, which is not a parameter"
        )
    return tuple(sample[each] for each in names)


def _wanted(parameters: Sequence[Parameter]) -> str:
    number = len(parameters)
    count = "argument" if number == 1 else counted(number, "argument")
    return f"sample= must be a tuple with the {count} of one call, or a mapping by parameter"


def _check_value(name: str, parameter: Parameter, value: object) -> None:
    """Checks a plain value of Python, which needs no pyarrow for that."""
    if value is None or not is_python_value(value) or not has_codec(parameter.type.kind):
        return
    try:
        encode_value(name, parameter, value)
    except TypeMappingError as error:
        raise OptionError(
            f"UDF {name!r}: sample= for {parameter.name!r}: it {error.reason}"
        ) from error
