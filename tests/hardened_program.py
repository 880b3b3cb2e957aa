"""A program whose calls end in every way, hardened or not: prints how they ended, as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import numpy as np
import pyarrow as pa
from cause_functions import waits
from column_functions import twice
from printing_functions import prints

import udfvm
import udfvm.sqlite

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"


@udfvm.udf(timeout=20)
def reads(i: int) -> int:
    if i % 100 == 50:
        with open(os.__file__, "rb") as file:
            return len(file.read())
    return 0


def filtered() -> set[str]:
    """The states of the filters (``Seccomp`` in proc_pid_status(5)) around this program's threads.

    KVM's own threads, which never leave the kernel, do not count.
    """
    states = set()
    for status in Path("/proc/self/task").glob("*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        except OSError:
            continue  # it ended
        if not lines["Name"].startswith("kvm-"):
            states.add(lines["Seccomp"])
    return states


SEEN: list[tuple[int, list[str]]] = []  # by the host function: its thread, and the filters


def look(x: int) -> int:
    SEEN.append((threading.get_ident(), sorted(filtered())))
    return x + 1


@udfvm.udf(host_functions=[look])
def asks(x: int) -> int:
    return look(x) * 2


def end_of(call: Callable[[], object]) -> str:
    """How a call ended: its result, or its error."""
    try:
        return repr(call())
    except (apsw.Error, udfvm.Error, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"


def interrupted() -> object:
    """A call that Ctrl-C ends."""
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    try:
        return waits(1)
    finally:
        timer.join()


def in_sql(statement: str) -> Callable[[], object]:
    return lambda: connection.execute(statement).fetchall()


connection = apsw.Connection(":memory:")
udfvm.sqlite.register(connection, prints, reads)
soon = prints.with_options(timeout=0.2)
CALLS: dict[str, Callable[[], object]] = {
    **{f"prints({x})": lambda x=x: soon(x) for x in (1, -1, -2, -3, -4, -6)},
    "a host function": lambda: asks(3),
    "its thread": lambda: {ident == threading.get_ident() for ident, _ in SEEN},
    "Ctrl-C": interrupted,
    "a batch": lambda: twice(pa.array(np.arange(300_000, dtype=np.float64)))[-1],
    "files in rows": in_sql(f"{NUMBERS} SELECT sum(reads(i)) FROM n"),
    "rows": in_sql(f"{NUMBERS} SELECT sum(prints(i)) FROM n"),
    "a row that fails": in_sql(f"{NUMBERS} SELECT sum(prints(iif(i < 200, i, -1))) FROM n"),
    "after all": lambda: prints(2),
}

if __name__ == "__main__":
    early = prints(0)  # so there is a pool, with a VM
    if "harden" in sys.argv:
        udfvm.harden()
    ends = {name: end_of(call) for name, call in CALLS.items()}
    print(json.dumps({"ends": ends, "filters": SEEN[0][1]}), file=sys.stderr)
