"""Buffers of numbers as columns: ``array.array``, and ``memoryview`` of what has a buffer. Buffers
of bytes are values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.argument_errors import wrong_type

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter

_SIGNED: Final = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}
_FLOATS: Final = {"e": "float16", "f": "float32", "d": "float64"}


def buffer_column(function: str, parameter: Parameter, value: Any) -> pa.Array:
    """Returns the items of a buffer as an array. Raises TypeMappingError for a buffer of several
    dimensions, or of other items.

    >>> import array
    >>> from udfvm.types.arrow_types import Parameter, named
    >>> column = buffer_column("f", Parameter("x", named("int64"), False), array.array("h", [1, 2]))
    >>> column.type, column.to_pylist()
    (DataType(int16), [1, 2])
    """
    view = memoryview(value)
    found = "memoryview" if isinstance(value, memoryview) else "buffer"
    if view.ndim != 1:
        found = f"a {found} of {view.ndim} dimensions: a column has one"
        raise wrong_type(function, parameter, found)
    type_ = _type_of(view)
    if type_ is None:
        raise wrong_type(
            function,
            parameter,
            f"a {found} of items {view.format!r}, which Arrow has no type for: pass"
            " pyarrow.array(list(...)) of it",
        )
    if pa.types.is_boolean(type_):
        return pa.array(view.tolist(), type_)
    data = view if view.c_contiguous else view.tobytes()
    return pa.Array.from_buffers(type_, len(view), [None, pa.py_buffer(data)])


def _type_of(view: memoryview) -> pa.DataType | None:
    code = view.format.lstrip("@=")  # the order of bytes that this machine has
    if code == "?":
        return pa.bool_()
    if code in _FLOATS:
        return pa.type_for_alias(_FLOATS[code])
    if len(code) == 1 and code in "bhilqnBHILQN":
        name = _SIGNED[view.itemsize]
        return pa.type_for_alias(name if code.islower() else f"u{name}")
    return None
