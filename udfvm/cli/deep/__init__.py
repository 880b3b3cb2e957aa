"""``udfvm doctor --deep``: what a first run on a machine must check, ranked."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable

import click

from udfvm import __version__
from udfvm.call.pool import Pool
from udfvm.cli.deep.checks import RANKED, Machine
from udfvm.cli.deep.report import FAILS, Check, Found
from udfvm.cli.deep.vcpu import descriptors
from udfvm.errors import Error
from udfvm.vmm import probe


def _done(check: Callable[[Machine], Check], machine: Machine) -> Check:
    """Makes a check. One that cannot be made has failed, and says why."""
    try:
        return check(machine)
    except Error as error:
        text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        name = check.__name__.replace("_", " ")
        return Check(name, "the check can be made", Found(FAILS, text, "report it"))


def check_deeply(processor: str, as_json: bool) -> bool:
    """Prints each check as it is made. Returns False if one failed. Raises KVMUnavailableError."""
    system = probe()
    about = {
        "udfvm": __version__,
        "kernel": platform.release(),
        "processor": processor,
        "kvm": system.vendor,
    }
    if not as_json:
        click.echo(", ".join(f"{name} {value}" for name, value in about.items()))
    with Pool(size=1, jail=False) as pool:
        machine = Machine(system, pool, frozenset(descriptors()))
        made = []
        for rank, check in enumerate(RANKED, 1):
            made.append(_done(check, machine))
            if not as_json:
                click.echo(f"\n{made[-1].as_text(rank)}")
    if as_json:
        checks = [found.as_dict(rank) for rank, found in enumerate(made, 1)]
        click.echo(json.dumps({**about, "checks": checks}, indent=2))
    return all(found.found.status != FAILS for found in made)
