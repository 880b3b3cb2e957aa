"""What work of a soak finds is compared."""

from __future__ import annotations

from collections.abc import Callable


def equal(found: object, expected: object) -> None:
    """Raises if a result is not what it should be."""
    alike = found.equals(expected) if hasattr(found, "equals") else found == expected
    if not alike:
        raise RuntimeError(f"{str(found)[:200]} is not {str(expected)[:200]}")


def fails_with(errors: type[BaseException] | tuple[type[BaseException], ...], text: str,
               call: Callable[[], object]) -> None:  # fmt: skip
    """Raises unless the call does, with such an error that has the text."""
    try:
        call()
    except errors as error:
        if text in str(error):
            return
        raise
    raise RuntimeError(f"no error has {text!r}")
