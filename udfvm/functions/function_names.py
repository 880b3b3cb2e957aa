"""The names that functions can have."""

from __future__ import annotations

from udfvm.errors import SignatureError
from udfvm.static_typing import Final

MAX_NAME: Final = 255  # bytes


def _similar_name(name: str) -> str:
    """Returns an identifier for a function of a component or a module for arrow-udf."""
    import keyword
    import re

    made = re.sub(r"\W+", "_", name.rpartition("#")[2].partition("(")[0]).strip("_")
    return made if made.isidentifier() and not keyword.iskeyword(made) else "score"


def checked_name(name: object) -> str:
    """Returns the name if a function can have it. Raises SignatureError otherwise."""
    if name == "":
        raise SignatureError("the name of a UDF is empty: pass name=, an identifier")
    if not isinstance(name, str) or not name.isidentifier():
        if name is None:  # as of an object with __call__
            raise SignatureError("the function has no name: pass name=, an identifier")
        raise SignatureError(
            f"{name!r} cannot be the name of a UDF, which is an identifier: pass name=, such as"
            f" name={_similar_name(str(name))!r}"
        )
    if len(name.encode()) > MAX_NAME:
        raise SignatureError(
            f"the name {name[:32]!r}... is longer than {MAX_NAME} bytes: pass name="
        )
    return name
