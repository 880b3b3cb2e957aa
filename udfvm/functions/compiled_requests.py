"""Requests about compiled code: describing it, compiling it ahead, and loading it.

The layouts are ``struct udfvm_load``, ``struct udfvm_slot`` and ``struct udfvm_description`` of
guest/include/udfvm_abi.h.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from udfvm.call.guest_exceptions import guest_exception
from udfvm.errors import OutputLimitError, ProtocolError, SignatureError
from udfvm.limits import WINDOW, Limits
from udfvm.protocol import (
    DESCRIPTION_AGGREGATE,
    DESCRIPTION_INVERSE,
    DESCRIPTION_MERGE,
    DESCRIPTION_TABLE,
    DESCRIPTION_WHOLE,
    REQUEST_COMPILE,
    REQUEST_DESCRIBE,
)
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Parameter, Type, named
from udfvm.types.signature_text import (
    MAX_PARAMETERS,
    STORAGE_NAMES,
    made_signature,
    storage_of,
)
from udfvm.types.signatures import Signature

if TYPE_CHECKING:
    from udfvm.call.pool import Pool
    from udfvm.images.spec import BaseSpec
    from udfvm.load.data_files import DataFiles
    from udfvm.load.declaration import Language
    from udfvm.vmm.data import Data

_COMPILED_ONCE: Final = 256 << 10  # bytes of code; less compiles quickly
# wasmtime compiles a module in 40 to 100 times the memory that the module has, as it is more data
# or more code. A micro-VM that has too little is followed by one with so many times as much.
_COMPILING: Final = 128
_MORE: Final = 4
_REFUSED: Final = "raise memory="  # ends what a runtime says where it had too little memory
# A setting of guest/runtimes/wasm/settings.c.
_COMPILED: Final = struct.pack("<BII", ord("c"), 0, 0)
_DIGEST: Final = 32  # bytes of a SHA-256
_LOAD: Final = struct.Struct("<QIIIIII")
_SLOT: Final = struct.Struct("<III116s")
_LABEL: Final = 116 - 1  # bytes of a name
# Bytes of the name of a type: MAX_TYPE_NAME of guest/runtimes/shared/compiled/type.h.
_MAX_TYPE_NAME: Final = 16 << 10
_DESCRIPTION: Final = struct.Struct("<II")
_PREFIXES: Final = {  # in place of the types of a runtime's errors
    "AttributeError": "",
    "ImportError": "",
    "TypeError": "",
    "CompileError": "the module is not valid: ",
    "LinkError": "linking failed: ",
}
_LINK_ADVICE: Final = (
    ": link the object with the library that defines it, as from_c does with flags=['-lm']"
)
_TRAP_ADVICE: Final = (
    ": build the object with -fsanitize-trap=undefined, or link the sanitizer's runtime into it"
)
#: What to do if a program of a language ends before its function is loaded.
ADVICE: Final = {
    "native": ": an executable becomes ready when its main() calls udfvm_serve() of udfvm.h"
}


def compiled_base(language: Language, limits: Limits) -> BaseSpec:
    """Returns the base image for functions of a language."""
    from udfvm.images.spec import BaseSpec

    return BaseSpec(memory=limits.memory, window=WINDOW, runtime=language)


class Description(NamedTuple):
    """What code says about a function in it.

    ``table``: the function yields rows of one column, whose type is the signature's result.
    ``whole``: it sees a batch as a whole. ``aggregate``: it takes groups of rows, and the
    signature's result is the value of a group; ``inverse``: it can take rows out of their group
    again; ``merge``: its groups can be merged.
    """

    signature: Signature
    table: bool
    whole: bool = False
    aggregate: bool = False
    inverse: bool = False
    merge: bool = False


def describe(
    language: Language,
    code: bytes,
    symbol: str,
    settings: bytes,
    *,
    name: str,
    limits: Limits,
    pool: Pool,
    declared: Signature | None = None,
    data: DataFiles | None = None,
) -> Description:
    """Asks a micro-VM to read what the code says about its function.

    ``declared`` chooses among functions of the same name. Raises SignatureError if there is no such
    function, and BuildError if the code is a program that ends before it serves.
    """
    from udfvm import vmm
    from udfvm.images.kept_replies import cached_reply

    base = pool._base(compiled_base(language, limits), limits, name)
    opened = data.opened(name) if data else None
    slots = (Parameter("result", *declared.result), *declared.parameters) if declared else ()

    def ask() -> bytes:
        loadable = ahead(language, code, name=name, limits=limits, pool=pool)
        request = load_payload(loadable.code, symbol, slots, (), settings + loadable.settings)
        return ask_runtime(REQUEST_DESCRIBE, language, request, name, limits, pool, opened)

    identity = (
        symbol.encode()
        + vmm.sha256(settings)
        + vmm.sha256(code)
        + (vmm.sha256(slot_bytes(slots)) if slots else b"")
        + (opened.identity if opened else b"")
    )
    return cached_reply(
        base, identity, ".description", ask, functools.partial(read_description, name)
    )


def ask_runtime(
    request: int,
    language: Language,
    payload: bytes,
    name: str,
    limits: Limits,
    pool: Pool,
    data: Data | None = None,
) -> bytes:
    """Returns the reply of a language's runtime. Raises SignatureError if it reports an error."""
    from udfvm.images.loading import load_call, load_limits

    base = pool._base(compiled_base(language, limits), limits, name)
    with pool._for_base(base, data).vm(base) as vm:
        reply = load_call(vm, request, payload, load_limits(limits), name, ADVICE.get(language, ""))
        status, replied = reply.status, bytes(reply.data)
    if status:
        error: Any = guest_exception(replied, name)
        raise SignatureError(_error_text(error)) from error
    return replied


def _error_text(error: Any) -> str:
    """Returns what a runtime says of code that it cannot use. The types of its errors, which are
    those of Python's imports, say nothing to somebody who declares a function.
    """
    text, type_ = str(error), getattr(error, "guest_type", "")
    if type_ in _PREFIXES:
        text = text.replace(f": {type_}: ", f": {_PREFIXES[type_]}", 1)
    if "undefined symbol: __ubsan_" in text:
        return text + _TRAP_ADVICE
    return text + _LINK_ADVICE if "undefined symbol: " in text else text


class Loadable(NamedTuple):
    """Code as a runtime loads it, and the settings that tell the runtime its form."""

    code: bytes
    settings: bytes


def ahead(language: Language, code: bytes, *, name: str, limits: Limits, pool: Pool) -> Loadable:
    """Returns code in the form that loads fastest. Large WebAssembly is compiled once, in a
    micro-VM with the memory for it, for all functions in it.

    The compiled code is as opaque to the host as the code was, and runs only where the code would.
    Raises SignatureError for code that does not compile.
    """
    from udfvm import vmm
    from udfvm.images.kept_replies import cached_reply

    if language != "wasm" or len(code) < _COMPILED_ONCE:
        return Loadable(code, b"")
    limits = limits._replace(memory=max(limits.memory, _memory_to_compile(len(code))))
    more = limits._replace(memory=_MORE * limits.memory)
    request = load_payload(code, "", (), ())

    def ask() -> bytes:
        try:
            compiled = ask_runtime(REQUEST_COMPILE, language, request, name, limits, pool)
        except SignatureError as error:
            if _REFUSED not in str(error):
                raise
            compiled = ask_runtime(REQUEST_COMPILE, language, request, name, more, pool)
        return vmm.sha256(compiled) + compiled

    try:
        compiled = cached_reply(
            pool._base(compiled_base(language, limits), limits, name),
            vmm.sha256(code),
            ".compiled",
            ask,
            _undamaged,
        )
    except OutputLimitError:
        return Loadable(code, b"")  # compiled, it would not fit into the output window
    return Loadable(compiled, _COMPILED)


def _memory_to_compile(length: int) -> int:
    """Returns the memory of a micro-VM that compiles a module of so many bytes: a power of 2, so
    that few base images serve all modules.

    >>> _memory_to_compile(1 << 20) >> 20, _memory_to_compile(18 << 20) >> 20
    (128, 4096)
    """
    return 1 << (_COMPILING * length - 1).bit_length()


def _undamaged(kept: bytes) -> bytes:
    """Returns cached data without their digest. Raises ProtocolError if they are damaged."""
    from udfvm import vmm

    digest, compiled = kept[:_DIGEST], kept[_DIGEST:]
    if vmm.sha256(compiled) != digest:
        raise ProtocolError("the compiled code in the cache is damaged")
    return compiled


_FLAGS: Final = (
    0,
    DESCRIPTION_TABLE,
    DESCRIPTION_WHOLE,
    *(
        DESCRIPTION_AGGREGATE | inverse | merge
        for inverse in (0, DESCRIPTION_INVERSE)
        for merge in (0, DESCRIPTION_MERGE)
    ),
)


def read_description(name: str, reply: bytes) -> Description:
    """Parses a ``struct udfvm_description``. The guest wrote it, so all of it is checked.

    Raises ProtocolError.
    """
    try:
        count, flags = _DESCRIPTION.unpack_from(reply)
        names = _DESCRIPTION.size + (count + 1) * _SLOT.size
        if flags not in _FLAGS or count > MAX_PARAMETERS or len(reply) < names:
            raise ValueError(f"{count} parameters in {len(reply)} bytes")
        slots = []
        for index in range(count + 1):
            storage, nullable, length, label = _SLOT.unpack_from(
                reply, _DESCRIPTION.size + index * _SLOT.size
            )
            type_ = _described_type(name, storage, reply[names : names + length], length)
            slots.append((label.partition(b"\0")[0].decode("ascii"), type_, bool(nullable)))
            names += length
        if len(reply) != names:
            raise ValueError(f"{len(reply) - names} bytes too many")
        return Description(
            made_signature(name, slots[1:], *slots[0][1:]),
            table=flags == DESCRIPTION_TABLE,
            whole=flags == DESCRIPTION_WHOLE,
            aggregate=bool(flags & DESCRIPTION_AGGREGATE),
            inverse=bool(flags & DESCRIPTION_INVERSE),
            merge=bool(flags & DESCRIPTION_MERGE),
        )
    except (struct.error, ValueError, KeyError, SignatureError) as error:
        raise ProtocolError(
            f"the guest's description of the function is not valid: {error}", name
        ) from error


def _described_type(name: str, storage: int, text: bytes, length: int) -> Type:
    if not length:
        return named(STORAGE_NAMES[storage])
    if length > _MAX_TYPE_NAME or len(text) != length:
        raise ValueError(f"a name of {length} bytes for a type")
    type_ = named(text.decode())
    if storage_of(name, type_) != storage:
        raise ValueError(f"{type_}, which is not stored as type {storage} is")
    return type_


def slot_bytes(slots: Sequence[Parameter]) -> bytes:
    """Returns the slots, followed by the names of those types that are structs or lists."""
    heads, names = [], []
    for each in slots:
        name = each.type.name.encode() if each.type.is_nested else b""
        heads.append(
            _SLOT.pack(
                storage_of(each.name, each.type),
                each.nullable,
                len(name),
                each.name.encode()[:_LABEL],
            )
        )
        names.append(name)
    return b"".join((*heads, *names))


def load_payload(
    code: bytes,
    symbol: str,
    slots: Sequence[Parameter],
    messages: tuple[bytes, ...],
    settings: bytes = b"",
) -> bytes:
    """Returns the payload of LOAD, DESCRIBE and COMPILE: ``struct udfvm_load`` and its parts."""
    text = symbol.encode()
    lengths = [len(message) for message in messages] or [0, 0, 0]
    head = _LOAD.pack(len(code), len(slots), len(text), *lengths, len(settings))
    return b"".join((head, slot_bytes(slots), text, *messages, settings, code))
