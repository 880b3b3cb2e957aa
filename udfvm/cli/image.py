"""``udfvm image``: sealed functions as archives that registries carry."""

from __future__ import annotations

from pathlib import Path

import click

from udfvm.cli.program import json_option, print_json

_KEY = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def image() -> None:
    """Moves sealed functions as OCI image layouts."""


@image.command("export")
@click.argument("function", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--sign", metavar="KEY.pem", type=_KEY, help="The private key that signs it.")
@click.option("--replace", is_flag=True, help="Replace a tar file that exists.")
@json_option()
def export(function: Path, archive: Path, sign: Path | None, replace: bool, as_json: bool) -> None:
    """Writes a function as an archive, and prints its digest.

    FUNCTION is a file of `udfvm seal --output`. ARCHIVE is an OCI image layout: a tar file if its
    name ends with .tar, else a folder. The key is one of Ed25519 in PEM, as `openssl genpkey
    -algorithm ed25519` makes it.
    """
    from udfvm.sqlite.archive import export_image

    digest = export_image(function, archive, sign=sign, replace=replace)
    if as_json:
        print_json({"archive": str(archive), "digest": str(digest)})
    else:
        click.echo(digest)


@image.command("import")
@click.argument("archive", type=click.Path(exists=True, path_type=Path))
@click.argument("function", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--digest", help="The digest that the archive must have, as the export printed it.")
@click.option(
    "--signed-by",
    metavar="KEY.pem",
    type=_KEY,
    multiple=True,
    help="A public key that must have signed the archive; of several, one.",
)
@click.option("--replace", is_flag=True, help="Replace a file that exists.")
@json_option()
def import_(
    archive: Path,
    function: Path,
    digest: str | None,
    signed_by: tuple[Path, ...],
    replace: bool,
    as_json: bool,
) -> None:
    """Writes the function in an archive as a file for vm_attach.

    ARCHIVE is a folder or a tar file of `udfvm image export`, however it travelled. Pass --digest
    or --signed-by if it came from others: only then it must be the function that was exported, or
    one of those that the owner of the key exported.
    """
    from udfvm.sqlite.archive import import_image

    name = import_image(archive, function, digest=digest, signed_by=signed_by, replace=replace)
    if as_json:
        print_json({"name": name, "file": str(function)})
    else:
        click.echo(f"{name} in {function}")
