"""Lists, structs, maps and unions: checking their values, and reading and writing them as JSON,
which represents them in rows.

Names of types are as the host writes them: ``struct<x: double, at: list<item: timestamp[us]>>``.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from _udfvm_array_values import dictionary_of, has_hashed_keys
from _udfvm_conversions import family
from _udfvm_intervals import is_interval
from _udfvm_json import from_json_text, to_json_text
from _udfvm_json_text import stand_in
from _udfvm_nested import Nested, pairs_of, quoted, take_apart, values_in_pairs
from _udfvm_unions import Chosen, choose
from _udfvm_value_type import inside, returned
from _udfvm_value_types import value_type

Check = Callable[[Any], Any]


def value_check(name: str) -> Check:
    """Returns a function that turns a value, which may be None, into plain Python values of the
    type. It raises TypeError, ValueError or OverflowError.
    """
    check = _checked(name, _Forms(lambda leaf: value_type(leaf).check))
    return check if take_apart(name) is None else returned(check, name)


def _as_chosen(chosen: Chosen) -> Any:
    return chosen


def _as_value(chosen: Chosen) -> Any:
    return chosen.value


class _Forms(NamedTuple):
    """What the checks of a type make of values.

    Attributes:
        check_of: makes the check of a type that holds no other type. It is not called with None.
        maps: makes, for a type of maps, what makes of checked pairs what stands for a map.
        union: makes of a chosen value what stands for a value of a union.
        in_json: the values are those of JSON, in which text stands for other types.
    """

    check_of: Callable[[str], Check]
    maps: Callable[[Nested], Callable[[list[tuple[Any, Any]]], Any]] = lambda nested: list
    union: Callable[[Chosen], Any] = _as_chosen
    in_json: bool = False


def _checked(name: str, forms: _Forms) -> Check:
    """Returns a function that checks a value, which may be None, and all that it holds."""
    nested = take_apart(name)
    if nested is None:
        check = forms.check_of(name)
        return lambda value: None if value is None else check(value)
    names = [field.name for field in nested.fields]
    checks = [_checked(field.type, forms) for field in nested.fields]
    if nested.mode is not None:
        return _checked_union(nested, checks, forms)
    if nested.container == "map":
        key, value = checks
        return _checked_map(key, value, forms.maps(nested))
    if nested.container != "struct":
        (check,) = checks
        return _checked_list(check, nested.size)
    if nested.has_equal_names:
        return _checked_pairs(names, checks)
    return _checked_struct(dict(zip(names, checks, strict=True)))


def _checked_list(check: Check, size: int | None) -> Check:
    def check_list(value: Any) -> list[Any] | None:
        if value is None:
            return None
        if type(value) is not list:
            value = _as_list(value)
        if size is not None and len(value) != size:
            raise ValueError(f"expected a list of {size}, got one of {len(value)}")
        checked: list[Any] = []
        try:
            for item in value:
                checked.append(check(item))  # noqa: PERF401 - its length is the place of a failure
        except (TypeError, ValueError, OverflowError) as error:
            raise inside(f"item {len(checked)}", error) from None
        return checked

    return check_list


def _checked_map(
    check_key: Check, check: Check, make: Callable[[list[tuple[Any, Any]]], Any]
) -> Check:
    def check_map(value: Any) -> Any:
        if value is None:
            return None
        checked: list[tuple[Any, Any]] = []
        pairs = pairs_of(value)
        try:
            for key, each in pairs:
                if key is None:
                    raise TypeError("expected a key, got None")
                checked.append((check_key(key), check(each)))
        except (TypeError, ValueError, OverflowError) as error:
            raise inside(f"entry {len(checked)}", error) from None
        return make(checked)

    return check_map


def _checked_union(nested: Nested, checks: list[Check], forms: _Forms) -> Check:
    failures = TypeError, ValueError, OverflowError

    def check_union(value: Any) -> Any:
        if value is None:
            return None
        chosen = choose(value, checks, failures, in_json=forms.in_json)
        if chosen is None:
            raise TypeError(
                f"expected a value of a type of {nested}, got {type(value).__name__}: {value!r:.40}"
            )
        return forms.union(chosen)

    return check_union


def _as_list(value: Any) -> Sequence[Any]:
    """Returns the values of a list, tuple or array. An interval, though it is a tuple, is none."""
    if isinstance(value, (list, tuple)) and not is_interval(value):
        return value
    numpy, pyarrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.ndim:
        # `tolist` returns integers for nanoseconds.
        items: list[Any] = list(value) if value.dtype.kind in "mM" else value.tolist()
    elif pyarrow is not None and isinstance(value, (pyarrow.Array, pyarrow.ChunkedArray)):
        items = value.to_pylist()
    else:
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return items


def _checked_struct(checks: Mapping[str, Check]) -> Check:
    def check_struct(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            value = _instance_as_mapping(value, checks)
        for key in value:
            if key not in checks:
                raise TypeError(f"unknown field {key!r}; the fields are {_listed(checks)}")
        return {name: _in_field(name, check, value.get(name)) for name, check in checks.items()}

    return check_struct


def _checked_pairs(names: list[str], checks: list[Check]) -> Check:
    def check_pairs(value: Any) -> list[tuple[str, Any]] | None:
        if value is None:
            return None
        values = values_in_pairs(value, names)
        return [
            (name, _in_field(name, check, each))
            for name, check, each in zip(names, checks, values, strict=True)
        ]

    return check_pairs


def _instance_as_mapping(value: Any, names: Iterable[str]) -> Mapping[str, Any]:
    """Returns the declared fields of an instance of a dataclass or named tuple."""
    cls = type(value)
    is_named_tuple = isinstance(value, tuple) and hasattr(cls, "_fields")
    if is_named_tuple or hasattr(cls, "__dataclass_fields__"):
        missing = next((name for name in names if not hasattr(value, name)), None)
        if missing is None:
            return {name: getattr(value, name) for name in names}
        raise TypeError(f"{cls.__name__} has no {missing!r}, which is a field of the struct")
    raise TypeError(f"expected a dictionary with the fields {_listed(names)}; got {cls.__name__}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names)) or "(none)"


def _in_field(name: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise inside(f"field {name!r}", error) from None


# ---- JSON ----


@functools.cache
def json_reader(name: str) -> Callable[[str], Any]:
    """Returns a function that turns JSON text into a list or struct. It raises TypeError or
    ValueError for other JSON.
    """
    return _json_reader(name, _as_value)


def json_checked(name: str) -> Callable[[str], Any]:
    """As ``json_reader``, for what becomes an array."""
    return _json_reader(name, _as_chosen)


def _json_reader(name: str, union: Callable[[Chosen], Any]) -> Callable[[str], Any]:
    forms = _Forms(lambda leaf: value_type(leaf).from_json, _map_value, union, in_json=True)
    check = _checked(name, forms)
    return lambda text: check(from_json_text(text))


@functools.cache
def json_writer(name: str) -> Callable[[Any], str]:
    """Returns a function that turns a list or struct into JSON text. It raises the errors of
    value_check().
    """
    check = _checked(name, _Forms(_check_for_json, _map_in_json, _as_value))
    return returned(lambda value: to_json_text(check(value), stand_in), name)


def _check_for_json(leaf: str) -> Check:
    type_ = value_type(leaf)
    return type_.in_json or type_.check


def _map_value(nested: Nested) -> Callable[[list[tuple[Any, Any]]], Any]:
    return dictionary_of if has_hashed_keys(nested) else list


def _map_in_json(nested: Nested) -> Callable[[list[tuple[Any, Any]]], Any]:
    """Maps of text are objects, others lists of pairs."""
    return dictionary_of if family(nested.fields[0].type) == "text" else list
