"""A table function and an aggregate that tests call in every engine, each under names of its own,
by which reports and statistics tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import udfvm


@udfvm.table_function(columns={"word": str})
def words(text: str) -> Iterator[tuple[str]]:
    for word in text.split():
        yield (word,)


@udfvm.aggregate
class Total:
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, x: float) -> None:
        self.sum += x

    def finish(self) -> float:
        return self.sum
