"""Files of Python as text: what they declare, as a micro-VM reads it. Nothing of a file is
evaluated, imported or parsed on the host.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from udfvm.errors import ProtocolError, SourceError, SourceNotFoundError
from udfvm.functions.source import MAX_REPLY, ask
from udfvm.load.declaration import Form

if TYPE_CHECKING:
    from udfvm.call.pool import Pool
    from udfvm.limits import Limits

_MAX_BYTES: Final = 16 << 20
_MAX_FUNCTIONS: Final = 10_000
_MAX_TEXT: Final = 1000  # characters of the name of a type
_FORMS: Final = ("scalar", "table", "aggregate")
_CONTAINERS: Final = ("", "arrow", "numpy", "pandas", "polars")


class WrittenType(NamedTuple):
    """A type that the text says: its name, empty if it says none, whether it allows None, and what
    a vectorised function has for its columns.
    """

    type: str
    nullable: bool
    container: str


class WrittenParameter(NamedTuple):
    """A parameter. ``default`` is a list of its default; empty if it has none, or if the text does
    not tell it. ``optional``: it has one.
    """

    name: str
    written: WrittenType
    default: Sequence[object]
    optional: bool


class Declaration(NamedTuple):
    """A function that a file declares.

    Attributes:
        declared: True if a decorator of udfvm declares it.
        options: those of the decorator that are literals, as JSON has them.
        columns: name and type of each, of a table function.
        refused: why it cannot be a function from text; empty if it can.
    """

    name: str
    form: Form
    declared: bool
    options: dict[str, Any]
    parameters: tuple[WrittenParameter, ...]
    result: WrittenType
    columns: tuple[tuple[str, str], ...]
    has_inverse: bool
    refused: str


class SourceFile(NamedTuple):
    """A file of Python: its path, its text, what it declares, and packages that it imports."""

    path: Path
    text: str
    functions: tuple[Declaration, ...]
    imports: tuple[str, ...]


def read_file(path: Path, limits: Limits, pool: Pool) -> SourceFile:
    """Reads a file, and asks a micro-VM what it declares. The text is UTF-8, whatever a comment in
    it says of its encoding.

    Raises SourceError if it cannot be read, and UDFError, of the type ``SyntaxError``, where it is
    no Python.
    """
    text = _text_of(path)
    request = {"form": "file", "name": path.name, "source": text}
    functions, imports = read_declarations(path.name, ask(request, path.name, limits, pool))
    return SourceFile(path, text, functions, imports)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        cls = SourceNotFoundError if isinstance(error, FileNotFoundError) else SourceError
        made = cls(f"{path} cannot be read: {error.strerror}")
        made.errno, made.filename = error.errno, path
        raise made from error
    if len(data) > _MAX_BYTES:
        raise SourceError(f"{path} is larger than {_MAX_BYTES >> 20} MiB, and so no file of Python")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8, which files of Python are here whatever their encoding comment"
            " says: save it as UTF-8"
        ) from error


def read_declarations(label: str, reply: bytes) -> tuple[tuple[Declaration, ...], tuple[str, ...]]:
    """Parses the reply about a file: its functions, and its imports. The guest wrote it, so all of
    it is checked. Raises ProtocolError.

    >>> read_declarations("a.py", b'{"functions": [], "imports": ["numpy"]}')
    ((), ('numpy',))
    """
    try:
        if len(reply) > MAX_REPLY:
            raise ValueError("it is too long")
        found = json.loads(reply)
        functions = tuple(map(_declaration, _list(found["functions"], _MAX_FUNCTIONS)))
        return functions, tuple(map(_name, _list(found["imports"], _MAX_FUNCTIONS)))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProtocolError(
            f"{label}: the guest's description of the file is not valid: {error}"[:_MAX_TEXT]
        ) from error


def _declaration(found: Any) -> Declaration:
    options, form = found["options"], found["form"]
    if not isinstance(options, dict) or form not in _FORMS:
        raise ValueError("options or form")
    parameters = tuple(map(_parameter, _list(found["parameters"], _MAX_FUNCTIONS)))
    names = [each.name for each in parameters]
    if len(set(names)) != len(names):
        raise ValueError("two parameters of one name")
    return Declaration(
        _name(found["name"]),
        form,
        found["declared"] is True,
        options,
        parameters,
        _type(found["result"]),
        tuple((_text(name), _text(type_)) for name, type_ in _list(found["columns"])),
        found.get("has_inverse") is True,
        _text(found["refused"]),
    )


def _parameter(found: Any) -> WrittenParameter:
    name, type_, nullable, container, *default = _list(found, 6)
    if any(not isinstance(each, (bool, int, float, str, type(None))) for each in default):
        raise ValueError("a default")
    written = _type([type_, nullable, container])
    return WrittenParameter(
        _name(name), written, default if len(default) == 1 else (), bool(default)
    )


def _type(found: Any) -> WrittenType:
    type_, nullable, container = (*_list(found, 3), "")[:3]
    if container not in _CONTAINERS:
        raise ValueError("a container")
    return WrittenType(_text(type_), nullable is True, container)


def _list(found: Any, longest: int = 1000) -> list[Any]:
    if not isinstance(found, list) or len(found) > longest:
        raise ValueError("a list")
    return found


def _text(found: Any) -> str:
    if not isinstance(found, str) or len(found) > _MAX_TEXT:
        raise ValueError("a text")
    return found


def _name(found: Any) -> str:
    if not _text(found).isidentifier() or keyword.iskeyword(found):
        raise ValueError("a name")
    return str(found)
