"""User modules that functions import in their bodies. They are found without importing them, and
shipped to the guest as source.
"""

from __future__ import annotations

import dis
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from itertools import chain
from pathlib import Path

from udfvm.tuples import NamedTuple


class UserModule(NamedTuple):
    """A module as source. A package without ``__init__.py`` has no text."""

    name: str
    filename: str
    is_package: bool
    text: str


def imported_names(code: types.CodeType, package: str = "") -> Iterator[str]:
    """Yields absolute names of modules that the code imports.

    ``from a import b`` gives ``a`` and ``a.b``, which may not be a module. Relative imports count
    if ``package`` names the package that they are relative to.

    >>> code = compile("import a.b; from c import d; from . import e", "", "exec")
    >>> list(imported_names(code, "p"))
    ['a.b', 'c', 'c.d', 'p', 'p.e']
    """
    earlier: list[object] = [None, None]
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            level = earlier[0] if isinstance(earlier[0], int) else 0
            base = _absolute(str(instruction.argval), level, package)
            if base:
                yield base
                names = earlier[1] if isinstance(earlier[1], tuple) else ()
                yield from (f"{base}.{name}" for name in names if name != "*")
        if not instruction.opname.startswith(("CACHE", "EXTENDED_ARG")):
            earlier = [earlier[1], instruction.argval]


def _absolute(name: str, level: int, package: str) -> str:
    """Returns the absolute name; empty if a relative name has no package."""
    if level == 0:
        return name
    parents = package.split(".") if package else []
    if level > len(parents):
        return ""
    return ".".join(filter(None, (*parents[: len(parents) - level + 1], name)))


def all_imported_names(code: types.CodeType, package: str = "") -> Iterator[str]:
    """Does what ``imported_names`` does, for functions and classes in the code, too."""
    yield from imported_names(code, package)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from all_imported_names(constant, package)


def mentioned_names(code: types.CodeType, package: str = "") -> Iterator[str]:
    """Yields texts in code that may name modules. Those that begin with dots are relative to
    ``package``.
    """
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from mentioned_names(constant, package)
        elif isinstance(constant, str) and all(
            part.isidentifier() for part in constant.lstrip(".").split(".")
        ):
            name = constant.lstrip(".")
            yield from filter(None, [_absolute(name, len(constant) - len(name), package)])


def imports_by_name(code: types.CodeType) -> bool:
    """Returns True if code imports modules whose names are texts."""
    nested: Iterable[object] = code.co_consts
    return not _BY_NAME.isdisjoint(code.co_names) or any(
        isinstance(each, types.CodeType) and imports_by_name(each) for each in nested
    )


_BY_NAME = frozenset({"import_module", "__import__"})


def user_modules(
    names: Iterable[str], is_library: Callable[[str], bool]
) -> tuple[dict[str, UserModule], set[str]]:
    """Returns the user modules among ``names`` and those that they import in turn, by name; and
    every name that was seen.

    ``is_library`` returns True for files of the standard library and of installed packages.
    Extension modules cannot be shipped and are left out. So is a module without source, or whose
    source does not compile: importing it in the guest fails as it would here.
    """
    found: dict[str, UserModule] = {}
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path: Sequence[str] | None = None
        for prefix in _prefixes(name):
            specification = _find(prefix, path)
            if specification is None:
                break
            path = _folders(specification, path)
            if prefix not in seen:
                seen.add(prefix)
                if module := _user_module(specification, path, is_library):
                    found[prefix] = module
                    waiting.extend(_imports_of(module))
            if path is None:
                break
        seen.add(name)
    return found, seen


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[: count + 1]) for count in range(len(parts)))


def _find(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Finds a module as an import would, without importing its parents."""
    for finder in sys.meta_path:
        try:
            specification = finder.find_spec(name, path)
        except KeyError:  # a package without __init__.py needs its parent, which is not imported
            return ModuleSpec(name, None, is_package=True)
        except (ImportError, AttributeError, ValueError):
            continue
        if specification is not None:
            return specification
    return None


def _folders(specification: ModuleSpec, path: Sequence[str] | None) -> list[str] | None:
    """Returns the folders of a package's submodules; None for other modules."""
    locations = specification.submodule_search_locations
    if locations is None:
        return None
    if specification.origin is not None:
        return list(locations)
    # Without __init__.py. Its locations are not available while its parent is not imported.
    name = specification.name.rpartition(".")[2]
    return [
        str(folder)
        for folder in (Path(parent) / name for parent in (sys.path if path is None else path))
        if folder.is_dir()
    ]


def _user_module(
    specification: ModuleSpec, folders: list[str] | None, is_library: Callable[[str], bool]
) -> UserModule | None:
    if specification.origin is None and folders is not None:
        return (
            UserModule(specification.name, "", True, "")
            if folders and not any(map(is_library, folders))
            else None
        )
    origin = specification.origin
    if (
        not specification.has_location
        or origin is None
        or not origin.endswith(".py")
        or is_library(origin)
    ):
        return None
    try:
        text: str | None = importlib.util.decode_source(Path(origin).read_bytes())
    except NotADirectoryError:  # in a zip file
        text = _source_of(specification)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    if text is None:
        return None
    return UserModule(specification.name, origin, folders is not None, text)


def _source_of(specification: ModuleSpec) -> str | None:
    get_source = getattr(specification.loader, "get_source", None)
    try:
        text: str | None = get_source(specification.name) if get_source else None
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        return None
    return text


def _imports_of(module: UserModule) -> Iterator[str]:
    try:
        code = compile(module.text, module.filename or module.name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return iter(())
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    names = all_imported_names(code, package)
    return chain(names, mentioned_names(code, package)) if imports_by_name(code) else names
