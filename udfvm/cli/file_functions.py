"""Functions of files, as commands name them: ``file.py:score``.

The file may be a stranger's. Its text goes into micro-VMs, and nothing of it is evaluated,
imported or parsed on the host. What its decorators say of limits may lower those that the command
has, and not raise them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click

from udfvm.call.pool import Pool, pool_of
from udfvm.cli.terminal import size_of
from udfvm.errors import OptionError, SignatureError
from udfvm.functions.declared_source import declared_function
from udfvm.functions.function import Function
from udfvm.functions.options import parsed_options
from udfvm.functions.source_file import Declaration, SourceFile, read_file
from udfvm.keywords import nearest
from udfvm.limits import DEFAULT_BUILD_TIMEOUT, Limits
from udfvm.texts import listed

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Limits that a file may lower: the option of commands, and how a limit is less than another.
_ZERO_IS_NONE: Final = ("timeout_ns", "max_output", "build_timeout_ns")
_LOWERED: Final = {
    "memory": "memory",
    "timeout": "timeout_ns",
    "max_output": "max_output",
    "max_log": "max_log",
    "build_timeout": "build_timeout_ns",
    "files": "files",
}


_SECONDS: Final = ("timeout", "build_timeout")
#: Limits of which the command may allow more.
_ALLOWED: Final = ("memory", *_SECONDS)


class Given(NamedTuple):
    """Options of the command that are about the function; those that were not given are missing.

    ``signature`` is None if it was not given.
    """

    options: dict[str, Any]
    signature: str | None
    jail: bool

    @classmethod
    def of(cls, values: dict[str, Any]) -> Given:
        """Takes them out of what a command was given."""
        names = (*_ALLOWED, "files", "packages", "data")
        options = {name: values.pop(name) for name in names}
        known = {key: each for key, each in options.items() if each not in (None, (), {})}
        known.update({name: None for name in _SECONDS if known.get(name) == 0})
        return cls(known, values.pop("signature"), values.pop("jail"))


def _data_of(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Returns the paths of ``--data``, by name."""
    found: dict[str, str] = {}
    for each in given:
        name, equals, path = each.partition("=")
        if not (name and equals and path):
            raise click.BadParameter(f"{each!r} is not NAME=PATH, such as model=model.bin")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice")
        found[name] = path
    return found


def function_options(command: _Command) -> _Command:
    """The options of commands that run functions of files; ``Given.of`` takes them."""
    for option in (
        click.option("--jail", is_flag=True, help="Run micro-VMs in jailed processes."),
        click.option(
            "--no-files",
            "files",
            flag_value=False,
            default=None,
            help="Let calls read no files of the interpreter and packages.",
        ),
        click.option(
            "--package", "packages", multiple=True, help="A module for the base image; repeatable."
        ),
        click.option(
            "--signature", help="The types, such as '(double, text?) -> text'. Default: the file's."
        ),
        click.option(
            "--data",
            multiple=True,
            metavar="NAME=PATH",
            callback=_data_of,
            help="A file that the function finds as /data/NAME; repeatable.",
        ),
        click.option(
            "--build-timeout",
            type=float,
            help="Seconds of each step of building an image, in which the top level of the file"
            f" runs; 0 for no limit. Default: {DEFAULT_BUILD_TIMEOUT:g}.",
        ),
        click.option("--timeout", type=float, help="Seconds of a call; 0 for no limit."),
        click.option("--memory", callback=size_of, help="Guest memory, such as 1GiB."),
    ):
        command = option(command)
    return command


class FunctionPath(click.ParamType):  # type: ignore[type-arg]
    """``file.py:score``, or ``file.py`` where it has one function: a path, and a name or None."""

    name = "file.py:function"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Path, str | None]:
        """Takes the text apart."""
        if isinstance(value, tuple):
            return value
        path, colon, name = str(value).rpartition(":")
        if not colon or not name.isidentifier() or Path(value).is_file():
            return Path(value), None
        return Path(path), name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """Completes the file's name."""
        return click.Path().shell_complete(ctx, param, incomplete)


class FileFunctions:
    """The functions of a file."""

    def __init__(self, path: Path, given: Given) -> None:
        """Reads a file. Raises SourceError, and UDFError where it is no Python."""
        self._given = given
        self._pool = Pool(jail=True) if given.jail else pool_of(path.name, None)
        others = ("packages", "data")
        allowed = {key: each for key, each in given.options.items() if key not in others}
        self._limits = _limits_of(allowed)
        self._file: SourceFile = read_file(path, self._limits, self._pool)

    def one(self, name: str | None) -> Function:
        """Returns the function of a name, or the only one. Raises SignatureError."""
        known = {each.name: each for each in self._file.functions}
        path = self._file.path
        if name is None:
            chosen = self._public()
            if len(chosen) != 1:
                names = listed([each.name for each in chosen], "and") if chosen else "none"
                raise SignatureError(
                    f"{path} has {len(chosen)} functions, {names}: name one, as {path}:NAME"
                    if chosen
                    else f"{path} defines no function: define one by def, at the top of the file"
                )
            return self._made(chosen[0])
        if name not in known:
            close = nearest(name, known)
            meant = f": did you mean {close}?" if close else f": it has {listed(known, 'and')}"
            raise SignatureError(f"{path} defines no function {name!r}{meant if known else ''}")
        return self._made(known[name])

    def all(self) -> list[Function]:
        """Returns the functions that decorators of udfvm declare, or else all whose types the text
        tells. Raises SignatureError if there are none.
        """
        chosen = [each for each in self._public() if _has_types(each)]
        if not chosen:
            raise SignatureError(
                f"{self._file.path} declares no function: decorate one with @udfvm.udf, or"
                " annotate its parameters and result"
            )
        return [self._made(each) for each in chosen]

    def left_out(self) -> set[str]:
        """The names of functions that ``all`` leaves out, as the text does not tell their types."""
        return {each.name for each in self._public() if not _has_types(each)}

    def _public(self) -> list[Declaration]:
        """Returns what is declared by decorators, or else all whose names do not begin with _."""
        declared = [each for each in self._file.functions if each.declared]
        return declared or [each for each in self._file.functions if each.name[0] != "_"]

    def _made(self, found: Declaration) -> Function:
        options = {**found.options, **self._given.options}
        self._check_limits(found)
        made = declared_function(self._file, found, options, self._given.signature)
        return made.with_options(pool=self._pool)

    def _check_limits(self, found: Declaration) -> None:
        """Raises OptionError where a file asks for more than the command allows."""
        asked = {
            key: each
            for key, each in found.options.items()
            if key in _LOWERED and key not in self._given.options
        }
        limits: Limits = parsed_options(found.name, asked, self._limits)["limits"]
        for option in asked:
            field = _LOWERED[option]
            if _order(field, getattr(limits, field)) <= _order(field, getattr(self._limits, field)):
                continue
            is_allowed = option in _ALLOWED
            way = f"pass --{option.replace('_', '-')}" if is_allowed else "lower it there"
            raise OptionError(
                f"UDF {found.name!r}: {self._file.path} asks for {option}="
                f"{found.options[option]}, which is more than a file may have: {way}"
            )


def _has_types(found: Declaration) -> bool:
    """Whether the text tells the types of a function, or a decorator says that it is one."""
    told = [found.result, *(each.written for each in found.parameters)]
    return found.declared or all(each.type for each in told)


def _limits_of(given: dict[str, Any]) -> Limits:
    """Returns the limits that options of the command say. Raises UsageError for a wrong one."""
    for name, value in given.items():
        try:
            parsed_options("", {name: value})
        except OptionError as error:
            reason = str(error).partition(f"{name}=")[2]
            raise click.UsageError(f"--{name.replace('_', '-')}={reason}") from error
    limits: Limits = parsed_options("", given)["limits"]
    return limits


def _order(field: str, value: int) -> float:
    return float("inf") if field in _ZERO_IS_NONE and value == 0 else value


def open_function(target: tuple[Path, str | None], given: Given) -> Function:
    """Returns the function that a command names."""
    path, name = target
    return FileFunctions(path, given).one(name)
