"""Results that are JSON text, as the dictionaries and lists that they stand for."""

from __future__ import annotations

from udfvm.errors import ProtocolError
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from udfvm.codec.containers import Container


def json_value(text: str | None) -> Any:
    """Returns the value of JSON text that a guest wrote; None for None. Raises ValueError for what
    is no JSON.

    >>> json_value('{"x": [1, null]}')
    {'x': [1, None]}
    """
    if text is None:
        return None
    from udfvm.types.json_text import from_json  # which imports json, for such functions alone

    return from_json(text)


def json_values(texts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the values of an array of JSON texts. Raises ValueError."""
    import numpy as np

    values = np.empty(len(texts), dtype=object)
    for index, text in enumerate(texts):  # assigned one by one, or lists would be rows of it
        values[index] = json_value(text)
    return values


def parsed_result(function: str, container: Container, result: Any) -> Any:
    """Returns a result that is JSON, as Python has it; in columns of Arrow it is text. Raises
    ProtocolError.
    """
    try:
        if container.name == "SCALAR":
            return json_value(result)
        return json_values(result) if container.name == "NUMPY" else result
    except ValueError as error:
        raise ProtocolError(f"UDF {function!r}: the guest's reply is not valid: {error}") from error
