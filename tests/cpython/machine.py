"""Runs modules of CPython's own tests in micro-VMs, one a call: `python -m cpython.machine`.

It speaks as `inside.py` does, of one module after the other: a line of JSON comes in, what to run,
and a line for each outcome goes out. The last one of a module says how the call ended.
"""

from __future__ import annotations

import json
import os
import sys

from cpython import inside

import udfvm

MEMORY = "2GiB"
CALLS = 1_000_000


def record(line: str) -> None:
    """Takes a line from the micro-VM."""
    print(line, flush=True)


@udfvm.udf(memory=MEMORY, timeout=None, log="drop", host_functions=[record], host_calls=CALLS)
def run_module(request: str) -> bool:
    """Runs the tests of a module that are not done."""
    inside.run(json.loads(request), record)
    return True


def main() -> None:
    """Runs modules, and says how each ended."""
    for request in sys.stdin:
        try:
            run_module(request)
        except udfvm.CallError as error:
            detail = str(error)[-inside.DETAIL :]
            record(json.dumps({"end": type(error).__name__, "detail": detail}))
        else:
            record(json.dumps({"end": inside.DONE}))
    os._exit(0)


if __name__ == "__main__":
    main()
