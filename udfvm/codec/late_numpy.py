"""numpy that was installed after the process had imported pyarrow, as ``%pip install pandas`` does
in a notebook. pyarrow does not look for it again, and ends the process where it needs it.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from udfvm.errors import EngineError

_ABSENT: Final = object()


def lacks_numpy() -> bool:
    """Whether pyarrow found no numpy when it was imported."""
    return getattr(pa.lib, "np", _ABSENT) is None


def check_numpy(function: str) -> None:
    """Raises EngineError if pyarrow has no numpy, for a call with columns that need it."""
    if lacks_numpy():
        raise EngineError(
            f"UDF {function!r}: pyarrow was imported before numpy was installed, and does not see"
            " it: restart the program, or the kernel of the notebook"
        )
