"""Sealed functions as archives that registries carry: an image layout of OCI, in a folder or a tar
file, with the base image and the layer as blobs that zstd compressed.

An archive may be a stranger's. All that is read of it has a bound, each blob must have the digest
and size that the manifest says, and nothing appears where the function goes before all is checked.

A blob is, once decompressed, ``MAGIC``, the length of the part, and then pieces of data: offset,
length and bytes. The offsets ascend, and what lies between pieces are holes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from udfvm import vmm
from udfvm.errors import ImageError, SealError
from udfvm.images.host import processor
from udfvm.sqlite.archive_signatures import (
    check_signature,
    packed_json,
    public_key,
    signed,
)
from udfvm.sqlite.archive_store import Reader, Writer, open_archive, writing
from udfvm.sqlite.sealed import NOTE_FORMAT
from udfvm.sqlite.sealed_file import HEAD, new_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAGIC: Final = b"UDFVMSP1"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.udfvm.function.config.v1+json"
PART: Final = "application/vnd.udfvm.function.{}.v1+zstd"
PARTS: Final = ("base", "layer")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_JSON: Final = 256 << 10  # bytes of an index, manifest or configuration
_MAX_PART: Final = 65 << 30  # bytes of a part, holes included: of the largest memory
MAX_DATA: Final = 4 << 30  # bytes of data in all parts
_PIECE: Final = struct.Struct("<QQ")
_CHUNK: Final = 1 << 20
_PAGE: Final = 4096


def export_image(
    function: Path, archive: Path, *, sign: Path | None = None, replace: bool = False
) -> str:
    """Writes a function of ``udfvm seal --output`` as an archive: a tar file if the name ends with
    ``.tar``, else a folder. ``sign`` is a file with the private key that signs it: Ed25519, in PEM.

    Returns the digest of the archive's manifest, which says all that is in it. Raises SealError if
    one cannot be read, or the other not be written, and OptionError for a key that is none.
    """
    try:
        with function.open("rb") as source, writing(archive, replace=replace) as target:
            note = _note_of(function, source.read(HEAD))
            layers = [_export_part(target, source, note, part) for part in PARTS]
            kept = [[key, "" if key in PARTS else value] for key, value in note.items()]
            config = _put_json(target, CONFIG, {"format": 1, "note": kept})
            content = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config,
                "layers": layers,
            }
            manifest = _put_json(target, MANIFEST, signed(content, sign) if sign else content)
            named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": note["name"]}}
            target.write("oci-layout", packed_json({"imageLayoutVersion": "1.0.0"}))
            target.write("index.json", packed_json({"schemaVersion": 2, "manifests": [named]}))
            return str(manifest["digest"])
    except OSError as error:
        raise SealError(f"{error.filename or archive}: {error.strerror}") from error


def _note_of(path: Path, head: bytes) -> dict[str, str]:
    text, _, padding = head.partition(b"\0")
    lines = {}
    for line in text.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(" ")
        lines[key] = value
    if len(head) != HEAD or padding.strip(b"\0") or not {"name", *PARTS} <= set(lines):
        raise SealError(f"{path} is not a file that `udfvm seal --output` wrote")
    return lines


def _put_json(target: Writer, media_type: str, value: object) -> dict[str, Any]:
    data = packed_json(value)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    target.write(f"blobs/{digest.replace(':', '/')}", data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _export_part(
    target: Writer, source: IO[bytes], note: dict[str, str], part: str
) -> dict[str, Any]:
    import pyarrow as pa

    start, length = (int(number) for number in note[part].split())
    with target.blob() as blob:
        with pa.CompressedOutputStream(pa.PythonFile(blob, "w"), "zstd") as packed:
            packed.write(MAGIC + length.to_bytes(8, "little"))
            for offset, data in _data_of(source.fileno(), start, length):
                packed.write(_PIECE.pack(offset, len(data)) + data)
        digest, size = blob.digest, blob.size
    return {
        "mediaType": PART.format(part),
        "digest": digest,
        "size": size,
        "annotations": {"org.opencontainers.image.title": part},
    }


def _data_of(descriptor: int, start: int, length: int) -> Iterator[tuple[int, bytes]]:
    """Yields the pages of a part that are not zero, in pieces, by their offsets in the part."""
    at = start
    while at < start + length:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # no more data
            return
        at -= (at - start) % _PAGE
        end = min(os.lseek(descriptor, at, os.SEEK_HOLE), start + length)
        while at < end:
            data = os.pread(descriptor, min(_CHUNK, end - at), at)
            if not data:
                raise SealError("the file became shorter while it was read")
            if data.strip(b"\0"):
                yield at - start, data
            at += len(data)


# ---- Import ----


def import_image(
    archive: Path,
    function: Path,
    *,
    digest: str | None = None,
    signed_by: Sequence[Path] = (),
    replace: bool = False,
) -> str:
    """Writes the function in an archive as a file for ``vm_attach``, as ``udfvm seal --output``
    does.

    ``digest`` is that of the manifest that the archive must have. ``signed_by`` are files with
    public keys, one of which must have signed it. Returns the function's name. Raises ImageError
    for an archive that is damaged, forged, too large, of another digest, not signed by these keys,
    or of another processor, OptionError for a key that is none, and SealError if the file cannot be
    written.
    """
    keys = [public_key(each) for each in signed_by]
    try:
        with open_archive(archive) as source, new_file(function, replace) as target:
            return _import(archive, source, target, digest, keys)
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        struct.error,
        tarfile.TarError,
    ) as error:
        raise ImageError(f"{archive}: it is not a valid archive of a function: {error}") from error
    except OSError as error:
        raise SealError(f"{error.filename or function}: {error.strerror or error}") from error


def _import(
    archive: Path,
    source: Reader,
    target: int,
    digest: str | None,
    keys: Sequence[Ed25519PublicKey] = (),
) -> str:
    index = _object(json.loads(_bounded(source, "index.json", _MAX_JSON)))
    manifests = index["manifests"]
    if type(manifests) is not list or len(manifests) != 1:
        raise ValueError("its index must have one manifest")
    described = _object(manifests[0])
    if digest is not None and described["digest"] != digest:
        raise ImageError(
            f"{archive}: its manifest has the digest {_shown(described['digest'])}, not {digest}:"
            " it is another function, or was changed"
        )
    manifest = _object(json.loads(_blob_bytes(source, described, MANIFEST)))
    if keys:
        check_signature(archive, manifest, keys)
    config = _object(json.loads(_blob_bytes(source, manifest["config"], CONFIG)))
    if config["format"] != 1:
        raise ImageError(f"{archive}: another version of udfvm wrote it: export it again")
    note = _checked_note(archive, config["note"])
    layers = manifest["layers"]
    if type(layers) is not list or len(layers) != len(PARTS):
        raise ValueError(f"it must have {len(PARTS)} layers")
    end, left = HEAD, MAX_DATA
    for part, each in zip(PARTS, layers, strict=True):
        length, used = _import_part(source, _object(each), part, target, end, left)
        note[part] = f"{end} {length}"
        left -= used
        end += length + -length % _PAGE
    os.ftruncate(target, end)
    text = "".join(f"{key} {value}\n" for key, value in note.items()).encode()
    if len(text) >= HEAD:
        raise ValueError("its note is too long")
    os.pwrite(target, text, 0)
    return note["name"]


def _checked_note(archive: Path, given: object) -> dict[str, str]:
    """Returns the note: lines of a key and a value. What they say is checked by who runs it."""
    note: dict[str, str] = {}
    if type(given) is not list:
        raise ValueError(f"{type(given).__name__} in place of a note")
    for key, value in given:
        if type(key) is not str or not re.fullmatch(r"[a-z_-]{1,32}", key) or key in note:
            raise ValueError(f"its note has {_shown(key)}")
        if type(value) is not str or re.search(r"[\0-\x1f\x7f]", value):
            raise ValueError(f"its note has {_shown(value)} as {key}")
        note[key] = value
    if not set(PARTS) <= set(note) or note["udfvm-function"] != str(NOTE_FORMAT):
        raise ImageError(f"{archive}: another version of udfvm sealed it: seal the function again")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", note["name"]):
        raise ValueError("its function has no valid name")
    if note["processor"] != vmm.sha256(processor().encode()).hex():
        raise ImageError(
            f"{archive}: it is of a machine with another processor, whose features libraries in it"
            " rely on: seal the function on a machine with this processor"
        )
    return note


def _object(value: object) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError(f"{type(value).__name__} in place of an object")
    return value


def _shown(value: object) -> str:
    return repr(value)[:100]


def _descriptor(described: object, media_type: str) -> tuple[str, int]:
    """Returns digest and size of a blob. Raises ValueError."""
    found = _object(described)
    digest, size = found["digest"], found["size"]
    if found["mediaType"] != media_type:
        raise ValueError(f"{_shown(found['mediaType'])} in place of {media_type}")
    if type(digest) is not str or not _DIGEST.fullmatch(digest):
        raise ValueError(f"the digest {_shown(digest)}")
    if type(size) is not int or size < 0:
        raise ValueError(f"the size {_shown(size)}")
    return digest, size


def _bounded(source: Reader, name: str, most: int) -> bytes:
    with source.open(name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name} has more than {most} bytes")
    return data


def _blob_bytes(source: Reader, described: object, media_type: str) -> bytes:
    digest, size = _descriptor(described, media_type)
    data = _bounded(source, f"blobs/{digest.replace(':', '/')}", min(size, _MAX_JSON))
    if len(data) != size or f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise ValueError(f"the blob {digest} is damaged")
    return data


class _Hashing(io.RawIOBase):
    """A file that is hashed as it is read, and ends after so many bytes."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        super().__init__()
        self._file = file
        self._left = most + 1
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._hash.update(data)
        self._left -= len(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _import_part(
    source: Reader, described: dict[str, Any], part: str, target: int, start: int, most: int
) -> tuple[int, int]:
    """Writes a part of a function at an offset of its file. Returns its length, and how much of it
    is data.
    """
    import pyarrow as pa

    digest, size = _descriptor(described, PART.format(part))
    with source.open(f"blobs/{digest.replace(':', '/')}") as file:
        raw = _Hashing(file, size)
        try:
            with pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd") as packed:
                length, used = _unpack(packed, part, target, start, most)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"its {part} cannot be decompressed: {error}") from error
        while raw.read(_CHUNK):
            pass
        if raw.size != size or raw.digest != digest:
            raise ValueError(f"the blob {digest} is damaged")
    return length, used


def _unpack(packed: Any, part: str, target: int, start: int, most: int) -> tuple[int, int]:
    head = _exactly(packed, len(MAGIC) + 8)
    length = int.from_bytes(head[len(MAGIC) :], "little")
    if head[: len(MAGIC)] != MAGIC or not 0 < length <= _MAX_PART:
        raise ValueError(f"its {part} does not begin as one does")
    end = used = 0
    while piece := packed.read(_PIECE.size):
        piece += b"" if len(piece) == _PIECE.size else _exactly(packed, _PIECE.size - len(piece))
        offset, size = _PIECE.unpack(piece)
        used += size
        if offset < end or not 0 < size <= _CHUNK or offset + size > length:
            raise ValueError(f"its {part} has a piece where none can be")
        if used > most:
            raise ValueError(f"it has more than {MAX_DATA >> 30} GiB of data")
        os.pwrite(target, _exactly(packed, size), start + offset)
        end = offset + size
    return length, used


def _exactly(packed: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = packed.read(size - len(data))
        if not more:
            raise ValueError("a part is cut short")
        data += more
    return data
