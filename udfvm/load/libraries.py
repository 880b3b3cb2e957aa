"""Distinguishes user code, which is shipped to the guest by value, from library code, which the
guest imports. The location of the file decides.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable, Sequence
from functools import cache

from udfvm.checks import shown
from udfvm.errors import OptionError
from udfvm.installation import PACKAGE
from udfvm.static_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


@cache
def _roots() -> tuple[str, ...]:
    """Returns the folders of the standard library, of installed packages and of this package, each
    with a separator at its end.
    """
    from udfvm.images.host import package_directories, standard_directories

    folders = {
        os.path.realpath(folder)
        for folder in (*standard_directories(), *package_directories(), str(PACKAGE))
    }
    return tuple(folder + os.sep for folder in folders)


@cache
def _is_in_library(folder: str) -> bool:
    return (os.path.realpath(folder) + os.sep).startswith(_roots())


@cache
def _is_of_library(path: str) -> bool:
    """Whether an absolute path is that of a library's file. Kept by the path: each image that is
    built asks this of all modules that the program has imported.
    """
    return _is_in_library(os.path.dirname(os.path.normpath(path)))


def is_library(filename: str) -> bool:
    """Returns True if a file belongs to the standard library or an installed package.

    >>> is_library(os.__file__), is_library("/srv/functions/mine.py")
    (True, False)
    """
    return _is_of_library(filename if filename.startswith("/") else os.path.abspath(filename))


def is_installed(module: str) -> bool:
    """Returns True if the top-level module or package of a dotted name exists. It imports nothing.

    >>> is_installed("urllib.parse"), is_installed("no_such_package")
    (True, False)
    """
    top = module.partition(".")[0]
    return top in sys.modules or top in sys.builtin_module_names or _specification(top) is not None


def _specification(top: str) -> ModuleSpec | None:
    """Returns where the import system finds a top-level module or package; None if it does not."""
    import importlib.util

    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def checked_packages(packages: object) -> tuple[str, ...]:
    """Returns the names in ``packages=``, sorted. Raises OptionError unless it is a collection of
    names of installed modules.
    """
    if isinstance(packages, str) or not isinstance(packages, Iterable):
        name = packages if isinstance(packages, str) else getattr(packages, "__name__", "pandas")
        raise OptionError(
            f"packages= must be a list of names of modules, such as [{name!r}]; got"
            f" {shown(packages)}"
        )
    names = list(packages)
    for name in names:
        if isinstance(name, types.ModuleType):
            raise OptionError(
                f"packages= has the module {name.__name__!r}: pass its name, {name.__name__!r}"
            )
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise OptionError(f"packages= has {shown(name)}, which is not the name of a module")
        if not is_installed(name):
            raise OptionError(
                f"packages= has {name!r}, which is not installed: pip install it, or leave it out"
            )
    return tuple(sorted(set(names)))


def is_user_module(module: types.ModuleType) -> bool:
    """Returns True for a user module: it has a file outside of libraries, or is a package without
    ``__init__.py``.
    """
    filename = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "")  # programs put objects among the modules, too
    if name in ("__main__", "udfvm") or name.startswith("udfvm."):
        return False
    if filename is None and (folders := getattr(module, "__path__", None)):
        return isinstance(module, types.ModuleType) and not any(
            _is_in_library(folder) for folder in folders
        )
    if not isinstance(filename, str):
        return False
    return not is_library(filename)


def packages_of(modules: Iterable[str], explicit: Sequence[str], *, arrow: bool) -> tuple[str, ...]:
    """Returns the modules that a base image imports.

    They are those asked for, third-party packages among ``modules``, which the function refers to,
    and, for functions over Arrow arrays, pyarrow and numpy, if it is installed.
    """
    packages = set(explicit)
    if arrow:
        packages.update(("pyarrow", *filter(_specification, ("numpy",))))
    packages.update(
        top for top in {module.partition(".")[0] for module in modules} if is_third_party(top)
    )
    return tuple(sorted(packages))


def is_third_party(top: str) -> bool:
    """Returns True for an installed top-level module or package outside of the standard library."""
    if top in sys.stdlib_module_names or top in ("__main__", "udfvm", "cloudpickle"):
        return False
    specification = _specification(top)
    if specification is None:
        return False
    locations = [
        *(specification.submodule_search_locations or ()),
        *([specification.origin] if specification.has_location else []),
    ]
    return any(is_library(location) for location in locations if location)
