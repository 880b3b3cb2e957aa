"""Functions as notebooks show them: ``_repr_html_``."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from udfvm.functions.function import Function
from udfvm.texts import format_size
from udfvm.tracebacks import place_of


def html_of(function: Function) -> str:
    """Returns a table with the signature of a function, its limits, its image and where its source
    is. All text in it is escaped: names may come from a stranger.
    """
    return table_of(repr(function).strip("<>"), facts_of(function))


def facts_of(function: Function) -> list[tuple[str, str]]:
    """Returns what there is to tell of a function, as names and texts. Builds nothing."""
    limits = function.limits
    seconds = "none" if not limits.timeout_ns else f"{limits.timeout_ns / 1e9:g} s"
    output = "" if not limits.max_output else f", result {format_size(limits.max_output)}"
    facts = [
        ("runs", f"{function.language}, {function.form}, in a micro-VM"),
        ("limits", f"memory {format_size(limits.memory)}, timeout {seconds}{output}"),
        ("image", _image_of(function)),
    ]
    if function.host_functions is not None:
        names = [each["name"] for each in function.host_functions.descriptions()]
        facts.append(("may call", ", ".join(names)))
    if place := _source_of(function):
        facts.append(("source", place))
    return facts


def table_of(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Returns an HTML table with a title, and a row for each name and text."""
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows
    )
    caption = f'<caption style="text-align:left"><code>{escape(title)}</code></caption>'
    return f"<table>{caption}<tbody>{cells}</tbody></table>"


def _image_of(function: Function) -> str:
    image = function._calls.image_if_built()
    if image is None:
        return "not built yet: the first call builds it, or takes it from the cache"
    return f"{image.digest.hex()[:12]}, {format_size(image.pages * 4096)} beside its base image"


def _source_of(function: Function) -> str:
    code = getattr(function.function, "__code__", None)
    return "" if code is None else place_of(code.co_filename, code.co_firstlineno)
