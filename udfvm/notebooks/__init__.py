"""Notebooks: ``%load_ext udfvm`` gives IPython the magics ``%%udf`` and ``%udfvm``.

Functions and errors have what notebooks show of them without it. See docs/notebooks.md.
"""

from __future__ import annotations

from typing import Any

from udfvm.notebooks.errors import ShownErrors
from udfvm.notebooks.late_numpy import LateNumpy
from udfvm.notebooks.magics import Magics
from udfvm.notebooks.redefinition import Redefinition

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

_ATTRIBUTE = "_udfvm_parts"


def load_ipython_extension(shell: Any) -> None:
    """Gives a shell of IPython the magics. ``%load_ext udfvm`` calls this.

    From now on a function that a cell defines anew takes the place of the one before, wherever that
    is registered. Errors that other libraries make of those of functions are shown as these are.
    """
    unload_ipython_extension(shell)
    shell.register_magics(Magics)
    parts = Redefinition(shell), ShownErrors(shell), LateNumpy(shell)
    for part in parts:
        part.begin()
    setattr(shell, _ATTRIBUTE, parts)


def unload_ipython_extension(shell: Any) -> None:
    """Takes back what ``load_ipython_extension`` gave. ``%unload_ext udfvm`` calls this."""
    parts = getattr(shell, _ATTRIBUTE, None)
    if parts is not None:
        for part in parts:
            part.end()
        delattr(shell, _ATTRIBUTE)
        shell.magics_manager.magics["cell"].pop("udf", None)
        shell.magics_manager.magics["line"].pop("udfvm", None)
