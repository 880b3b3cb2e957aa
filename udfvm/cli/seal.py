"""``udfvm seal``, ``udfvm prepare``, ``udfvm extension``: what programs without Python need to run
functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import size_of
from udfvm.errors import Error, SealError
from udfvm.functions.failing_files import failure
from udfvm.limits import DEFAULT_MEMORY, Limits
from udfvm.load.libraries import checked_packages
from udfvm.texts import listed

if TYPE_CHECKING:
    from udfvm.functions.function import Function
    from udfvm.sqlite.sealed import Entry


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
@click.option("--namespace", default="", help="Seal each function as NAMESPACE_NAME.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one function to this file, for vm_attach, not to the cache.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace a function that another file sealed under the name, or the output file.",
)
@json_option()
def seal(
    file: Path,
    names: tuple[str, ...],
    namespace: str,
    output: Path | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Seals the UDFs of a file for programs without Python.

    FILE is a Python file. With NAMES, only these of its UDFs are sealed. The sqlite3 shell with the
    extension loaded can call them, for example.

    The command imports FILE: all of its code except the bodies of UDFs runs on this host, outside
    of any micro-VM, with your rights. Seal only files that you would run.
    """
    udfs = _run(file)
    missing = [name for name in names if name not in udfs]
    if missing or not udfs:
        raise SealError(
            f"{file} does not define a UDF {missing[0]!r}, but {listed(udfs, 'and')}"
            if udfs
            else f"{file} defines no UDF: decorate a function with @udfvm.udf"
        )
    chosen = [udfs[name] for name in names or udfs]
    if output is None:
        made = [(udf, *entry.store()) for udf, entry in _entries(file, chosen, namespace, replace)]
        if as_json:
            print_json([{**_described(udf, name), "replaced": old} for udf, name, old in made])
            return
        for udf, name, replaced in made:
            click.echo(f"{name}{_signature(udf)}{' (replaced)' if replaced else ''}")
        return
    if len(chosen) != 1:
        raise SealError(
            f"--output takes one function, and {file} has {', '.join(udfs)}: name one of them"
        )
    from udfvm.sqlite import sealed
    from udfvm.sqlite.sealed_file import write_sealed_file

    name = sealed.sealed_name(chosen[0], namespace)
    write_sealed_file(output, sealed.sealed_note(chosen[0], name), replace=replace)
    if as_json:
        print_json([{**_described(chosen[0], name), "file": str(output)}])
    else:
        click.echo(f"{name}{_signature(chosen[0])} in {output}")


def _described(udf: Function, name: str) -> dict[str, object]:
    return {"name": name, "form": udf.form, "signature": _signature(udf)}


def _signature(udf: Function) -> str:
    """Returns the signature as users read it: of a table function with its columns."""
    from udfvm.functions.table import TableFunction
    from udfvm.sqlite.sealed import signature_text

    text = signature_text(udf)
    if not isinstance(udf, TableFunction):
        return text
    columns = ", ".join(f"{column.name} {column.type}" for column in udf.columns)
    return f"{text.rpartition(' -> ')[0]} -> table ({columns})"


def _run(file: Path) -> dict[str, Function]:
    """Returns the UDFs of a file. Raises SealError, which says where, if the file fails."""
    from udfvm.sqlite.sealed import udfs_of

    try:
        return udfs_of(file)
    except Error:
        raise
    except Exception as error:
        raise SealError(failure([file], error)) from error


def _entries(
    file: Path, chosen: Iterable[Function], namespace: str, replace: bool
) -> list[tuple[Function, Entry]]:
    """Returns what sealing stores, of all functions before any is stored. Raises SealError with the
    reason of each function that cannot be sealed.
    """
    from udfvm.sqlite.sealed import entry_of

    entries: list[tuple[Function, Entry]] = []
    reasons: list[Error] = []
    for udf in chosen:
        try:
            entry = entry_of(udf, namespace=namespace, source=file, replace=replace)
            entries.append((udf, entry))
        except Error as error:
            reasons.append(error)
    if reasons and entries:
        names = " ".join(udf.name for udf, _ in entries)
        why = "; ".join(map(str, reasons))
        raise SealError(
            f"{why}. Nothing was sealed. To seal the other functions, name them:"
            f" udfvm seal {file} {names}"
        ) from reasons[0]
    if reasons:
        raise reasons[0]
    return entries


@click.command()
@click.option(
    "--package",
    "packages",
    multiple=True,
    help="A module that stored functions may import; may be given several times.",
)
@click.option(
    "--memory",
    callback=size_of,
    default=str(DEFAULT_MEMORY),
    help="Guest memory, from 16MiB to 64GiB. Default: 512MiB.",
)
@json_option()
def prepare(packages: tuple[str, ...], memory: int, as_json: bool) -> None:
    """Builds what loads functions stored in databases.

    Programs without Python, such as the sqlite3 shell, need these images to call functions that
    `vm_create` stored.
    """
    from udfvm.sqlite import sealed

    made = sealed.prepare(checked_packages(packages), Limits.parse(memory=memory).memory)
    if as_json:
        print_json([str(path) for path in made])
        return
    for path in made:
        click.echo(path)


@click.command()
@json_option()
def extension(as_json: bool) -> None:
    """Prints the path of the SQLite extension.

    The sqlite3 shell takes it by `.load`.
    """
    from udfvm.sqlite import EXTENSION

    if as_json:
        print_json({"extension": str(EXTENSION)})
    else:
        click.echo(EXTENSION)
