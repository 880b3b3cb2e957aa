"""The setuptools command that compiles."""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_ext import build_ext

from .package import ROOT, install


class BuildNative(build_ext):
    """``build_ext``: leaves extension modules, and everything else that is compiled, to Meson."""

    def run(self) -> None:
        in_place = self.inplace or self.editable_mode
        install(ROOT / "udfvm" if in_place else Path(self.build_lib).resolve() / "udfvm")
