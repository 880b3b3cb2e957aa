"""What a type that holds no other has, and what the checks of all of them share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import _udfvm_agent

Converter = Callable[[Any], Any]


class ValueType(NamedTuple):
    """A type that holds no other. Functions raise TypeError, ValueError or OverflowError.

    Attributes:
        encode: makes what is stored of a value that a function returned. C does so itself where it
            takes the value as it is, unless there is ``decode``.
        check: makes a plain Python value of the type of a value that a function returned; a date
            stays a date.
        from_json: makes a value of what JSON has for it.
        row: how rows store it (``TYPE_x``).
        decode: makes a value of what is stored; None where C does.
        narrow: checks a value of the wider type that column batches have; None where theirs is not
            wider.
        in_json: makes of a value that a function returned what JSON has for it; None where
            ``check`` makes that.
    """

    encode: Converter
    check: Converter
    from_json: Converter
    row: int = _udfvm_agent.TYPE_INT64
    decode: Converter | None = None
    narrow: Converter | None = None
    in_json: Converter | None = None


def wrong_result(value: object, declared: str, advice: str = "") -> TypeError:
    """Returns the error for a result that does not have its declared type. ``advice`` says what to
    return instead.
    """
    found, end = type(value).__name__, advice and f": {advice}"
    error = TypeError(f"the function returned {found}, but its result is declared {declared}{end}")
    vars(error)["reason"] = f"expected {declared}, got {found}{end}"  # where it is part of a result
    return error


def lossy_result(loss: Exception) -> ValueError:
    """Returns the error for a result that its declared type cannot hold. The text of the loss is a
    sentence whose subject is the value.
    """
    error = ValueError(
        f"the function returned a value that its declared result type cannot hold: {loss}"
    )
    vars(error)["reason"] = str(loss)  # where it is part of a result
    return error


def returned(check: Converter, declared: str) -> Converter:
    """Returns a check whose errors say that they are about what the function returned, of a type
    that holds others.
    """

    def checked(value: Any) -> Any:
        try:
            return check(value)
        except (TypeError, ValueError, OverflowError) as error:
            known = vars(error)
            reason = str(error) if "places" in known else known.get("reason", str(error))
            made = _alike(error, f"the function returned a value that is no {declared}: {reason}")
            vars(made)["reason"] = reason
            raise made from None

    return checked


def inside(place: str, error: Exception) -> Exception:
    """Returns the error for a value in a list or struct. Its text begins with where the value is:
    ``field 'b', item 3: ...``.
    """
    known = vars(error)
    places = f"{place}, {known['places']}" if "places" in known else place
    reason = known.get("reason", str(error))
    located = _alike(error, f"{places}: {reason}")
    vars(located).update(places=places, reason=reason)
    return located


def _alike(error: Exception, text: str) -> Exception:
    """Returns an error of the same kind with another text."""
    classes = (OverflowError, TypeError, ValueError)  # their subclasses may take other arguments
    return next(cls for cls in classes if isinstance(error, cls))(text)


def python_bool(value: Any) -> Any:
    """Returns numpy's bool, which is not a number, as Python's, which is."""
    numpy = sys.modules.get("numpy")
    return bool(value) if numpy is not None and isinstance(value, numpy.bool_) else value


def unless_exact(class_: type, encode: Converter) -> Converter:
    """Returns a check that keeps instances of a class itself and encodes other values."""
    return lambda value: value if type(value) is class_ else encode(value)


def expect(value: Any, classes: type | tuple[type, ...], described: str) -> Any:
    """A value in JSON, which must be an instance of one of the classes, and no bool."""
    if not isinstance(value, classes) or isinstance(value, bool):
        raise TypeError(f"expected {described} in JSON, got {json.dumps(value)[:40]}")
    return value


def checked_by(encode: Converter) -> Converter:
    """Returns a check that keeps values that can be stored, and returns None for null."""
    return lambda value: value if encode(value) is not None else None
