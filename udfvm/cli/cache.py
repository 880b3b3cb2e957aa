"""``udfvm cache``: the images on disk."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from udfvm.image import CacheEntry, cache_directory, cache_entries, clear_cache


@click.group()
def cache() -> None:
    """Lists or clears the sealed images on disk."""


def _content(entry: CacheEntry) -> str:
    if not entry.report:
        return "unreadable; it is rebuilt when it is next needed"
    if entry.kind == "layer":
        return str(entry.report.get("name", ""))
    return f"Python {entry.report.get('python', '?')}: {', '.join(entry.report.get('packages', []))}"


def _system_calls(entry: CacheEntry) -> str:
    served, trapped = entry.report.get("syscalls"), entry.report.get("trapped_syscalls")
    return "" if served is None else f"{served}" if trapped is None else f"{served}, {trapped} trapped"


@cache.command(name="list")
def list_images() -> None:
    """Shows every image: kind, size on disk, content, what its build took."""
    entries = cache_entries()
    table = Table(box=None)
    for heading in ("image", "kind", "size", "content", "built in", "system calls", "not implemented"):
        table.add_column(heading)
    for entry in entries:
        unknown = ", ".join(f"{name} x{count}" for name, count in entry.report.get("unknown_syscalls", {}).items())
        table.add_row(
            entry.path.name[:12],
            entry.kind,
            f"{entry.stored_bytes / 1e6:.1f} MB",
            _content(entry),
            f"{entry.report.get('seconds', 0):.2f} s",
            _system_calls(entry),
            unknown,
        )
    console = Console(soft_wrap=True)
    console.print(table if entries else "no images")
    console.print(f"{cache_directory()}: {len(entries)} images, {sum(entry.stored_bytes for entry in entries) / 1e6:.1f} MB")


@cache.command()
def clear() -> None:
    """Removes every image. They are rebuilt when they are next needed."""
    click.echo(f"{clear_cache()} images removed from {cache_directory()}")
