"""numpy that a cell installed after the kernel had imported pyarrow: what to do, below that cell.

pyarrow ends the kernel where it then makes a frame of pandas, which udfvm is not asked about.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from udfvm.codec.late_numpy import lacks_numpy


class LateNumpy:
    """Looks after each cell, as long as pyarrow has no numpy."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def begin(self) -> None:
        """From now on."""
        self._shell.events.register("post_run_cell", self._look)

    def end(self) -> None:
        """No more."""
        self._shell.events.unregister("post_run_cell", self._look)

    def _look(self, _: Any = None) -> None:
        if not lacks_numpy():
            return
        importlib.invalidate_caches()
        if importlib.util.find_spec("numpy") is not None:
            print(
                "udfvm: numpy was installed after this kernel imported pyarrow, which does not see"
                " it, and may end the kernel: restart the kernel",
                file=sys.stderr,
            )
