"""The spec of a base image: what it is built from, the program that it boots, and its key."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable

from udfvm import errors, vmm
from udfvm.images.host import ENVIRONMENT, host_key, package_directories
from udfvm.installation import GUEST
from udfvm.limits import DEFAULT_MEMORY, WINDOW
from udfvm.static_typing import Final
from udfvm.tuples import NamedTuple

_NATIVE_SIZE: Final = 24 << 20  # bytes for the native runtime, its libraries, heap and stack
WASMTIME_VERSION: Final = "50"  # WASMTIME_MAJOR of guest/runtimes/wasm/wasmtime.h

#: Bytes of guest memory that a small function of each runtime needs.
MIN_MEMORY: Final = {"python": 32 << 20, "native": 16 << 20, "wasm": 64 << 20}


class BaseSpec(NamedTuple):
    """What a base image holds.

    Attributes:
        memory: bytes of guest memory.
        packages: modules that the boot imports, sorted.
        window: bytes of each window.
        runtime: "python", "native" or "wasm".
    """

    memory: int = DEFAULT_MEMORY
    packages: tuple[str, ...] = ()
    window: int = WINDOW
    runtime: str = "python"


def base_key(spec: BaseSpec) -> str:
    """Returns the name of a base image in the cache."""
    return vmm.sha256(host_key(), repr((spec, _program_base(spec))).encode()).hex()


def _python_command(spec: BaseSpec) -> list[str]:
    import json
    import sysconfig

    interpreter = os.path.realpath(sys.executable)
    configuration = {
        "path": list(package_directories()),
        "prefixes": [sys.prefix, sys.exec_prefix],
        "packages": list(spec.packages),
        "extension": str(GUEST / f"_udfvm_agent{sysconfig.get_config_var('EXT_SUFFIX')}"),
    }
    return [interpreter, "-S", "-s", "-P", "-B", str(GUEST / "agent.py"), json.dumps(configuration)]


def _native_command(_: BaseSpec) -> list[str]:
    return [str(GUEST / "native")]


def _wasm_command(_: BaseSpec) -> list[str]:
    return [str(GUEST / "wasm"), wasmtime_library()]


_COMMANDS: Final[dict[str, Callable[[BaseSpec], list[str]]]] = {
    "python": _python_command, "native": _native_command, "wasm": _wasm_command,
}  # fmt: skip


def wasmtime_library() -> str:
    """Returns the path of libwasmtime in the package ``wasmtime``, of the version that the runtime
    needs.

    Raises BuildError.
    """
    import importlib.metadata
    import importlib.util

    try:
        version = importlib.metadata.version("wasmtime")
        found = importlib.util.find_spec("wasmtime")
    except (ImportError, ValueError):
        version, found = "", None
    if found is None or not found.submodule_search_locations:
        raise errors.BuildError(
            "UDFs in Wasm need the package wasmtime, which is not installed: pip install"
            " 'udfvm[wasm]'"
        )
    if version.partition(".")[0] != WASMTIME_VERSION:
        wanted = f"version {WASMTIME_VERSION} of the package wasmtime"
        raise errors.BuildError(
            f"UDFs in Wasm need {wanted}, not {version}: pip install 'udfvm[wasm]'"
        )
    return os.path.join(found.submodule_search_locations[0], "linux-x86_64", "_libwasmtime.so")


def _program_base(spec: BaseSpec) -> int:
    """Returns the address of the runtime. The native one lies at the end of memory: executables
    that are linked to fixed addresses have the rest in one range.
    """
    return max(spec.memory // 2, spec.memory - _NATIVE_SIZE) if spec.runtime == "native" else 0


def boot_payload(spec: BaseSpec) -> bytes:
    """Returns ``struct udfvm_boot`` and its strings."""
    arguments = _COMMANDS[spec.runtime](spec)
    environment = {**ENVIRONMENT, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}
    strings = [*arguments, *(f"{name}={value}" for name, value in environment.items())]
    header = struct.pack(
        "<QQII", spec.memory, _program_base(spec), len(arguments), len(environment)
    )
    return header + b"".join(os.fsencode(string) + b"\0" for string in strings)
