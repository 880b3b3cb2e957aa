"""Functions that the tests of calls share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import udfvm

SCALE = 100


class OddError(ValueError):
    """An exception of the user's own."""


def helper(value: float) -> float:
    return value * SCALE


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else helper(dep_delay) / distance


@udfvm.udf
def fails_on_odd(value: int) -> int:
    if value % 2:
        raise OddError(f"{value} is odd")  # the line that the traceback shows
    return value


@udfvm.udf(vectorized=True)
def doubled(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    assert isinstance(x, np.ndarray)
    return x * 2
