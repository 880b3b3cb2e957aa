"""User files: files beside user code, for functions that open them by ``__file__``. The guest has
them under the same names.

They are the data files of packages and, beside other modules, the files and folders that their code
names.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from udfvm.errors import SignatureError
from udfvm.load.user_data import MAX_DATA, archive_of, files_of
from udfvm.load.user_modules import UserModule


@dataclass
class FileNotes:
    """Notes on the files that user code opens, taken while a function is pickled."""

    folders: set[str] = field(default_factory=set)  # of modules whose code is shipped
    # Of these, the folders of modules whose code names __file__.
    wanted: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)  # absolute paths that globals hold
    texts: set[str] = field(default_factory=set)  # constants of the code

    def note_function(self, function: types.FunctionType) -> None:
        """Notes a user function that is pickled by value."""
        filename = function.__globals__.get("__file__")
        if not isinstance(filename, str):
            return
        names = set(_names(function.__code__))
        folder = os.path.dirname(os.path.abspath(filename))
        self.folders.add(folder)
        if "__file__" in names:
            self.wanted.add(folder)
        self.texts.update(_texts(function.__code__))
        for name in names:
            value: object = function.__globals__.get(name)
            if isinstance(value, (str, PurePath)) and os.path.isabs(value):
                self.paths.add(os.path.normpath(value))

    def note_source(self, module: UserModule) -> None:
        """Notes a module that is shipped as source."""
        if "__file__" not in module.text or not module.filename:
            return
        folder = os.path.dirname(module.filename)
        self.folders.add(folder)
        self.wanted.add(folder)
        self.texts.update(_texts(compile(module.text, module.filename, "exec", dont_inherit=True)))


def user_files(name: str, notes: FileNotes) -> bytes:
    """Returns the files as a zip archive, by their absolute names; empty if there are none.

    Raises SignatureError if they are too large.
    """
    found: dict[str, Path] = {}
    for folder in notes.wanted:
        found.update(_of_folder(Path(folder), notes.texts))
    for path in notes.paths:
        folders = [
            folder for folder in notes.folders if path == folder or path.startswith(folder + os.sep)
        ]
        if folders and os.path.isdir(path) and path in folders:
            found.update(_of_folder(Path(path), notes.texts))
        elif folders:
            found.update(_files_at(Path(path)))

    def contents() -> Iterator[tuple[str, bytes]]:
        size = 0
        for each in sorted(found):
            size += found[each].stat().st_size
            if size > MAX_DATA:
                raise SignatureError(
                    f"UDF {name!r}: files beside its code are larger than {MAX_DATA >> 20} MiB, too"
                    f" large to travel to a micro-VM ({each!r} is one): pass large files by data=,"
                    " such as data={'model': 'model.bin'}"
                )
            yield each, found[each].read_bytes()

    return archive_of(contents())


def _of_folder(folder: Path, texts: Iterable[str]) -> Mapping[str, Path]:
    if (folder / "__init__.py").exists():
        return {str(folder / path): folder / path for path in files_of(folder)}
    found: dict[str, Path] = {}
    for text in texts:
        found.update(_files_at(folder / text))
    return found


def _files_at(path: Path) -> Mapping[str, Path]:
    """Returns a file, or the data files in a folder."""
    if path.is_dir():
        return {str(path / each): path / each for each in files_of(path)}
    return {str(path): path} if path.is_file() else {}


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


_MAX_NAME = 255


def _texts(code: types.CodeType) -> Iterator[str]:
    """Yields constants that may name files below a folder."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _texts(constant)
        elif (
            isinstance(constant, str) and 0 < len(constant) <= _MAX_NAME and constant.isprintable()
        ):
            parts = constant.split("/")
            if not {"", ".", ".."} & set(parts):
                yield constant
