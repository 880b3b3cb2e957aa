"""``udfvm cache``: the images on disk."""

from __future__ import annotations

import time

import click
from rich.table import Table

from udfvm.cli.terminal import console, size_of
from udfvm.images import cache as images
from udfvm.images.cache import CacheEntry
from udfvm.images.cache_files import cache_directory, cache_size
from udfvm.images.cache_listing import stored_bytes
from udfvm.texts import format_size


@click.group()
def cache() -> None:
    """Lists the sealed images on disk, or removes them."""


def _content(entry: CacheEntry) -> str:
    if not entry.report:
        return "unreadable; it is rebuilt when it is next needed"
    if entry.kind == "layer":
        return str(entry.report.get("name", ""))
    return (
        f"Python {entry.report.get('python', '?')}: {', '.join(entry.report.get('packages', []))}"
    )


def _system_calls(entry: CacheEntry) -> str:
    served, trapped = entry.report.get("syscalls"), entry.report.get("trapped_syscalls")
    return (
        "" if served is None else f"{served}" if trapped is None else f"{served}, {trapped} trapped"
    )


@cache.command(name="list")
def list_images() -> None:
    """Shows every image: kind, size on disk, last use, content, and what its build took."""
    entries = images.cache_entries()
    table = Table(box=None)
    for heading in (
        "image",
        "kind",
        "size",
        "last used",
        "content",
        "built in",
        "system calls",
        "not implemented",
    ):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        unknown = ", ".join(
            f"{name} x{count}" for name, count in entry.report.get("unknown_syscalls", {}).items()
        )
        table.add_row(
            entry.path.name[:12],
            entry.kind,
            format_size(entry.stored_bytes),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used)),
            _content(entry),
            f"{entry.report.get('seconds', 0):.2f} s",
            _system_calls(entry),
            unknown,
        )
    out = console()
    out.print(table if entries else "no images", markup=False)
    total = stored_bytes() if entries else 0
    out.print(
        f"{cache_directory()}: {len(entries)} images, {format_size(total)} of at most"
        f" {format_size(cache_size())}"
    )


@cache.command()
@click.option(
    "--size",
    callback=size_of,
    help="The size to reach, such as 2GiB. Default: UDFVM_CACHE_SIZE, or 8GiB.",
)
def prune(size: int | None) -> None:
    """Removes leftovers of killed builds, and the least recently used images until the cache has
    its size.

    Images that a process uses stay, and so do those of sealed functions and prepared runtimes.
    """
    done = images.prune(size)
    removed, left = format_size(done.removed_bytes), format_size(done.left_bytes)
    click.echo(f"{done.files} files removed, {removed}; {left} are left in {cache_directory()}")


@cache.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also remove sealed functions and prepared runtimes."
)
def clear(everything: bool) -> None:
    """Removes all images but those of sealed functions and prepared runtimes.

    An image is rebuilt when it is next needed. Those of sealed functions and prepared runtimes
    cannot be: no program without Python can build them. `--all` removes these too.
    """
    done = images.clear_cache(everything=everything)
    kept = (
        f"; {done.kept} of sealed functions and prepared runtimes are kept (--all removes them)"
        if done.kept
        else ""
    )
    click.echo(f"{done.removed} images removed from {cache_directory()}{kept}")
