"""What ``from_wasm`` sends besides the module: arguments, environment, files, and what the module
may import.

The layout is ``struct setting`` of guest/runtimes/wasm/settings.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from udfvm.checks import check_choice, check_switch, shown
from udfvm.errors import OptionError, SignatureError
from udfvm.functions.environment import environment
from udfvm.load.compiled_code import read_code, unreadable

if TYPE_CHECKING:
    from udfvm.call.host_functions import HostFunctions

_SETTING: Final = struct.Struct("<BII")


def module_code(function: str | None, module: bytes | str | os.PathLike[str]) -> bytes:
    """Returns the code of a module: its bytes, its text, or those of the file at a path."""
    if isinstance(module, bytes | bytearray | memoryview):
        return bytes(module)
    if isinstance(module, str) and (not module.strip() or module.lstrip().startswith(("(", ";;"))):
        return module.strip().encode()
    return read_code(function, module)


def link_settings(
    function: str, imports: str, modules: Mapping[str, bytes | str | os.PathLike[str]]
) -> Iterator[bytes]:
    """Yields settings for the imports of a module. Raises OptionError."""
    check_choice(f"UDF {function!r}: imports", imports, ("refuse", "trap"))
    if imports == "trap":
        yield setting(function, "t", "", b"")
    if not isinstance(modules, Mapping):
        raise OptionError(
            f"UDF {function!r}: modules= must be a mapping of modules by the names that they are"
            f" imported under, such as {{'env': 'helpers.wasm'}}; got {shown(modules)}"
        )
    for name, module in modules.items():
        if not isinstance(module, (bytes, bytearray, memoryview, str, os.PathLike)):
            raise OptionError(
                f"UDF {function!r}: modules= has {shown(module)}, which is no module: give bytes,"
                " text or a path"
            )
        code = module_code(function, module)
        yield setting(function, "m", _text(function, "modules", name), code)


def host_settings(function: str, offered: HostFunctions | None) -> bytes:
    """Returns settings for the host functions that a module may call."""
    return b"".join(
        setting(function, "h", name, slots) for name, slots in (offered.slots() if offered else ())
    )


def wasi_settings(
    function: str,
    args: Sequence[str],
    env: Mapping[str, str],
    root: Mapping[str, bytes | str] | str | os.PathLike[str],
    writable: object,
) -> Iterator[bytes]:
    """Yields settings for WASI: arguments, environment and files. Raises OptionError."""
    if isinstance(args, str) or not isinstance(args, Sequence):
        such = args.split() if isinstance(args, str) else [function, "-v"]
        raise OptionError(
            f"UDF {function!r}: args= must be a list of texts, such as {such}; got {shown(args)}"
        )
    for argument in args or [function]:
        yield setting(function, "a", _text(function, "args", argument), b"")
    for variable, value in environment(function, env):
        yield setting(function, "e", variable, value)
    if check_switch(f"UDF {function!r}: writable", writable):
        yield setting(function, "w", "", b"")
    for path, content in _files_in(function, root):
        parts = PurePosixPath(path.lstrip("/")).parts
        if not parts or ".." in parts:
            raise OptionError(
                f"UDF {function!r}: root= has {path!r}, which is not the path of a file below /"
            )
        yield setting(function, "f", "/".join(parts), content)


def setting(function: str, tag: str, first: str, second: str | bytes) -> bytes:
    """Returns a setting of two parts. Raises SignatureError for a NUL in a text."""
    texts = (first.encode(), second.encode() if isinstance(second, str) else bytes(second))
    if b"\0" in texts[0]:
        raise SignatureError(f"UDF {function!r}: {first!r} has a NUL character")
    return _SETTING.pack(ord(tag), *map(len, texts)) + texts[0] + texts[1]


def _text(function: str, option: str, given: object) -> str:
    if not isinstance(given, str):
        raise OptionError(f"UDF {function!r}: {option}= has {shown(given)}, which is no text")
    return given


def _files_in(function: str, root: object) -> Iterable[tuple[str, bytes | str]]:
    """Returns paths and contents of the files of ``root``. Raises OptionError."""
    if isinstance(root, Mapping):
        for path, content in root.items():
            if not isinstance(path, str) or not isinstance(content, (bytes, bytearray, str)):
                raise OptionError(
                    f"UDF {function!r}: root= has {shown(path)}: {shown(content)}; files are bytes"
                    " by path"
                )
        return root.items()
    if not isinstance(root, (str, os.PathLike)):
        raise OptionError(
            f"UDF {function!r}: root= must be a folder, or a mapping of bytes by path; got"
            f" {shown(root)}"
        )
    try:
        return list(_files_of(Path(root)))
    except OSError as error:
        raise unreadable(function, root, error) from error


def _files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the regular files below a folder. It skips symbolic links: they may lead elsewhere."""
    for root, _, names in os.walk(folder, onerror=_raise):
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path.read_bytes()


def _raise(error: OSError) -> None:
    raise error
