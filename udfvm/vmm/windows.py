"""The sizes of a VM's windows."""

from __future__ import annotations

from udfvm.tuples import NamedTuple


class Windows(NamedTuple):
    """Bytes of the input window, of the output window, and of the scratch area."""

    input: int
    output: int
    scratch: int
