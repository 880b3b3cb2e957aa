"""Errors for unknown options: they name the known ones, and the one that was probably meant."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from udfvm.errors import OptionError
from udfvm.texts import listed

_Function = TypeVar("_Function", bound=Callable[..., Any])


def unknown_option(what: str, option: str, known: Iterable[str]) -> OptionError:
    """Returns the error for an unknown option.

    >>> str(unknown_option("udfvm.udf", "timeot", ["name", "timeout"]))
    'udfvm.udf: unknown option timeot=: did you mean timeout=? The options are name and timeout'
    """
    import difflib  # only where one was mistyped

    names = list(known)
    close = difflib.get_close_matches(option, names, 1)
    known_ones = f"he options are {listed(names, 'and')}"
    advice = f"did you mean {close[0]}=? T{known_ones}" if close else f"t{known_ones}"
    return OptionError(f"{what}: unknown option {option}=: {advice}")


def check_options(what: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Raises ``OptionError``, which is a ``TypeError``, for an unknown option."""
    names = list(known)
    for option in options:
        if option not in names:
            raise unknown_option(what, option, names)


def option_names(options: type) -> list[str]:
    """Returns the options of a ``TypedDict``, inherited ones included."""
    return list(options.__annotations__)


def checks_options(what: str, *options: type) -> Callable[[_Function], _Function]:
    """Makes a function raise ``OptionError`` for unknown options.

    ``what`` is its name for users. ``options`` is the ``TypedDict`` of ``**options: Unpack[...]``,
    if the function has that.
    """

    def decorate(function: _Function) -> _Function:
        code = function.__code__
        positional = code.co_varnames[code.co_posonlyargcount : code.co_argcount]
        named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        known = [name for each in options for name in option_names(each)]
        known += [name for name in (*positional, *named) if name != "self"]

        @functools.wraps(function)
        def checked(*arguments: Any, **given: Any) -> Any:
            check_options(what, given, known)
            return function(*arguments, **given)

        return cast(_Function, checked)

    return decorate
