"""``udfvm serve``: the functions of a file, for clients of Arrow Flight."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import click

from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import size_of
from udfvm.functions.function import Function

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK = 0.5  # seconds between two looks at the server
_STOPPING: Final = b"stopping: the batches that run end; a second signal ends them at once\n"
_TRIM_THRESHOLD: Final = -1, 64 << 20  # of glibc's mallopt: bytes that stay at a heap's end,
_MMAP_THRESHOLD: Final = -3, 32 << 20  # and of blocks that are mapped for themselves


@click.command()
@click.option(
    "--functions",
    "names",
    multiple=True,
    required=True,
    help="A Python file or an importable module; :NAME for one of its functions. May be given"
    " several times.",
)
@click.option("--listen", default="127.0.0.1:8815", show_default=True, help="Address and port.")
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="A file in PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The key of the certificate.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file of clients, each a line with a name and a token.",
)
@click.option("--calls", default=64, show_default=True, help="Calls that run at once.")
@click.option("--calls-per-client", default=32, show_default=True, help="Of each client.")
@click.option(
    "--max-batch", callback=size_of, default="32MiB", show_default=True, help="Bytes of a batch."
)
@click.option("--max-rows", default=1 << 20, show_default=True, help="Rows of a batch.")
@click.option(
    "--idle-timeout",
    default=60.0,
    show_default=True,
    help="Seconds that a call waits for the client to send.",
)
@json_option("Print one JSON object when the server listens.")
def serve(names: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Serves functions to clients of Arrow Flight.

    The command imports the files: all of their code except the bodies of UDFs runs on this host,
    with your rights. Clients are strangers: each of their calls runs in a micro-VM.

    SIGTERM or Ctrl-C stops the server: batches that run end, others are refused. A second signal
    ends them at once.
    """
    from udfvm.engines.flight import Server
    from udfvm.engines.named_functions import functions_named

    functions = functions_named("--functions", list(names), Path())
    keep_freed_memory()
    with Server(*functions, **options) as server:
        _stop_at_signals(server, is_silent=as_json)
        if as_json:
            print_json({"location": server.location, "functions": list(map(_described, functions))})
        else:
            for each in functions:
                click.echo(_line(each))
            click.echo(f"listening on {server.location}")
        while not server.wait(_LOOK):
            pass


def keep_freed_memory() -> None:
    """Makes memory that batches leave serve the next ones. By itself the C library gives it back to
    the system, which then clears it, page by page, for each batch.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it
    if set_option is not None:
        for option, value in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            set_option(option, value)


def _line(function: Function) -> str:
    return repr(function)[1:-1]


def _described(function: Function) -> dict[str, object]:
    signature = "(" + _line(function).partition("(")[2]
    return {"name": function.name, "form": function.form, "signature": signature}


def _stop_at_signals(server: Any, *, is_silent: bool) -> None:
    """Makes the first signal stop the server, and the second end it at once."""
    seen: list[int] = []

    def handle(number: int, _: object) -> None:
        # The second may come while this runs for the first: so it is noted before all else. A
        # signal may also interrupt a print, and Python's files refuse a second one within it.
        seen.append(number)
        server.begin_stop(at_once=len(seen) > 1)
        if len(seen) == 1 and not is_silent and sys.stdout is not None:
            with contextlib.suppress(OSError):  # nobody reads it
                os.write(sys.stdout.fileno(), _STOPPING)

    for each in _SIGNALS:
        signal.signal(each, handle)
