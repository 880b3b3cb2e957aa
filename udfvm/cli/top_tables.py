"""The tables of ``udfvm top``, of what an observed program told twice."""

from __future__ import annotations

from typing import Any, Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from udfvm.call.reports import PHASES, duration
from udfvm.guest_text import visible
from udfvm.texts import counted, format_size

_UNKNOWN = "-"


def heading(now: dict[str, Any]) -> Text:
    """Returns the line above the tables."""
    images = [image for pool in now["pools"] for image in pool["images"]]
    live, in_use = (sum(image[name] for image in images) for name in ("live", "in_use"))
    memory = [image["memory_bytes"] for image in images]
    parts = [
        f"process {now['pid']}",
        *([_name(now["program"]).plain] if now["program"] else []),
        f"{counted(live, 'micro-VM')}, {in_use} in use",
        f"memory {_size(None if None in memory else sum(memory))}",
    ]
    if now["backend"] != "micro-vm":
        parts.append("NOT ISOLATED: functions run in the process")
    return Text(" · ".join(parts))


def pool_table(now: dict[str, Any]) -> Table:
    """Returns a table with a row for each base image of each pool."""
    table = _table("pool", "image", "size", "live", "in use", "idle", "memory", "")
    for pool in now["pools"]:
        notes = [
            *(["jailed"] if pool["jailed"] else []),
            *(["closed"] if pool["closed"] else []),
        ]
        for image in pool["images"]:
            table.add_row(
                _name(pool["name"]),
                _name(image["image"]),
                *(f"{number:,}" for number in (pool["size"], image["live"], image["in_use"])),
                f"{image['idle']:,}",
                _size(image["memory_bytes"]),
                ", ".join(notes),
            )
    return table


def function_table(before: dict[str, Any], now: dict[str, Any]) -> Table:
    """Returns a table with a row for each function and pool; rates are those since ``before``,
    unknown where that is empty.
    """
    table = _table("function", "pool", "calls", "calls/s", "rows/s", "errors", "time", *PHASES)
    earlier = {(each["function"], each["pool"]): each for each in before.get("functions", ())}
    seconds = now["seconds"] - before["seconds"] if before else 0.0
    for each in now["functions"]:
        previous = earlier.get((each["function"], each["pool"]), {})
        times = [each[f"{name}_seconds"] for name in PHASES]
        whole = sum(times)
        table.add_row(
            _name(each["function"]),
            _name(now["pools"][each["pool"]]["name"]),
            f"{each['calls']:,}",
            *(_rate(each[name] - previous.get(name, 0), seconds) for name in ("calls", "rows")),
            f"{sum(each['errors'].values()):,}",
            duration(whole),
            *(f"{time / (whole or 1.0):.0%}" for time in times),
        )
    if left_off := now["functions_left_off"]:
        table.caption = f"and {counted(left_off, 'function')} more"
    return table


def view(before: dict[str, Any], now: dict[str, Any]) -> Group:
    """Returns all of it, for a screen."""
    tables = (pool_table(now), Text(), function_table(before, now))
    return Group(heading(now), Text(), *tables, Text("Ctrl-C ends this", style="dim"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        is_text = number < 2 or not name
        justify: Literal["left", "right"] = "left" if is_text else "right"
        table.add_column(
            name, justify=justify, no_wrap=True, min_width=7 if name and is_text else 0
        )
    return table


def _name(text: object) -> Text:
    """Names may be a stranger's."""
    return Text(visible(str(text), maximum=200, keep=""))


def _size(size: int | None) -> str:
    return _UNKNOWN if size is None else format_size(size)


def _rate(count: int, seconds: float) -> str:
    return f"{max(count, 0) / seconds:,.0f}" if seconds > 0 else _UNKNOWN
