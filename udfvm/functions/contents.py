"""What functions compiled code has, and what it imports. A micro-VM reads the code (LIST).

The layout of a reply is that of ``struct udfvm_listed`` of guest/include/udfvm_abi.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from udfvm.errors import BuildError, ProtocolError, SignatureError
from udfvm.functions.compiled_requests import (
    Loadable,
    ahead,
    ask_runtime,
    compiled_base,
    load_payload,
)
from udfvm.functions.options import parsed_options
from udfvm.limits import Limits
from udfvm.protocol import (
    LISTED_FUNCTION,
    LISTED_IMPORT,
    LISTED_UNTYPED,
    LISTED_UNUSABLE,
    REQUEST_LIST,
)

if TYPE_CHECKING:
    from udfvm.call.pool import Pool
    from udfvm.load.declaration import Language

_LISTED: Final = struct.Struct("<IIII")
_ELF: Final = b"\x7fELF"
_BINARY: Final = (_ELF, b"\0asm")
_MEMORY: Final = "256MiB"


class Export(NamedTuple):
    """A function in compiled code.

    Attributes:
        name: as ``from_wasm`` or ``from_elf`` takes it.
        kind: what it is, such as "function" or "WASI command"; why it cannot be a UDF if it cannot.
        signature: its types, as ``signature=`` takes them; None if the code does not say them.
        usable: whether it can be a UDF.
        needs: the imports of the code that nothing provides: functions for ``host_functions=``, or
            of modules for ``modules=``.

    >>> module = '(module (import "env" "now" (func)) (func (export "f") (param externref)))'
    >>> (found,) = udfvm.wasm.exports(module)
    >>> found.name, found.usable, found.needs
    ('f', False, ('env.now',))
    """

    name: str
    kind: str
    signature: str | None
    usable: bool
    needs: tuple[str, ...]


class Import(NamedTuple):
    """What a module or component imports.

    Attributes:
        name: its module or interface, and its own name.
        type: what it is in the module.
        provided_by: who provides it; None if nothing does.
    """

    name: str
    type: str
    provided_by: str | None


class Contents(NamedTuple):
    """What is in compiled code."""

    language: Language
    exports: tuple[Export, ...]
    imports: tuple[Import, ...]


def contents_of(code: bytes, label: str, *, memory: int | str = _MEMORY, pool: Pool) -> Contents:
    """Returns what is in a module, component, shared object or executable.

    ``label`` names the code in errors. Raises SignatureError for code that cannot be read, and
    BuildError for a program that ends before it serves.
    """
    from udfvm import vmm
    from udfvm.images.kept_replies import cached_reply

    language: Language = "native" if code.startswith(_ELF) else "wasm"
    limits = Limits(files=language == "native")
    limits = parsed_options(label, {"memory": memory}, limits)["limits"]

    def listed() -> bytes:
        # The runtime leaves out the bodies of functions of code in the binary format, which take
        # long to compile.
        loadable = (
            Loadable(code, b"")
            if code.startswith(_BINARY)
            else ahead(language, code, name=label, limits=limits, pool=pool)
        )
        request = load_payload(loadable.code, "", (), (), loadable.settings)
        return ask_runtime(REQUEST_LIST, language, request, label, limits, pool)

    def read(reply: bytes) -> Contents:
        return read_contents(label, language, reply)

    try:
        base = pool._base(compiled_base(language, limits), limits, label)
        return cached_reply(base, vmm.sha256(code), ".contents", listed, read)
    except (SignatureError, BuildError) as error:
        raise type(error)(f"{label}: {str(error).removeprefix(f'UDF {label!r}: ')}") from error


def read_contents(label: str, language: Language, reply: bytes) -> Contents:
    """Parses a reply to LIST. The guest wrote it, so all of it is checked. Raises ProtocolError."""
    try:
        entries = list(_entries(reply))
    except (struct.error, ValueError) as error:
        raise ProtocolError(
            f"the guest's list of functions is not valid: {error}", label
        ) from error
    imports = tuple(
        Import(name, type_, note or None)
        for kind, name, type_, note in entries
        if kind == LISTED_IMPORT
    )
    needs = tuple(each.name for each in imports if each.provided_by is None)
    exports = tuple(
        Export(
            name,
            note,
            type_ if kind == LISTED_FUNCTION else None,
            kind != LISTED_UNUSABLE,
            needs,
        )
        for kind, name, type_, note in entries
        if kind != LISTED_IMPORT
    )
    if language == "native":  # symbols come in the order of a hash table
        exports = tuple(sorted(exports, key=lambda each: each.name))
    return Contents(language, exports, imports)


def _entries(reply: bytes) -> Iterator[tuple[int, str, str, str]]:
    at = 0
    while at < len(reply):
        kind, *lengths = _LISTED.unpack_from(reply, at)
        at += _LISTED.size
        if kind not in (LISTED_FUNCTION, LISTED_UNTYPED, LISTED_UNUSABLE, LISTED_IMPORT):
            raise ValueError(f"kind {kind}")
        if sum(lengths) > len(reply) - at:
            raise ValueError(f"texts of {sum(lengths)} bytes")
        texts = []
        for length in lengths:
            texts.append(reply[at : at + length].decode(errors="replace"))
            at += length
        yield kind, texts[0], texts[1], texts[2]
