"""Base images: booted once, and sealed."""

from __future__ import annotations

import time
from pathlib import Path

from udfvm import vmm
from udfvm.backend import in_process
from udfvm.errors import BuildError
from udfvm.forks import ForkLock
from udfvm.images.cache_files import cache_directory
from udfvm.images.host import host_files
from udfvm.images.opened import open_cached
from udfvm.images.spec import MIN_MEMORY, BaseSpec, base_key, boot_payload
from udfvm.installation import GUEST
from udfvm.limits import DEFAULT_MEMORY, SCRATCH, Limits
from udfvm.log import debug
from udfvm.static_typing import Final
from udfvm.texts import format_size


class _OpenBases(ForkLock):
    """The base images that this process has open. Each is mapped and checked once."""

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[Path, vmm.Image] = {}


_open_bases: Final = _OpenBases()


#: What runs in a runtime, by its name.
CODE: Final = {"python": "Python", "native": "native code", "wasm": "WebAssembly"}


def _needed(spec: BaseSpec) -> str:
    """Returns what memory a function of the runtime needs, if the spec has less."""
    minimum = MIN_MEMORY[spec.runtime]
    if spec.memory >= minimum:
        return (
            f" (numpy and pyarrow need 224 MiB, pandas 320 MiB, polars 384 MiB; the default is"
            f" {format_size(DEFAULT_MEMORY)})"
            if spec.packages and spec.memory < DEFAULT_MEMORY
            else ""
        )
    return f" (a function in {CODE[spec.runtime]} needs {format_size(minimum)} or more)"


def _what(spec: BaseSpec) -> str:
    packages = f", {', '.join(spec.packages)}" if spec.packages else ""
    return f"base image of {CODE[spec.runtime]} ({format_size(spec.memory)}{packages})"


def base_image(
    spec: BaseSpec,
    timeout_ns: int = Limits().build_timeout_ns,
    udf: str | None = None,
    jail: vmm.Jail | None = None,
) -> vmm.Image:
    """Returns the base image of a spec, from the cache or newly booted.

    ``timeout_ns`` limits the boot, and a ``jail`` is for its VM. Raises BuildError, with what the
    guest printed and the ``udf`` that needs the image, if the interpreter or a package does not
    start, and KVMUnavailableError without KVM.
    """

    def build(descriptor: int) -> None:
        from udfvm.images.report import build_report

        started = time.monotonic()
        limits = Limits(memory=spec.memory, timeout_ns=timeout_ns, max_log=1 << 20)
        kernel = (GUEST / "kernel.bin").read_bytes()
        try:
            vm, log = vmm.boot(
                kernel,
                boot_payload(spec),
                spec.memory,
                spec.window,
                host_files(),
                limits,
                SCRATCH,
                jail,
            )
        except BuildError as error:
            where = "" if udf is None else f"UDF {udf!r}: "
            error.args = (f"{where}{error}{_needed(spec)}",)
            raise
        with vm:
            report = build_report(
                vm,
                log,
                time.monotonic() - started,
                kind="base",
                runtime=spec.runtime,
                packages=list(spec.packages),
                memory=spec.memory,
            )
            vm.seal(descriptor, report, key)

    if in_process():
        from udfvm.images.in_process import base_in_process

        return base_in_process(spec, udf)
    key = base_key(spec)
    with _open_bases.lock:
        path = cache_directory() / f"{key}.base"
        if path not in _open_bases.images:
            image = open_cached(path, None)
            what = _what(spec)
            if image is None:
                from udfvm.images.cache import build_cached

                image = build_cached(path, None, build, what)
            else:
                debug("%s: found in the cache (%s)", what, path)
            _open_bases.images[path] = image
        return _open_bases.images[path]
