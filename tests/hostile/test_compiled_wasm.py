"""Compiled WebAssembly in the cache that somebody forged, with digests that are right. The VM of
that module loads it: that ends as an error of udfvm's own, or makes a function whose calls end. The
functions of other modules on the same VM are right.

``UDFVM_HOSTILE=100`` makes a hundred times as many forgeries.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from large_modules import digest_of, large_module, mixed

import udfvm
from udfvm.errors import Error

TIMES = int(os.environ.get("UDFVM_HOSTILE", "1"))
FUNCTIONS = 4000
NUMBERS = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
HEAD = struct.Struct("<16sHHIQQQIHHHHHH")  # of an ELF file
SECTION = struct.Struct("<IIQQQQIIQQ")
DIGESTS = 64  # bytes: that of the kept reply, then that of the code


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    return tmp_path


def keep(kept: Path, code: bytes) -> None:
    """Writes compiled code with digests that are right."""
    kept.write_bytes(bytes(32) + hashlib.sha256(code).digest() + code)
    kept.write_bytes(digest_of(kept) + kept.read_bytes()[32:])


def changed(code: bytes, at: int, new: bytes) -> bytes:
    return code[:at] + new + code[at + len(new) :]


def field(layout: struct.Struct, code: bytes, at: int, chance: random.Random) -> bytes:
    """Another value in a field of a structure."""
    fields = list(layout.unpack_from(code, at))
    index = chance.randrange(len(fields))
    kind = re.sub(r"\d+|<", "", layout.format)[index]
    size = {"s": 16, "H": 2, "I": 4, "Q": 8}[kind]
    number = chance.choice([*NUMBERS, len(code), chance.getrandbits(64)])
    value = number.to_bytes(9, "little")[:size]
    fields[index] = value.ljust(16, b"\0") if kind == "s" else int.from_bytes(value, "little")
    return changed(code, at, layout.pack(*fields))


def sections(code: bytes) -> tuple[int, int]:
    """Where the headers of the sections are, and how many."""
    head = HEAD.unpack_from(code, 1)
    return 1 + head[6], head[12]


def forgeries(code: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """The first byte tells a module from a component; the file that wasmtime made follows."""
    chance = random.Random(17 if TIMES == 1 else None)
    start, number = sections(code)
    yield "another kind", b"c" + code[1:]
    yield "no kind", b"x" + code[1:]
    yield "nothing", b""
    yield "a kind alone", b"m"
    for _ in range(count):
        at = chance.randrange(len(code))
        which = start + SECTION.size * chance.randrange(number)
        yield "a field of the head", field(HEAD, code, 1, chance)
        yield "a field of a section", field(SECTION, code, which, chance)
        yield "a byte", changed(code, at, bytes([code[at] ^ 1 << chance.randrange(8)]))
        yield "a part", changed(code, at, chance.randbytes(min(200, len(code) - at)))
        yield "an end", code[: chance.randrange(len(code))]
    for _, offset, size in named_sections(code):
        for _ in range(count):
            at = offset + chance.randrange(size)
            yield "a section", changed(code, at, chance.randbytes(min(8, len(code) - at)))


def named_sections(code: bytes) -> list[tuple[int, int, int]]:
    """Type, place and size of the sections that have contents."""
    start, number = sections(code)
    headers = [SECTION.unpack_from(code, start + SECTION.size * each) for each in range(number)]
    return [
        (each[1], 1 + each[4], each[5]) for each in headers if each[1] not in (0, 8) and each[5]
    ]


def test_forged_code(cache: Path) -> None:
    module = large_module(FUNCTIONS)
    pool = udfvm.Pool(size=1)
    honest = udfvm.from_wasm(
        '(module (func (export "next") (param i64) (result i64) local.get 0 i64.const 1 i64.add))',
        "next",
        pool=pool,
    )
    udfvm.from_wasm(module, "f", pool=pool).prepare()
    (kept,) = cache.glob("*.compiled")
    code = kept.read_bytes()[DIGESTS:]
    ended: Counter[str] = Counter()
    for number, (what, forged) in enumerate(forgeries(code, TIMES)):
        keep(kept, forged)
        try:
            function = udfvm.from_wasm(
                module, "g", name=f"g{number}", signature="(i64) -> i64", pool=pool, timeout=1
            )
            ended[type(function(7)).__name__] += 1
        except Error as error:
            assert str(error)
            ended[type(error).__name__] += 1
        assert honest(number) == number + 1, what
    print(ended)
    assert len(ended) > 1
    keep(kept, code)
    assert udfvm.from_wasm(module, "g", name="right", pool=pool)(7) % 2**64 == mixed(
        FUNCTIONS - 2, 7
    )
