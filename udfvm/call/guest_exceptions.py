"""Exceptions of guests, as calls of functions raise them."""

from __future__ import annotations

from collections.abc import Sequence

from udfvm.static_typing import TYPE_CHECKING
from udfvm.types.arrow_types import Parameter

if TYPE_CHECKING:
    from udfvm.errors import CallError, TypeMappingError


def guest_exception(
    reply: bytes | memoryview,
    name: str,
    first_row: int = 0,
    rows: int = 0,
    parameters: Sequence[Parameter] = (),
) -> CallError | TypeMappingError:
    """Returns the exception in a reply with status ERROR. ``first_row`` is the index of the first
    of the ``rows`` of the call's batch.
    """
    from udfvm.vmm import guest_error

    names = [each.name for each in parameters]
    return guest_error.parse(reply, name, first_row, rows, parameters=names)
