"""Images of functions that run in this process: they have no pages, and no file."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

from udfvm.backend import warn_in_process
from udfvm.errors import BuildError
from udfvm.forks import ForkLock
from udfvm.images.loading import load_or_fail
from udfvm.images.spec import BaseSpec
from udfvm.limits import SCRATCH, Limits
from udfvm.static_typing import Final
from udfvm.vmm import Image, ImagePool, sha256
from udfvm.vmm.in_process import stand_in_image


class _Images(ForkLock):
    """The images of this process, by their keys."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[bytes, Image] = {}
        self.specs: dict[bytes, BaseSpec] = {}  # of base images, by their digests


_images: Final = _Images()


def base_in_process(spec: BaseSpec, udf: str | None) -> Image:
    """Returns what stands for a base image of Python. Raises BuildError for packages that cannot be
    imported.
    """
    for name in spec.packages:
        try:
            importlib.import_module(name)
        except ImportError as error:
            where = "" if udf is None else f"UDF {udf!r}: "
            raise BuildError(
                f"{where}{name!r} cannot be imported: {error}. It is imported because packages="
                " names it, or because the function uses it"
            ) from error
    digest = sha256(b"in process", repr(spec).encode())
    with _images.lock:
        if digest not in _images.found:
            metadata = {"kind": "base", "runtime": spec.runtime, "in_process": True}
            _images.specs[digest] = spec
            _images.found[digest] = stand_in_image(
                digest, spec.memory, spec.window, SCRATCH, metadata=json.dumps(metadata).encode()
            )
        return _images.found[digest]


def layer_in_process(
    base: Image,
    pool: ImagePool,
    key: str,
    payload: Callable[[], bytes],
    limits: Limits,
    name: str,
) -> Image:
    """Returns what stands for the layer of a function, once the function was loaded, and run on its
    sample. Raises what ``udf_layer`` raises.
    """
    digest = bytes.fromhex(key)
    warn_in_process(name, digest)
    found = _images.found.get(digest)
    if found is None:
        data = payload()
        with pool.vm(base) as vm:
            load_or_fail(vm, data, limits, name)
        metadata = json.dumps({"kind": "layer", "name": name, "in_process": True}).encode()
        spec = _images.specs[base.digest]
        found = _images.found[digest] = stand_in_image(
            digest, spec.memory, spec.window, SCRATCH, base, metadata, data
        )
    return found
