"""The bodies that ``bench/engines.py`` measures, in micro-VMs and in the process; their rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import udfvm

TYPES = ["double", "double"]
WAYS = ("python_vm", "python_own", "numpy_vm", "numpy_own")

Ways = dict[str, Callable[[], Any]]


def percent(part: float, whole: float) -> float:
    return part / whole * 100 if whole else 0.0


def percents(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / whole * 100


def functions() -> tuple[udfvm.ScalarFunction, udfvm.ScalarFunction]:
    """The bodies in micro-VMs: the one in Python, and that of numpy."""
    types = {"input_types": TYPES, "output_type": "double"}
    return udfvm.udf(percent), udfvm.udf(percents, vectorized=True, elementwise=True, **types)


def delays(rows: int) -> dict[str, np.ndarray]:
    """The columns of all engines."""
    numbers = np.arange(rows)
    return {"delay": (numbers % 301 - 20.0), "distance": (numbers % 2475 + 17.0)}
