"""The error for what is not a type."""

from __future__ import annotations

from collections.abc import Sequence

from udfvm.static_typing import Final

SEE_TYPES: Final = "see Types in docs/reference.md"

# What names of other systems, and names without their parameters, may stand for.
_MEANT: Final = {
    **dict.fromkeys(("text", "varchar", "char", "json"), "string"),
    **dict.fromkeys(("integer", "bigint", "long"), "int64"),
    "real": "double",
    "blob": "binary",
    "timestamp": "timestamp[us]",
    "time32": "time32[ms]",
    "time64": "time64[us]",
    "duration": "duration[us]",
    **dict.fromkeys(("decimal", "decimal128", "numeric"), "decimal128(38, 18)"),
    "list": "list<int64>",
    "struct": "struct<x: double>",
    **dict.fromkeys(("map", "dict"), "map<string, int64>"),
}


def unsupported(given: object, names: Sequence[str]) -> ValueError:
    """Returns the error for what is not a supported type. ``names`` are those of types without
    parameters.

    >>> str(unsupported("int65", ["int32", "int64"]))
    "'int65' is not a supported type: did you mean 'int64'? (see Types in docs/reference.md)"
    """
    import difflib  # for errors alone

    known = [*names, "string_view", "binary_view"]
    close = difflib.get_close_matches(given, known, 1) if isinstance(given, str) else []
    if isinstance(given, str) and given.lower() in _MEANT:
        close = [_MEANT[given.lower()]]
    meant = f": did you mean {close[0]!r}?" if close else ""
    return ValueError(f"{given!r} is not a supported type{meant} ({SEE_TYPES})")
