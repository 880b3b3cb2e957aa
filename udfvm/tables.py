"""Names and what there is to say of each, below a title: as text, and as notebooks show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Returns an HTML table with a title, and a row for each name and text. Escapes all of it:
    names may come from a stranger.
    """
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows
    )
    caption = f'<caption style="text-align:left"><code>{escape(title)}</code></caption>'
    return f"<table>{caption}<tbody>{cells}</tbody></table>"


def text_table(title: str, rows: Sequence[tuple[str, str]], width: int = 0) -> str:
    """Returns the same as lines of text. Names have at least a width, so that tables look alike.

    >>> print(text_table("half", [("rows", "1"), ("exits", "2")]))
    half
      rows   1
      exits  2
    """
    width = max([width, *(len(name) for name, _ in rows)])
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)])
