"""The pictures of the documentation are those of its figures, and can be read in light and dark."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench_modules import bench_module

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


DRAWING, PICTURES, QUOTATIONS = map(bench_module, ("drawing", "pictures", "quotations"))


def test_pictures_are_of_the_figures() -> None:
    """``python bench/record.py --pages`` writes them."""
    made = PICTURES.drawn(QUOTATIONS.load())
    folder = ROOT / "docs" / "pictures"
    assert {path.name for path in folder.iterdir()} == {f"{name}.svg" for name in made}
    for name, text in made.items():
        assert (folder / f"{name}.svg").read_text() == text, name


def test_other_figures_are_another_picture() -> None:
    figures = QUOTATIONS.load()
    before = PICTURES.drawn(figures)
    figures["latency"]["udf_scalar"]["p50"] *= 2
    figures["engines"]["duckdb"]["python_vm_ns_per_row"] *= 2
    after = PICTURES.drawn(figures)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"latency", "rows"}


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "pictures").iterdir()), ids=str)
def test_a_picture_stands_alone(path: Path) -> None:
    """It loads nothing, says what it is, and all lies within it."""
    text = path.read_text()
    assert not re.findall(r"href|url\(|@import|<script", text)
    root = ET.fromstring(text)
    assert (root.findtext(f"{SVG}title") or "").strip()
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for shape in root.iter():
        for name, most in (("x", width), ("x1", width), ("x2", width), ("cx", width)):
            assert 0 <= float(shape.get(name, 0)) <= most
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(shape.get(name, 0)) <= height


def luminance(colour: str) -> float:
    """As the guidelines for accessible contents (WCAG) define it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        *((ink, ground) for ink in ("ink", "faint") for ground in ("ground", "host", "guest")),
        ("orange", "ground"),
        ("ground", "blue"),
    ],
)
def test_words_stand_out(ink: str, ground: str, dark: bool) -> None:
    colours = DRAWING.COLOURS
    one, other = sorted(luminance(colours[name][dark]) for name in (ink, ground))
    assert (other + 0.05) / (one + 0.05) >= 4.5


def test_examples_of_drawings() -> None:
    failed, attempted = doctest.testmod(DRAWING)
    assert attempted and not failed
