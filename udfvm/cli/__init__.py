"""The command ``udfvm``."""

from __future__ import annotations

import sys

import click

from udfvm import __version__
from udfvm.cli.bench import bench
from udfvm.cli.cache import cache
from udfvm.cli.completion import completion
from udfvm.cli.demo import demo
from udfvm.cli.doctor import doctor
from udfvm.cli.image import image
from udfvm.cli.inspect import inspect
from udfvm.cli.program import Commands, run_program
from udfvm.cli.run import run
from udfvm.cli.sbom import sbom
from udfvm.cli.seal import extension, prepare, seal
from udfvm.cli.serve import serve
from udfvm.cli.sql import sql
from udfvm.cli.top import top


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="udfvm")
def commands() -> None:
    """User-defined functions in micro-VMs."""


commands.add_command(bench)
commands.add_command(cache)
commands.add_command(completion)
commands.add_command(demo)
commands.add_command(doctor)
commands.add_command(extension)
commands.add_command(image)
commands.add_command(inspect)
commands.add_command(prepare)
commands.add_command(run)
commands.add_command(sbom)
commands.add_command(seal)
commands.add_command(serve)
commands.add_command(sql)
commands.add_command(top)


def main() -> None:
    """Runs the command; a failure that a user can cause is one line on standard error, and an exit
    code.
    """
    sys.exit(run_program(commands))
