"""Cells of a notebook, for tests of functions whose names change."""

from __future__ import annotations

import types
from typing import Any


class Notebook:
    """Runs cells one after the other in one namespace."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")

    def run(self, source: str) -> None:
        exec(compile(source, "<cell>", "exec"), self.module.__dict__)

    def __getitem__(self, name: str) -> Any:
        return self.module.__dict__[name]


UDF = "@udfvm.udf\ndef f(x: int) -> int:\n    return {}\n"
