"""Errors that engines make anew from their texts."""

from __future__ import annotations

from typing import Any

from udfvm.errors import CallError, Error, TypeMappingError


def made_anew(error: Error) -> Error:
    """Returns an error like another, for an engine that adds to its text by ``type(error)(text)``:
    that gives an error of the same class, with the same attributes.

    >>> from udfvm.errors import UDFError
    >>> error = made_anew(UDFError("ValueError", "no", "", udf="f", row=3))
    >>> again = type(error)(f"{error}, in a query")
    >>> type(again), str(again), again.row
    (<class 'udfvm.errors.UDFError'>, "UDF 'f', row 3: ValueError: no, in a query", 3)
    """
    class_ = type(error)

    def again(_: object, text: str = "") -> Error:
        made = copied(class_, error)
        made.args = (text,)
        return made

    return _with_methods(error, {"__new__": again})


def locate_in(error: Error, of: str) -> None:
    """Says in an error what its row counts in, such as "batch", if it has one."""
    if isinstance(error, (CallError, TypeMappingError)) and error.row is not None:
        error.locate(error.row, of=of)


def with_whole_text(error: Error) -> Error:
    """Returns an error of the same class, with the same attributes, for an engine that shows
    ``repr(error)``, in which lines would be escaped: there it is the text.

    >>> from udfvm.errors import UDFError
    >>> with_whole_text(UDFError("ValueError", "no", "", udf="f", row=3))
    UDF 'f', row 3: ValueError: no
    """
    return _with_methods(error, {"__repr__": type(error).__str__})


def _with_methods(error: Error, methods: dict[str, Any]) -> Error:
    """Returns an error like another, of a class with that one's name and other methods. It is
    pickled as the other is.
    """
    class_ = type(error)
    names = {"__module__": class_.__module__, "__qualname__": class_.__qualname__}
    body: dict[str, Any] = {**names, "__reduce__": lambda _: error.__reduce__(), **methods}
    return copied(type(class_.__name__, (class_,), body), error, class_)


def copied(class_: type[Error], error: Error, maker: type[Error] | None = None) -> Error:
    """Returns an error of a class, or of its subclass ``maker``, that is like another, without a
    call of ``__init__``.
    """
    made = (maker or class_).__new__(class_)
    made.args = error.args
    made.__dict__.update(error.__dict__)
    made.__cause__ = error.__cause__
    made.__traceback__ = error.__traceback__
    return made
