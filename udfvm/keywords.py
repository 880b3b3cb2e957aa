"""Errors for unknown options: they name the known ones, and the one that was probably meant."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

from udfvm.errors import OptionError, drop_frames
from udfvm.static_typing import Any, Final, TypeVar, cast
from udfvm.texts import listed

_Function = TypeVar("_Function", bound=Callable[..., Any])
_NOTHING: Final[Mapping[str, str]] = {}
_MAX_NAMES: Final = 20  # of columns, in an error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that was probably meant; None if no name is near.

    >>> nearest("distence", ["distance", "hours"]), nearest("x", ["distance"])
    ('distance', None)
    """
    import difflib  # only where one was mistyped

    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


def no_column(what: str, name: object, known: Iterable[object]) -> str:
    """Returns what an error says of a column that a frame, dataset or source does not have.

    >>> no_column("the frame", "distence", ["distance", "hours"])
    "the frame has no column 'distence': did you mean 'distance'? It has 'distance', 'hours'"
    """
    names = list(known)
    close = nearest(str(name), [each for each in names if isinstance(each, str)])
    has = f"t has {names_shown(names)}"
    return f"{what} has no column {name!r}: " + (
        f"did you mean {close!r}? I{has}" if close else f"i{has}"
    )


def names_shown(names: Sequence[object]) -> str:
    """Returns the first of some names of columns, as errors list them.

    >>> names_shown(["a", "b"]), names_shown([])
    ("'a', 'b'", 'none')
    """
    listed_names = ", ".join(repr(name) for name in names[:_MAX_NAMES])
    return f"{listed_names}, ..." if len(names) > _MAX_NAMES else listed_names or "none"


def unknown_option(
    what: str, option: str, known: Iterable[str], elsewhere: Mapping[str, str] = _NOTHING
) -> OptionError:
    """Returns the error for an unknown option. ``elsewhere`` says of options that are known
    elsewhere what they are for.

    >>> str(unknown_option("udfvm.udf", "timeot", ["name", "timeout"]))
    'udfvm.udf: unknown option timeot=: did you mean timeout=? The options are name and timeout'
    """
    names = list(known)
    known_ones = f"he options are {listed(names, 'and')}" if names else "here are no options"
    close = None if option in elsewhere else nearest(option, names)
    if option in elsewhere:
        advice = f"{elsewhere[option]}. T{known_ones}"
    else:
        advice = f"did you mean {close}=? T{known_ones}" if close else f"t{known_ones}"
    return OptionError(f"{what}: unknown option {option}=: {advice}")


def check_options(
    what: str,
    options: Iterable[str],
    known: Iterable[str],
    elsewhere: Mapping[str, str] = _NOTHING,
) -> None:
    """Raises ``OptionError``, which is a ``TypeError``, for an unknown option."""
    names = list(known)
    for option in options:
        if option not in names:
            raise unknown_option(what, option, names, elsewhere)


def option_names(options: type) -> list[str]:
    """Returns the options of a ``TypedDict``, inherited ones included."""
    return list(options.__annotations__)


def checks_options(
    what: str, *options: type, elsewhere: Mapping[str, str] = _NOTHING
) -> Callable[[_Function], _Function]:
    """Makes a function that users call raise ``OptionError`` for unknown options, and all errors
    without the frames of udfvm.

    ``what`` is its name for users. ``options`` is the ``TypedDict`` of ``**options: Unpack[...]``,
    if the function has that. ``elsewhere`` is as for ``unknown_option``.
    """

    def decorate(function: _Function) -> _Function:
        known = [name for each in options for name in option_names(each)]
        known += _keywords_of(function)

        @functools.wraps(function)
        def checked(*arguments: Any, **given: Any) -> Any:
            try:
                check_options(what, given, known, elsewhere)
                return function(*arguments, **given)
            except Exception as error:
                drop_frames(error)
                raise

        return shows_options(*options)(cast(_Function, checked))

    return decorate


def shows_options(*options: type) -> Callable[[_Function], _Function]:
    """Makes each option of a function's ``**options: Unpack[...]`` a parameter of the signature
    that ``help()`` shows and that notebooks complete. The function is a wrapper of another.
    """

    def decorate(function: _Function) -> _Function:
        if options:
            shown = _ShownFunction(function.__wrapped__, options)  # type: ignore[attr-defined]
            function.__wrapped__ = shown  # type: ignore[attr-defined]
        return function

    return decorate


class _ShownFunction:
    """What ``inspect.signature`` finds in the place of a function that has ``**options``."""

    def __init__(self, function: Callable[..., Any], options: Sequence[type]) -> None:
        self.__wrapped__ = function
        self._options = options

    @property
    def __signature__(self) -> Any:
        import inspect  # which takes longer than a call

        own = inspect.signature(self.__wrapped__)
        named = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        more = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=annotation
            )
            for each in self._options
            for name, annotation in each.__annotations__.items()
        ]
        return own.replace(parameters=[*named, *more])


def checks_keywords(method: _Function) -> _Function:
    """Makes a method of a UDF, which has a ``name``, raise ``OptionError`` for unknown
    keywords, and all errors without the frames of udfvm.
    """
    known = _keywords_of(method)

    @functools.wraps(method)
    def checked(self: Any, *arguments: Any, **given: Any) -> Any:
        try:
            check_options(f"UDF {self.name!r}: {method.__name__}()", given, known)
            return method(self, *arguments, **given)
        except Exception as error:
            drop_frames(error)
            raise

    return cast(_Function, checked)


def _keywords_of(function: Callable[..., Any]) -> list[str]:
    """Returns the parameters that can be passed by name."""
    code = function.__code__
    positional = code.co_varnames[code.co_posonlyargcount : code.co_argcount]
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return [name for name in (*positional, *named) if name != "self"]
