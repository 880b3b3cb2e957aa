"""A drawing in SVG, as plain text: the same calls give the same bytes, whatever is installed.

A drawing has a ground of its own, so it can be read on any page, and takes its colours from the
reader's choice of light or dark.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

# The names of colours, in light and in dark.
COLOURS = {
    "ground": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "faint": ("#59636e", "#9da7b1"),
    "rule": ("#d1d9e0", "#3d444d"),
    "host": ("#e9f2fb", "#14263d"),
    "guest": ("#fdf0e0", "#33230f"),
    "blue": ("#0969da", "#58a6ff"),
    "orange": ("#bc4c00", "#f0883e"),
}
SHAPES = """\
    text { font-family: system-ui, -apple-system, "Segoe UI", Arial, sans-serif; font-size: 14px; }
    .small { font-size: 12px; }
    .title { font-size: 15px; font-weight: 600; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .hollow { fill: none; stroke-width: 2.5; }
    .dashed { stroke-dasharray: 5 4; }
    .thick { stroke-width: 3; }"""


def style() -> str:
    """The colours of fills and strokes, first in light, then in dark."""

    def rules(dark: bool) -> list[str]:
        return [
            f"    .{kind}-{name} {{ {kind}: {shades[dark]}; }}"
            for name, shades in COLOURS.items()
            for kind in ("fill", "stroke")
        ]

    dark = "\n".join(["    @media (prefers-color-scheme: dark) {", *rules(True), "    }"])
    return "\n".join(["  <style>", SHAPES, *rules(False), dark, "  </style>"])


class Drawing:
    """Collects shapes; ``svg()`` has them.

    Lengths are in pixels, from the upper left corner. Classes are those of ``SHAPES``, and
    ``fill-NAME`` and ``stroke-NAME`` for the names of ``COLOURS``.

    >>> drawing = Drawing(200, 40, "a word")
    >>> drawing.text(10, 25, "5 < 6")
    >>> '<text x="10" y="25" class="fill-ink">5 &lt; 6</text>' in drawing.svg()
    True
    """

    def __init__(self, width: int, height: int, description: str) -> None:
        self.width, self.height, self.description = width, height, description
        self.shapes: list[str] = []

    def text(self, x: float, y: float, words: str, classes: str = "fill-ink") -> None:
        """Writes words, whose line begins there."""
        self.shapes.append(f'<text x="{x:g}" y="{y:g}" class="{classes}">{escape(words)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, classes: str, corner: int = 6
    ) -> None:
        """Draws a rectangle with round corners."""
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
            f' rx="{corner}" class="{classes}"/>'
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, classes: str) -> None:
        """Draws a line."""
        self.shapes.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" class="{classes}"/>'
        )

    def arrow(self, x: float, y: float, to_x: float, to_y: float, colour: str) -> None:
        """Draws a line that ends in a head: across, or down."""
        across, size = y == to_y, 7
        back = size if (to_x < x or to_y < y) else -size
        corners = (
            [(to_x, to_y), (to_x + back, to_y - 5), (to_x + back, to_y + 5)]
            if across
            else [(to_x, to_y), (to_x - 5, to_y + back), (to_x + 5, to_y + back)]
        )
        end = (to_x + back, to_y) if across else (to_x, to_y + back)
        self.line(x, y, *end, f"stroke-{colour} hollow")
        points = " ".join(f"{at_x:g},{at_y:g}" for at_x, at_y in corners)
        self.shapes.append(f'<polygon points="{points}" class="fill-{colour}"/>')

    def dot(self, x: float, y: float, classes: str) -> None:
        """Draws a point of a plot."""
        self.shapes.append(f'<circle cx="{x:g}" cy="{y:g}" r="5.5" class="{classes}"/>')

    def svg(self) -> str:
        """The drawing as a document."""
        size = f'width="{self.width}" height="{self.height}"'
        head = f'viewBox="0 0 {self.width} {self.height}" {size} role="img"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {head}>',
                f"  <title>{escape(self.description)}</title>",
                style(),
                f'  <rect {size} rx="8" class="fill-ground"/>',
                *(f"  {shape}" for shape in self.shapes),
                "</svg>\n",
            ]
        )
