"""``udfvm inspect``: the functions in a file of compiled code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from udfvm.call.pool import pool_of
from udfvm.cli.program import json_option, print_json
from udfvm.functions.contents import Contents, contents_of
from udfvm.functions.wasm_settings import module_code
from udfvm.guest_text import visible


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option()
@click.option("--memory", default="256MiB", show_default=True, help="Memory of the micro-VM.")
def inspect(file: Path, as_json: bool, memory: str) -> None:
    """Lists the functions in a file of compiled code.

    FILE is a WebAssembly module or component, a shared object, or an executable. A micro-VM reads
    it.
    """
    label = str(file)
    found = contents_of(module_code(None, file), label, memory=memory, pool=pool_of(label, None))
    if as_json:
        print_json(_described(label, found))
    else:
        click.echo(_text(found))


def _described(label: str, found: Contents) -> dict[str, Any]:
    return {
        "file": label,
        "language": found.language,
        "functions": [
            {
                "name": each.name,
                "kind": each.kind,
                "signature": each.signature,
                "usable": each.usable,
            }
            for each in found.exports
        ],
        "imports": [each._asdict() for each in found.imports],
    }


def _text(found: Contents) -> str:
    """Returns a line for each function and import. Names are what a stranger's code says."""
    lines = []
    for each in found.exports:
        types = f"{each.signature or 'needs signature='} [{each.kind}]"
        lines.append(f"{each.name} {types if each.usable else f'[no: {each.kind}]'}")
    missing = [each for each in found.imports if each.provided_by is None]
    if missing:
        component = any(each.kind == "function of a component" for each in found.exports)
        lines.append(f"It needs, in host_functions={'' if component else ' or modules='}:")
        lines.extend(f"  {each.name} {each.type}" for each in missing)
    return "\n".join(visible(line, keep="") for line in lines or ["It has no functions."])
