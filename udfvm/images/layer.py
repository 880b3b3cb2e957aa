"""Layers: what one function adds to its base image."""

from __future__ import annotations

import time
from collections.abc import Callable

from udfvm import errors, vmm
from udfvm.guest_text import shown
from udfvm.images.cache_files import cache_directory
from udfvm.images.opened import open_cached
from udfvm.limits import DEFAULT_LOG, Limits
from udfvm.protocol import REQUEST_LOAD
from udfvm.static_typing import Final

_NOT_READY: Final = "; the function was not ready by then"


def layer_key(base: vmm.Image, identity: bytes, limits: Limits) -> str:
    """Returns the name of a layer in the cache. ``identity`` distinguishes functions."""
    return vmm.sha256(base.digest, bytes([limits.deterministic]), identity).hex()


def load_limits(limits: Limits) -> Limits:
    """Returns the limits of the call that loads a function with these limits."""
    return Limits(
        timeout_ns=limits.build_timeout_ns, max_log=max(DEFAULT_LOG, limits.max_log),
        deterministic=limits.deterministic,
    )  # fmt: skip


def load_call(
    vm: vmm.VM, request: int, payload: bytes, limits: Limits, name: str, advice: str = ""
) -> vmm.Reply:
    """Makes a call that loads a function.

    Raises BuildError, with what the program printed, if it ends meanwhile or is not ready in time.
    """
    try:
        return vm.call(request, payload, vmm.core_limits(limits), name)
    except errors.CallTimeoutError as error:
        seconds = limits.timeout_ns / 1e9
        message = (
            f"UDF {name!r}: the function was not ready within {seconds:g} s: raise build_timeout="
        )
        raise errors.BuildError(message, vm.log()) from error
    except errors.GuestExitError as error:
        raise errors.BuildError(f"{error}{_NOT_READY}{advice}", vm.log()) from error
    except (errors.GuestCrashError, errors.GuestDeadlockError) as error:
        error.extend(f"{_NOT_READY}{advice}")
        raise


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
        load = load_limits(limits)
        with pool.vm(base) as vm:
            reply = load_call(vm, REQUEST_LOAD, payload(), load, name, advice)
            if not reply.sealed:
                from udfvm.vmm import guest_error

                failure = guest_error.parse(reply.data, name, loading=True)
                if isinstance(failure, errors.CallError):
                    failure.output = shown(reply.log)
                raise failure
            log = reply.log.decode("utf-8", "replace")
            vm.seal(
                descriptor,
                build_report(vm, log, time.monotonic() - started, kind="layer", name=name),
                key,
            )

    key = layer_key(base, identity, limits)
    path = cache_directory() / f"{key}.layer"
    image = open_cached(path, base)
    if image is None:
        from udfvm.images.cache import build_cached

        image = build_cached(path, base, build)
    return image
