"""What each_call.py looks at with jailed VMs beside the results of calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jails import jails


def jails_have_nothing_of_the_program() -> bool:
    """Whether the first descriptors of all jails lead nowhere. Others than root may not look."""
    return os.geteuid() != 0 or all(
        os.readlink(f"/proc/{process}/fd/{number}") == "/dev/null"
        for process in jails()
        for number in range(3)
        if Path(f"/proc/{process}").exists()
    )


def fork_with_a_result(call: Callable[[Any], Any]) -> None:
    """Forks while a result lies in the window of a VM: the child gets a copy of the window. On one
    processor no two VMs share the rows.
    """
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(processors)])
    try:
        result = call(np.arange(600_000, dtype=np.int32))
    finally:
        os.sched_setaffinity(0, processors)
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert result[-1] == 2 * (len(result) - 1)
