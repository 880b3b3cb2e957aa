"""Functions that are named in a configuration: ``functions.py``, ``functions.py:score``,
``shop.functions`` or ``shop.functions:score``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from pathlib import Path

from udfvm.checks import shown
from udfvm.errors import Error, OptionError, SourceNotFoundError, UnknownUDFError
from udfvm.functions.failing_files import failure
from udfvm.functions.function import Function
from udfvm.texts import listed


def functions_named(caller: str, names: object, folder: Path) -> list[Function]:
    """Returns the functions that a list of names stands for, each once, in order.

    Args:
        caller: what the list is, for errors, such as "plugins: udfvm: functions".
        names: the list. Each is a Python file, relative to ``folder``, or an importable module:
            with ``:NAME`` for one function of it, otherwise all. They run on the host, with the
            rights of the program.
        folder: the folder of the configuration.

    Raises:
        OptionError: the list is not a list of texts.
        SourceNotFoundError: there is no such file.
        UnknownUDFError: there is no such module, or no such function in it; or the file or module
            raises something, which is the ``__cause__``.
    """
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise OptionError(f"{caller} takes a list, such as [functions.py]; got {shown(names)}")
    found: dict[str, Function] = {}
    for name in names:
        if not isinstance(name, str):
            raise OptionError(f"{caller} takes texts, such as functions.py; got {shown(name)}")
        place, _, chosen = name.partition(":")
        if place.endswith(".py"):
            path = (folder / place).resolve()
            if not path.is_file():
                raise SourceNotFoundError(f"{caller}: there is no file {path}")
            try:
                functions = _functions_of_file(path)
            except Error:
                raise
            except Exception as error:
                raise UnknownUDFError(f"{caller}: {failure([folder / place], error)}") from error
        else:
            functions = _functions_of_module(caller, place)
        if chosen and chosen not in functions:
            known = listed(sorted(functions), "and") if functions else "none"
            raise UnknownUDFError(f"{caller}: {place} has no UDF {chosen!r}; it has {known}")
        if not functions:
            raise UnknownUDFError(f"{caller}: {place} defines no UDFs")
        found |= {chosen: functions[chosen]} if chosen else functions
    return list(found.values())


@functools.cache
def _functions_of_file(path: Path) -> dict[str, Function]:
    from udfvm.sqlite.sealed import udfs_of

    return udfs_of(path)


def _unusable(caller: str, name: str, error: Exception) -> UnknownUDFError:
    reason = f"{type(error).__name__}: {error}"
    return UnknownUDFError(f"{caller}: the module {name} cannot be imported: {reason}")


def _functions_of_module(caller: str, name: str) -> dict[str, Function]:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _unusable(caller, name, error) from error  # it imports another
        raise UnknownUDFError(
            f"{caller}: there is no module {name!r}: name a file, such as functions.py, or install"
            " it"
        ) from None
    except Error:
        raise
    except Exception as error:
        raise _unusable(caller, name, error) from error
    return {each.name: each for each in vars(module).values() if isinstance(each, Function)}
