"""The plugin for Datasette: its databases have the functions that its configuration names.

Datasette loads it by the entry point ``datasette-udfvm``. The configuration is that of the plugin
``udfvm``, for all databases or for one:

    plugins:
      udfvm:
        functions: [functions.py, shop.functions:score]
        times: text
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

from pluggy import HookimplMarker

from udfvm.backend import refuse_in_process
from udfvm.checks import shown
from udfvm.errors import Error, OptionError
from udfvm.keywords import check_options

_CONFIGURATION: Final = "plugins: udfvm"
_OPTIONS: Final = ("functions", "in_schema", "isolation", "times")

_implements: Final = HookimplMarker("datasette")


@_implements
def startup(datasette: Any) -> None:
    """Builds the images before the first query, and ends a server whose configuration is wrong: it
    registers the functions of each database on a connection that is closed again.

    Raises Datasette's ``StartupError``.
    """
    from datasette.utils import StartupError
    from datasette.utils.sqlite import sqlite3

    try:
        for database in datasette.databases:
            with contextlib.closing(sqlite3.connect(":memory:")) as tried:
                prepare_connection(tried, database, datasette)
    except Error as error:
        raise StartupError(str(error)) from error


@_implements
def prepare_connection(conn: Any, database: str, datasette: Any) -> None:
    """Registers the functions of a database on a connection to it.

    Raises UnsafeBackendError if functions run in this process.
    """
    functions, options = _configured(datasette, database)
    if functions:
        refuse_in_process("Datasette", "whoever writes its queries may be a stranger")
        import udfvm.sqlite

        udfvm.sqlite.register(conn, *functions, **options)


def _configured(datasette: Any, database: str) -> tuple[list[Any], dict[str, Any]]:
    """Returns the functions of a database, and the options of their registration. Raises
    OptionError, and what ``functions_named`` raises.
    """
    found = datasette.plugin_config("udfvm", database=database)
    if found is None:
        return [], {}
    if not isinstance(found, dict):
        raise OptionError(f"{_CONFIGURATION} takes options, such as functions; got {shown(found)}")
    check_options(_CONFIGURATION, found, _OPTIONS)
    from udfvm.engines.named_functions import functions_named

    folder = Path(datasette.config_dir or ".")
    names = found.get("functions", [])
    functions = functions_named(f"{_CONFIGURATION}: functions", names, folder)
    return functions, {name: value for name, value in found.items() if name != "functions"}
