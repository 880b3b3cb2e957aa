"""``udfvm seal``, ``udfvm prepare``, ``udfvm extension``: what programs without Python need to run functions."""

from __future__ import annotations

from pathlib import Path

import click

from udfvm.errors import Error
from udfvm.policy import DEFAULT_MEMORY, parse_size


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
def seal(file: Path, names: tuple[str, ...]) -> None:
    """Seals the UDFs of a Python FILE (or those NAMES), for use from the sqlite3 shell with the extension loaded."""
    from udfvm.sqlite import sealed

    udfs = sealed.udfs_of(file)
    missing = [name for name in names if name not in udfs]
    if missing or not udfs:
        raise Error(f"{file} defines no UDF {missing[0] if missing else ''}".rstrip())
    for name in names or udfs:
        sealed.seal(udfs[name])
        click.echo(f"{name}{sealed.signature_text(udfs[name])}")


@click.command()
@click.option("--package", "packages", multiple=True, help="A module that stored functions may import; may be given several times.")
@click.option("--memory", default=str(DEFAULT_MEMORY), help="Guest memory, such as 512MiB.")
def prepare(packages: tuple[str, ...], memory: str) -> None:
    """Builds what loads functions stored in databases, for programs without Python."""
    from udfvm.sqlite import sealed

    try:
        size = parse_size(memory)
    except ValueError as error:
        raise Error(str(error)) from error
    for path in sealed.prepare(packages, size):
        click.echo(path)


@click.command()
def extension() -> None:
    """Prints the path of the loadable extension, for `.load` of the sqlite3 shell."""
    from udfvm.sqlite import EXTENSION

    click.echo(EXTENSION)
