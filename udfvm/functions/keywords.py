"""Options that do not exist: named, with those that do, and with the one that was probably
meant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from udfvm.errors import SignatureError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def unknown_option(what: str, option: str, known: Iterable[str]) -> SignatureError:
    """The error for an option that does not exist.

    >>> str(unknown_option("udf()", "timeot", ["name", "timeout"]))
    'udf(): there is no option timeot=; there are name, timeout; did you mean timeout=?'
    """
    import difflib  # only where one was mistyped

    names = list(known)
    close = difflib.get_close_matches(option, names, 1)
    return SignatureError(
        f"{what}: there is no option {option}=; there are {', '.join(names)}"
        + (f"; did you mean {close[0]}=?" if close else "")
    )


def checks_options(function: _Function) -> _Function:
    """Makes a function refuse options that it has not with ``SignatureError``, which is a
    ``TypeError``.
    """
    code = function.__code__
    positional = code.co_varnames[code.co_posonlyargcount : code.co_argcount]
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    known = [name for name in (*positional, *named) if name != "self"]
    what = f"{function.__qualname__.removesuffix('.__init__')}()"

    @functools.wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        for option in options:
            if option not in known:
                raise unknown_option(what, option, known)
        return function(*arguments, **options)

    return cast(_Function, checked)
