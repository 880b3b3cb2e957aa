"""``udfvm cache``: the images on disk."""

from __future__ import annotations

import time

import click
from rich.table import Table

from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import console, print_table, size_of
from udfvm.images import cache as images
from udfvm.images.base import CODE
from udfvm.images.cache import CacheEntry
from udfvm.images.cache_files import cache_directory, cache_size
from udfvm.images.cache_listing import stored_bytes
from udfvm.texts import counted, format_size


@click.group()
def cache() -> None:
    """Lists the images on disk, or removes them."""


def _content(entry: CacheEntry) -> str:
    if not entry.report:
        return "unreadable; it is rebuilt when it is next needed"
    if entry.kind == "layer":
        return str(entry.report.get("name", ""))
    if (runtime := entry.report.get("runtime", "python")) != "python":
        return f"runtime of {CODE[runtime]}"
    packages = ", ".join(entry.report.get("packages", [])) or "no packages"
    return f"Python {entry.report.get('python', '?')}: {packages}"


def _system_calls(entry: CacheEntry) -> str:
    served, trapped = entry.report.get("syscalls"), entry.report.get("trapped_syscalls")
    return (
        "" if served is None else f"{served}" if trapped is None else f"{served}, {trapped} trapped"
    )


def _use(entry: CacheEntry) -> dict[str, str]:
    return {
        "image": entry.path.name[:12],
        "kind": entry.kind,
        "size": format_size(entry.stored_bytes),
        "last used": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used)),
        "content": _content(entry),
    }


def _build(entry: CacheEntry) -> dict[str, str]:
    unknown = entry.report.get("unknown_syscalls", {})
    return {
        "image": entry.path.name[:12],
        "content": _content(entry),
        "built in": f"{entry.report.get('seconds', 0):.2f} s",
        "system calls": _system_calls(entry),
        "not implemented": ", ".join(f"{name} x{count}" for name, count in unknown.items()),
    }


def _described(entry: CacheEntry) -> dict[str, object]:
    return {
        "image": entry.path.name,
        "kind": entry.kind,
        "bytes": entry.stored_bytes,
        "used": entry.used,
        "content": _content(entry),
        "report": entry.report,
    }


@cache.command(name="list")
@click.option("--builds", is_flag=True, help="Show what each build took: time, system calls.")
@json_option()
def list_images(builds: bool, as_json: bool) -> None:
    """Shows each image: kind, size on disk, last use, content."""
    entries = images.cache_entries()
    total = stored_bytes() if entries else 0
    if as_json:
        print_json(
            {
                "directory": str(cache_directory()),
                "bytes": total,
                "max_bytes": cache_size(),
                "images": [_described(entry) for entry in entries],
            }
        )
        return
    rows = [(_build if builds else _use)(entry) for entry in entries]
    table = Table(box=None)
    for heading in rows[0] if rows else ():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    out = console()
    if entries:
        print_table(out, table)
    else:
        out.print("no images")
    out.print(
        f"{cache_directory()}: {counted(len(entries), 'image')}, {format_size(total)} of at most"
        f" {format_size(cache_size())}"
    )


@cache.command()
@click.option(
    "--size",
    callback=size_of,
    help="The size to reach, such as 2GiB. Default: UDFVM_CACHE_SIZE, or 8GiB.",
)
@json_option()
def prune(size: int | None, as_json: bool) -> None:
    """Removes images until the cache has its size.

    It removes what killed builds left, and then the images that were used longest ago. Images that
    a process uses stay, and so do those of sealed functions and prepared runtimes.
    """
    done = images.prune(size)
    if as_json:
        print_json({"directory": str(cache_directory()), **done._asdict()})
        return
    removed, left = format_size(done.removed_bytes), format_size(done.left_bytes)
    click.echo(
        f"{counted(done.files, 'file')} removed, {removed}; {left} are left in {cache_directory()}"
    )


@cache.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also remove sealed functions and prepared runtimes."
)
@json_option()
def clear(everything: bool, as_json: bool) -> None:
    """Removes images that can be built again.

    An image is rebuilt when it is next needed. Those of sealed functions and prepared runtimes
    stay: no program without Python can build them. `--all` removes these too.
    """
    done = images.clear_cache(everything=everything)
    if as_json:
        print_json({"directory": str(cache_directory()), **done._asdict()})
        return
    kept = (
        f"; {done.kept} of sealed functions and prepared runtimes are kept (--all removes them)"
        if done.kept
        else ""
    )
    click.echo(f"{counted(done.removed, 'image')} removed from {cache_directory()}{kept}")
