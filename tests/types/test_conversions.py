"""The table of conversions has the rule for each pair of types, and so has the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversion_cases import DECLARED, SOURCES, by_type

from udfvm.types.conversions import (
    CONVERSIONS,
    Rule,
    family,
    markdown,
    rule,
)


@pytest.mark.parametrize("name", DECLARED)
def test_the_rule_is_what_becomes_of_the_values(name: str) -> None:
    for found, good, bad in by_type(name):
        expected_rule = rule(str(found), name)
        if expected_rule is Rule.REFUSED:
            assert not good, found
        elif expected_rule is Rule.EXACT:
            assert not bad, found
        else:
            assert good, found


def test_every_family_is_tried() -> None:
    families = {family(str(found)) for found in SOURCES}
    assert {each.found for each in CONVERSIONS} <= families
    assert {each.declared for each in CONVERSIONS} - {"list", "struct", "map", "union"} == {
        family(name) for name in DECLARED
    }


def test_the_documentation_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
    assert markdown() in page
