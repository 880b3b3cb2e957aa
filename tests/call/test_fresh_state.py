"""A call sees nothing that an earlier one wrote."""

from __future__ import annotations

import random

import pyarrow as pa

import udfvm

STATE = {"calls": 0}


@udfvm.udf
def calls_so_far(_: int) -> int:
    STATE["calls"] += 1
    return STATE["calls"]


def test_what_a_call_wrote_is_gone_in_the_next() -> None:
    assert [calls_so_far(0) for _ in range(3)] == [1, 1, 1]
    assert calls_so_far(pa.array([0, 0, 0])).to_pylist() == [1, 2, 3]
    assert calls_so_far(0) == 1


def test_files_are_gone_in_the_next_call() -> None:
    @udfvm.udf
    def append(text: str) -> str:
        with open("/tmp/state", "a+") as file:  # noqa: PTH123
            file.write(text)
            file.seek(0)
            return file.read()

    assert append("a") == "a"
    assert append("b") == "b"


def test_randomness_is_fresh_in_each_call() -> None:
    @udfvm.udf
    def rolled(_: int) -> float:
        return random.random()

    @udfvm.udf(deterministic=True)
    def fixed(_: int) -> float:
        return random.random()

    assert len({rolled(0) for _ in range(5)}) == 5
    assert len({fixed(0) for _ in range(5)}) == 1
