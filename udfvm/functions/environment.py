"""Environment variables of compiled functions (``env=``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from udfvm.checks import shown
from udfvm.errors import OptionError


def environment(function: str, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields names and values. Raises OptionError for what no environment can have."""
    if not isinstance(env, Mapping):
        raise OptionError(
            f"UDF {function!r}: env= must be a mapping, such as {{'LANG': 'C'}}; got {shown(env)}"
        )
    for variable, value in env.items():
        if not isinstance(variable, str) or not variable or "=" in variable:
            raise OptionError(
                f"UDF {function!r}: env= has {variable!r}, which is not the name of a variable"
            )
        if not isinstance(value, str):
            raise OptionError(f"UDF {function!r}: env= has {shown(value)}, which is no text")
        if "\0" in variable + value:
            raise OptionError(f"UDF {function!r}: env= has a NUL character in {variable!r}")
        yield variable, value
