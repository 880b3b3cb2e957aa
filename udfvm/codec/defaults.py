"""Defaults of parameters, as SQL has them: encoded as values of a row."""

from __future__ import annotations

import json
from typing import Any

from udfvm.codec.rows import encode_value
from udfvm.errors import TypeMappingError
from udfvm.types.arrow_types import JSON, Parameter, RowType, Type
from udfvm.types.records import as_dictionaries


def encoded_default(function: str, parameter: Parameter, default: Any) -> bytes | None:
    """``struct udfvm_value`` and its bytes; None for a default that a value of the type cannot be,
    or none at all.

    >>> from udfvm.types.arrow_types import named
    >>> encoded_default("f", Parameter("x", named("int64"), False), 5).hex()
    '01000000000000000500000000000000'
    """
    import inspect

    if default is inspect.Parameter.empty:
        return None
    type_: Type = parameter.type
    try:
        if type_.is_nested and default is not None:
            text = json.dumps(as_dictionaries(default))
            return encode_value(function, Parameter(parameter.name, JSON, True), text)
        return (
            encode_value(function, parameter, default)
            if type_.row not in (None, RowType.NULL)
            else None
        )
    except (TypeMappingError, TypeError, ValueError):
        return None
