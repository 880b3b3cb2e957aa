"""The error of a call whose arguments do not fit the parameters."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from udfvm.errors import TypeMappingError
from udfvm.keywords import nearest
from udfvm.texts import counted_between


def not_bound(
    name: str,
    parameters: Sequence[str],
    optional: Collection[str],
    keywords: Collection[str],
    reason: str,
) -> TypeMappingError:
    """Returns the error of a function for the names of its parameters, of those that have defaults,
    and of the arguments that were passed by keyword. ``reason`` is what Python says.
    """
    count = counted_between(len(parameters) - len(optional), len(parameters), "argument")
    names = [each + "=" * (each in optional) for each in parameters]
    taken = f"{count} ({', '.join(names)})" if names else count
    unknown = next((each for each in keywords if each not in parameters), None)
    if unknown is not None:
        meant = nearest(unknown, parameters)
        reason = f"got an unexpected keyword argument {unknown!r}"
        reason += f": did you mean {meant}=?" if meant else ""
    return TypeMappingError(f"UDF {name!r}: {reason}; it takes {taken}")
