"""``udfvm completion``: completion of commands, options and files in shells."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from udfvm.cli.program import json_option, print_json

_SHELLS: Final = ("bash", "zsh", "fish")
_VARIABLE: Final = "_UDFVM_COMPLETE"  # by which a shell asks the command for completions


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@json_option()
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Prints a script that completes commands in a shell.

    For bash, write `eval "$(udfvm completion bash)"` into ~/.bashrc; for zsh, the same with zsh
    into ~/.zshrc; for fish, `udfvm completion fish > ~/.config/fish/completions/udfvm.fish`.
    """
    cls = get_completion_class(shell)
    assert cls is not None
    script = cls(context.find_root().command, {}, "udfvm", _VARIABLE).source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
