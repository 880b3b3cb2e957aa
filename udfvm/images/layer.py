"""Layers: what one function adds to its base image."""

from __future__ import annotations

import time
from collections.abc import Callable

from udfvm import vmm
from udfvm.backend import in_process
from udfvm.images.cache_files import cache_directory
from udfvm.images.loading import load_or_fail
from udfvm.images.opened import open_cached
from udfvm.limits import Limits
from udfvm.log import debug


def layer_key(base: vmm.Image, identity: bytes, limits: Limits) -> str:
    """Returns the name of a layer in the cache. ``identity`` distinguishes functions."""
    return vmm.sha256(base.digest, bytes([limits.deterministic]), identity).hex()


def udf_layer(
    base: vmm.Image,
    pool: vmm.ImagePool,
    identity: bytes,
    payload: Callable[[], bytes],
    limits: Limits,
    name: str,
    advice: str = "",
) -> vmm.Image:
    """Returns the layer of a function, from the cache or newly loaded on a VM of the base.

    ``identity`` names the function. ``payload`` makes the LOAD request if it is needed. Raises
    UDFError if the function cannot be unpickled or fails on its sample, and BuildError, with
    ``advice``, if the program ends.
    """

    def build(descriptor: int) -> None:
        from udfvm.images.report import build_report

        started = time.monotonic()
        with pool.vm(base) as vm:
            reply = load_or_fail(vm, payload(), limits, name, advice)
            log = reply.log.decode("utf-8", "replace")
            vm.seal(
                descriptor,
                build_report(vm, log, time.monotonic() - started, kind="layer", name=name),
                key,
            )

    key = layer_key(base, identity, limits)
    if in_process():
        from udfvm.images.in_process import layer_in_process

        return layer_in_process(base, pool, key, payload, limits, name)
    path = cache_directory() / f"{key}.layer"
    what = f"image of UDF {name!r}"
    image = open_cached(path, base)
    if image is None:
        from udfvm.images.cache import build_cached

        return build_cached(path, base, build, what)
    debug("%s: found in the cache (%s)", what, path)
    return image
