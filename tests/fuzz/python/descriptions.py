"""What a runtime says of compiled code, and signatures as users write them."""

import struct

from fuzz_inputs import Input

from udfvm.errors import ProtocolError, SignatureError
from udfvm.functions.compiled_requests import read_description
from udfvm.functions.contents import read_contents
from udfvm.protocol import STORAGE_COUNT
from udfvm.types.signature_text import parse_signature


def slots(given: Input) -> bytes:
    """A description with a right frame: its slots, then the names of their types."""
    count = given.byte() % 4
    heads, names = [], []
    for _ in range(count + 1):
        storage, nullable = given.byte() % (STORAGE_COUNT + 1), given.byte() & 1
        name, type_ = given.bytes(given.byte()), given.bytes(given.byte())
        if storage == STORAGE_COUNT - 1 and given.byte() & 1:
            depth = given.byte() * 8  # long names are rare else
            type_ = b"list<item: " * depth + type_ + b">" * depth
        heads.append(struct.pack("<III116s", storage, nullable, len(type_), name))
        names.append(type_)
    return b"".join((struct.pack("<II", count, given.byte() & 1), *heads, *names))


def one_input(data: bytes) -> None:
    given = Input(data)
    how = given.byte() % 4
    try:
        if how == 0:
            read_description("f", given.rest)
        elif how == 1:
            read_description("f", slots(given))
        elif how == 2:
            read_contents("f", "wasm", given.rest)
        else:
            parse_signature("f", given.rest.decode("utf-8", "surrogateescape"))
    except (ProtocolError, SignatureError):
        pass
