"""Host functions that the tests share, and what they were called with."""

from __future__ import annotations

import threading
from typing import Any

import udfvm

RATES = {"EUR": 1.0, "USD": 1.25}
seen: list[tuple[Any, ...]] = []


def rate(currency: str) -> float | None:
    seen.append((currency, threading.get_ident()))
    return RATES.get(currency)


@udfvm.udf(host_functions=[rate])
def convert(amount: float, currency: str) -> float | None:
    found = rate(currency)
    return None if found is None else amount * found
