"""A sample warms a function up while its image is built."""

from __future__ import annotations

import pyarrow as pa
import pytest
from scalar_functions import score

import udfvm


def test_samples_warm_up() -> None:
    cache: dict[str, int] = {}

    @udfvm.udf(sample=(5,))
    def cached(x: int) -> int:
        hits = cache.get("hits", 0)
        cache["hits"] = 1000
        return hits + x

    assert cached(1) == 1001

    @udfvm.udf(sample=(0,))
    def broken(x: int) -> int:
        return 1 // x

    with pytest.raises(udfvm.UDFError, match="ZeroDivisionError"):
        broken.prepare()


@pytest.mark.parametrize(
    "sample",
    [(pa.array([1.0, 2.0]), 3.0), {"distance": [1.0], "dep_delay": [2.0]}, (None, 1.0), ([], [])],
)
def test_forms_of_samples(sample: object) -> None:
    assert udfvm.udf(score.function, sample=sample)(12.0, 300.0) == 4.0


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((1.0,), "the 2 arguments of one call"),
        ({"distance": 1.0}, "no value for 'dep_delay'"),
        ((["x"], [1.0]), "sample= for 'dep_delay'"),
    ],
)
def test_wrong_samples(sample: object, message: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=message):
        udfvm.udf(score.function, sample=sample).prepare()
