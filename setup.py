"""Declares what setuptools cannot read from pyproject.toml: the parts that are not Python, which
``build_native`` builds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_native.command import BuildNative

EXTENSIONS = (
    "udfvm.call._fast_path",
    "udfvm.functions._frames",
    "udfvm.load._bindings",
    "udfvm.vmm._core",
)

setup(
    ext_modules=[Extension(name, []) for name in EXTENSIONS],
    cmdclass={"build_ext": BuildNative},
)
