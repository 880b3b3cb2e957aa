"""The packages of engines: each is imported when its module is first used."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util

from udfvm.errors import EngineError
from udfvm.static_typing import Any


def load_package(module: str, *, engine: str, package: str, oldest: str) -> Any:
    """Imports the module of an engine.

    Args:
        module: the name that is imported, such as "ibis".
        engine: the name of udfvm's own module, and of its extra, such as "ibis".
        package: the package that has the module, such as "ibis-framework".
        oldest: the oldest version that udfvm is tested with, such as "12.0".

    Raises:
        EngineError: the package is not installed, too old, or broken.
    """
    remedy = f"pip install 'udfvm[{engine}]'"
    try:
        found = importlib.util.find_spec(module)
        version = importlib.metadata.version(package) if found else ""
    except (ImportError, ValueError):
        found, version = None, ""
    if not version:
        message = f"udfvm.{engine} needs the package {package}, which is not installed: {remedy}"
        raise EngineError(message)
    if _numbers(version) < _numbers(oldest):
        raise EngineError(
            f"udfvm.{engine} needs version {oldest} of the package {package} or a newer one, not"
            f" {version}: {remedy}"
        )
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"the package {package}, which udfvm.{engine} needs, cannot be imported: {error}"
        raise EngineError(message) from error


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (12, 0) of "12.0rc1"."""
    numbers: list[int] = []
    for part in version.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
