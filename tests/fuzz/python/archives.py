"""Archives of functions: manifests, notes, parts, and tar files that have them."""

import base64
import copy
import hashlib
import io
import json
import os
import struct
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fuzz_inputs import Input

from udfvm import vmm
from udfvm.errors import ImageError
from udfvm.images.host import processor
from udfvm.sqlite import archive
from udfvm.sqlite.archive_signatures import SIGNATURE
from udfvm.sqlite.archive_store import Reader, Tar, TarBytes
from udfvm.sqlite.sealed import NOTE_FORMAT

HERE = vmm.sha256(processor().encode()).hex()
REFUSED = (
    ImageError,
    ValueError,
    KeyError,
    TypeError,
    RecursionError,
    struct.error,
    tarfile.TarError,
)  # as import_image takes them
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()]
NOTE = {"udfvm-function": str(NOTE_FORMAT), "name": "f", "processor": HERE, "base": "", "layer": ""}


class Memory:
    """An archive in memory, whose blobs have the digests that they should have."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def open(self, name: str) -> io.BytesIO:
        if name not in self.files:
            raise ValueError(name)
        return io.BytesIO(self.files[name])


def part(given: Input, how: int) -> bytes:
    plain = archive.MAGIC + (8192).to_bytes(8, "little")
    plain += (16).to_bytes(8, "little") + (4).to_bytes(8, "little") + b"data"
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(given.changed(plain) if how == 1 else plain)
    packed: bytes = sink.getvalue().to_pybytes()
    return given.changed(packed) if how == 2 else packed


SIGNED = (9, 10)  # of the ways to make an archive
VALUES = (None, True, 0, -1, 1 << 64, 1e308, "", "sha256:", "base", [], {}, [[]], [{}], {"": 0})
TYPES = b"0LxKgSX5127"  # of a tar file's members: a file, a long name, headers of pax, links


def edited(given: Input, value: Any) -> Any:
    """An honest value of JSON with something else somewhere in it."""
    at: Any = value
    while given.byte() % 4 and isinstance(at, dict | list) and at:
        keys: list[Any] = list(at) if isinstance(at, dict) else list(range(len(at)))
        key, how = keys[given.byte() % len(keys)], given.byte() % 8
        if how == 0:
            del at[key]
            break
        if how == 1 and isinstance(at, list):
            at.append(copy.deepcopy(at[key]))
        if how <= 3:
            other = copy.deepcopy(VALUES[given.byte() % len(VALUES)])
            at[key] = given.number() if how == 2 else other
        at = at[key] if isinstance(at, dict) or key < len(at) else None
    return value


def size_field(given: Input) -> bytes:
    """The size that a header says: in octal digits, or as a number of 95 bits, maybe negative."""
    if given.byte() % 2:
        return b"%011o\0" % (given.number() % 8**11)
    return (b"\x80", b"\xff")[given.byte() % 2] + bytes(3) + given.number().to_bytes(8, "big")


def tar(given: Input, files: dict[str, bytes]) -> bytes:
    """A tar file whose headers are right but for what the input says."""
    packed = b""
    for name, data in files.items():
        for _ in range(given.byte() % 3):  # ahead of it
            extra = given.bytes(given.byte())
            packed += header(given, "extra", len(extra), 2) + extra + bytes(-len(extra) % 512)
        packed += header(given, name, len(data), 0) + data + bytes(-len(data) % 512)
    return packed + bytes(1024)


def header(given: Input, name: str, size: int, usual: int) -> bytes:
    made = tarfile.TarInfo(name)
    made.size = size
    text = bytearray(made.tobuf(tarfile.GNU_FORMAT))
    how = given.byte()
    text[156:157] = TYPES[given.byte() % len(TYPES) :][:1] if how & 1 else TYPES[usual:][:1]
    if how & 2:
        text[124:136] = size_field(given)
    if how & 4:
        where = given.byte() * 2
        text[where : where + 8] = given.word().to_bytes(8, "little")
        del text[512:]
    text[148:156] = b"%06o\0 " % (sum(text[:148]) + 8 * ord(" ") + sum(text[156:]))
    return bytes(text)


def read_tar(data: bytes, target: int) -> None:
    descriptor = os.memfd_create("tar")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    with TarBytes(descriptor) as source, tarfile.open(fileobj=source, mode="r:") as file:
        read(Tar(file), target)


def read(source: Reader, target: int, keys: Any = ()) -> None:
    archive._import(Path("archive"), source, target, None, keys)
    assert os.fstat(target).st_size < 1 << 40


def made_archive(given: Input, how: int) -> Memory:
    made = Memory()
    config: Any = {"format": 1, "note": list(map(list, NOTE.items()))}
    parts = [part(given, how), part(Input(b""), 0)]
    described = made.put(
        json.dumps(edited(given, config) if how == 3 else config).encode(), archive.CONFIG
    )
    layers = [
        made.put(each, archive.PART.format(name))
        for name, each in zip(archive.PARTS, parts, strict=True)
    ]
    manifest: Any = {"config": described, "layers": layers}
    if how in SIGNED:  # by nobody
        manifest["annotations"] = {SIGNATURE: base64.b64encode(bytes(64)).decode()}
    text = json.dumps(edited(given, manifest) if how in (4, 9) else manifest).encode()
    text = given.changed(text) if how in (5, 10) else text
    index: Any = {"manifests": [made.put(text, archive.MANIFEST)]}
    index = edited(given, index) if how == 6 else index
    made.files["index.json"] = given.rest if how == 0 else json.dumps(index).encode()
    return made


def one_input(data: bytes) -> None:
    given = Input(data)
    how = given.byte() % 11
    made = made_archive(given, how)
    target = os.memfd_create("archive")
    try:
        if how in (7, 8):
            packed = tar(given if how == 7 else Input(b""), made.files)
            read_tar(given.changed(packed) if how == 8 else packed, target)
        else:
            read(made, target, KEYS if how in SIGNED else ())
    except REFUSED:
        pass
    finally:
        os.close(target)
