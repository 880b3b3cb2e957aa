"""Words of texts: counts with their nouns, lists of names, sizes. Guests have a copy."""

from __future__ import annotations

from collections.abc import Iterable


def counted(count: int, noun: str) -> str:
    """Returns a count and its noun.

    >>> counted(0, "argument"), counted(1, "argument"), counted(2, "argument")
    ('0 arguments', '1 argument', '2 arguments')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def counted_between(minimum: int, maximum: int, noun: str) -> str:
    """Returns how many there may be, and the noun.

    >>> counted_between(1, 1, "argument"), counted_between(1, 2, "argument")
    ('1 argument', '1 to 2 arguments')
    """
    if minimum == maximum:
        return counted(maximum, noun)
    return f"{minimum} to {counted(maximum, noun)}"


def listed(words: Iterable[object], last: str = "or") -> str:
    """Returns a list as a sentence has it, with a word before the last.

    >>> listed(["a", "b", "c"]), listed(["a"]), listed(["a", "b"], "and")
    ('a, b or c', 'a', 'a and b')
    """
    *others, final = map(str, words)
    return f"{', '.join(others)} {last} {final}" if others else final


def format_size(size: int) -> str:
    """Returns bytes as text, in units that are powers of 1024, as ``udfvm_format_size`` of the core
    does.

    >>> format_size(512 << 20), format_size(8 << 30), format_size(1_500_000), format_size(100)
    ('512 MiB', '8 GiB', '1.4 MiB', '100 bytes')
    """
    amount, unit = float(size), "byte" if size == 1 else "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if round(amount, 1) < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"
