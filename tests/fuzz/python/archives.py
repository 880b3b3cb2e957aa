"""Archives of functions: manifests, notes and parts."""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
from fuzz_inputs import Input

from udfvm import vmm
from udfvm.errors import ImageError
from udfvm.images.host import processor
from udfvm.sqlite import archive
from udfvm.sqlite.sealed import NOTE_FORMAT

HERE = vmm.sha256(processor().encode()).hex()
REFUSED = (
    ImageError,
    ValueError,
    KeyError,
    TypeError,
    RecursionError,
)  # as import_image takes them
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


def one_input(data: bytes) -> None:
    given, made = Input(data), Memory()
    how = given.byte() % 5
    config = json.dumps({"format": 1, "note": list(map(list, NOTE.items()))}).encode()
    parts = [part(given, how), part(Input(b""), 0)]
    manifest = json.dumps(
        {
            "config": made.put(given.changed(config) if how == 3 else config, archive.CONFIG),
            "layers": [
                made.put(each, archive.PART.format(name))
                for name, each in zip(archive.PARTS, parts, strict=True)
            ],
        }
    ).encode()
    changed = given.changed(manifest) if how == 4 else manifest
    index = {"manifests": [made.put(changed, archive.MANIFEST)]}
    made.files["index.json"] = given.rest if how == 0 else json.dumps(index).encode()
    target = os.memfd_create("archive")
    try:
        archive._import(Path("archive"), made, target, None)
        assert os.fstat(target).st_size < 1 << 40
    except REFUSED:
        pass
    finally:
        os.close(target)
