"""Subclasses of str are text, also inside lists."""

from __future__ import annotations

import udfvm


def test_subclasses_of_str_inside_lists() -> None:
    import enum

    class Text(str):
        pass

    class Color(enum.StrEnum):
        RED = "red"

    @udfvm.udf
    def joined(words: list[str]) -> list[str]:
        return [*words, Text("made"), Color.RED]

    assert joined([Text("a"), Color.RED, "c"]) == ["a", "red", "c", "made", "red"]
