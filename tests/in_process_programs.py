"""Programs whose functions run in their own process, where KVM cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SETTING = {"UDFVM_BACKEND": "unsafe-inprocess"}
# Another device in the place of KVM, so that no VM can run.
NO_KVM = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/kvm && exec "$0" "$@"']


def hidden() -> list[str]:
    """What a command begins with that is to run without KVM, where that can be taken away."""
    can = os.geteuid() == 0 and os.path.exists("/dev/kvm")
    return NO_KVM if can else []


def run(
    *arguments: str, prefix: list[str] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [*(hidden() if prefix is None else prefix), sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": "", **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS)


def script(text: str, *, allowed: bool = True, **variables: str) -> list[str]:
    """The lines that a script prints without KVM."""
    done = run("-c", textwrap.dedent(text), **(SETTING if allowed else {}), **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
