"""The plugin for sqlite-utils: each database that it opens has the functions that the environment
variable ``UDFVM_FUNCTIONS`` names, separated by commas.

sqlite-utils loads it by the entry point ``sqlite-utils-udfvm``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click
from pluggy import HookimplMarker

from udfvm.errors import Error

_implements: Final = HookimplMarker("sqlite_utils")


@_implements
def prepare_connection(conn: Any) -> None:
    """Registers the functions. Raises what ``functions_named`` and ``udfvm.sqlite.register``
    raise; in a command of sqlite-utils, which tells it on one line, its ``ClickException``.
    """
    names = [
        name for each in os.environ.get("UDFVM_FUNCTIONS", "").split(",") if (name := each.strip())
    ]
    if not names:
        return
    import udfvm.sqlite
    from udfvm.engines.named_functions import functions_named

    try:
        udfvm.sqlite.register(conn, *functions_named("UDFVM_FUNCTIONS", names, Path()))
    except Error as error:
        if click.get_current_context(silent=True) is None:
            raise
        raise click.ClickException(str(error)) from error
