"""Classes of arrays, without an import of their libraries."""

from __future__ import annotations

import sys


def loaded_arrays() -> tuple[type, ...]:
    """Returns the classes of arrays, of the libraries that are loaded: no value can be of
    another's.
    """
    numpy, pyarrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    arrays: tuple[type, ...] = () if numpy is None else (numpy.ndarray,)
    return arrays if pyarrow is None else (*arrays, pyarrow.Array, pyarrow.ChunkedArray)
