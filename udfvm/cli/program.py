"""The command as a program: options that all commands have, errors on one line, exit codes.

An error is one line on standard error, which says what to do. ``--traceback``, or the environment
variable ``UDFVM_DEBUG``, shows the rest of it. With ``--json`` the line is a JSON object.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, TypeVar

import click

from udfvm.errors import CallError, Error, UDFError, shows_whole_errors
from udfvm.guest_text import visible
from udfvm.tracebacks import library_of, without_advice

#: Exit codes, as docs/command_line.md lists them.
FAILED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT
BROKEN_PIPE: Final = 128 + signal.SIGPIPE
TERMINATED: Final = 128 + signal.SIGTERM

_MAX_LINE: Final = 1000  # characters of an error
_LINE: Final = re.compile(r'^  File "([^"]*)", line (\d+)', re.MULTILINE)
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Settings:
    """What the options that all commands have say.

    Attributes:
        as_json: True for output, and errors, as JSON.
        traceback: True for errors as a whole.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.traceback = shows_whole_errors()


class Terminated(BaseException):
    """SIGTERM, or SIGHUP: what was begun is to be cleaned up, as after Ctrl-C."""


class _Ended(Exception):
    """A command has ended early, for a reason that click would tell in its own way."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason


class Commands(click.Group):
    """A group of commands, each of which has ``--traceback``."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Adds a command, or a group of them."""
        for command in _leaves(cmd):
            if not any("--traceback" in each.opts for each in command.params):
                command.params.append(
                    click.Option(
                        ["--traceback"],
                        is_flag=True,
                        expose_value=False,
                        callback=_set_traceback,
                        help="Show errors as a whole, as UDFVM_DEBUG=1 does.",
                    )
                )
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command, and writes what it said to the end. Raises ``_Ended`` where click would
        say more than one line, or less.
        """
        try:
            result: object = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except Error:
            raise
        except (OSError, KeyboardInterrupt) as error:
            raise _Ended(error) from error
        return result


def _leaves(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _leaves(each)
    else:
        yield command


def _set_traceback(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Settings).traceback = True


def json_option(text: str = "Print one JSON object.") -> Callable[[_Function], _Function]:
    """The option ``--json``, which a command gets as ``as_json``. ``text`` is its help."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> bool:
        if value:
            context.ensure_object(Settings).as_json = True
        return value

    return click.option("--json", "as_json", is_flag=True, callback=remember, help=text)


def print_json(value: object) -> None:
    """Prints what a command says as JSON, in ASCII: names may be a stranger's."""
    click.echo(json.dumps(value, indent=2))


def run_program(commands: Commands) -> int:
    """Runs the command of this process's arguments. Returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    try:
        return _run(commands, Settings())
    except BrokenPipeError:  # what goes wrong cannot be told either
        _forget_output()
        return BROKEN_PIPE


def _run(commands: Commands, settings: Settings) -> int:
    try:
        code = commands.main(prog_name="udfvm", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else FAILED
    except click.ClickException as error:
        click.echo(_usage(error), err=True)
        return error.exit_code
    except _Ended as ended:
        return _code_after(ended.reason, settings)
    except (Error, Terminated) as error:
        return _code_after(error, settings)


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx and message == error.ctx.get_help():
        return message  # of a group without a command, on its lines
    message = " ".join(message.split()).rstrip(".")
    if not isinstance(error, click.UsageError):
        return f"udfvm: {message}"
    path = error.ctx.command_path if error.ctx else "udfvm"
    return f"udfvm: {message} ('{path} --help' has the options)"


def _code_after(reason: BaseException, settings: Settings) -> int:
    if isinstance(reason, BrokenPipeError):
        _forget_output()
        return BROKEN_PIPE
    if isinstance(reason, KeyboardInterrupt):
        click.echo("udfvm: interrupted", err=True)
        return INTERRUPTED
    if isinstance(reason, Terminated):
        click.echo("udfvm: terminated", err=True)
        return TERMINATED
    _tell(reason, settings)
    if not isinstance(reason, Error):
        _forget_output()  # which may be what failed, and would fail again at the end
    return FAILED


def _terminate(_: int, __: FrameType | None) -> None:
    raise Terminated


def _forget_output() -> None:
    """Leads the output nowhere, so that the end of the process does not write to it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for each in (1, 2):
        os.dup2(nowhere, each)
    os.close(nowhere)


def _tell(error: BaseException, settings: Settings) -> None:
    if settings.traceback:
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    if settings.as_json:
        told: dict[str, object] = {"error": type(error).__name__, "message": one_line(error)}
        if isinstance(error, CallError):
            told |= {"udf": error.udf, "row": error.row}
        click.echo(json.dumps(told), err=True)
    else:
        click.echo(f"udfvm: {one_line(error)}", err=True)


def one_line(error: BaseException) -> str:
    """Returns an error as one line.

    >>> one_line(udfvm.UDFError("ValueError", "odd", '  File "<f>", line 2, in f', "f", 7))
    "UDF 'f', row 7: ValueError: odd (line 2 of its file)"
    >>> one_line(udfvm.UDFError("SyntaxError", "odd (f.py, line 2)", '  File "f.py", line 2', "f"))
    "UDF 'f': SyntaxError: odd (f.py, line 2)"
    >>> one_line(udfvm.BuildError("it does not compile", "a.c:1: ..."))
    'it does not compile (--traceback shows more)'
    """
    if isinstance(error, OSError) and not isinstance(error, Error):
        name = "" if error.filename is None else f"{error.filename}: "
        return visible(f"{name}{error.strerror or error}", keep="")
    first, *others = str(error).strip().splitlines() or [type(error).__name__]
    notes = [note.removeprefix("udfvm: ") for note in getattr(error, "__notes__", ())]
    if isinstance(error, UDFError):
        frames, advice = without_advice(error.guest_traceback)
        more, notes = _place(error, first, frames), [*filter(None, [advice]), *notes]
    else:
        more = " (--traceback shows more)" if others else ""
    text = first if len(first) <= _MAX_LINE else f"{first[:_MAX_LINE]} …"
    return visible("; ".join([text + more, *notes]), keep="")


def _place(error: UDFError, first: str, frames: str) -> str:
    """Returns the line of the user's own that failed, or else that of a library; empty if there is
    none, and if the first line of the error has it.
    """
    places = _LINE.findall(frames)
    if not places:
        return ""
    file, line = next((each for each in reversed(places) if not library_of(each[0])), places[-1])
    if first.endswith(f", line {line})"):
        return ""
    return f" (line {line} of {'its file' if file == f'<{error.udf}>' else file.strip('<>')})"
