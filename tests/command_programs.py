"""The command as a process, and files of functions for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

#: The command, with SIGINT as a shell in the foreground has it.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    " from udfvm.cli import main; main()"
)
COMMAND = (sys.executable, "-P", "-c", PROGRAM)

FUNCTIONS = """
import numpy as np
import udfvm
from udfvm import table_function, udf as declared

@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else dep_delay / distance * 100

@declared(vectorized=True, elementwise=True, timeout=5, input_types=["double"],
          output_type="double")
def double(x: np.ndarray):
    return x * 2

@udfvm.udf
def speed(distance: float, hours: float = 2.0) -> float:
    print("speed of", distance)
    return distance / hours

@table_function(columns={"word": str})
def words(text: str):
    yield from text.split()

@udfvm.aggregate
class Total:
    def __init__(self):
        self.sum = 0
    def step(self, x: int) -> None:
        self.sum += x
    def finish(self) -> int:
        return self.sum

@declared
def inverse(x: int) -> float:
    return 1 / x

@declared(timeout=300, name="endless")
def too_long(x: int) -> int:
    return x

def endless(x: int) -> int:
    while True:
        pass
"""


def functions_in(folder: Path) -> Path:
    """Writes the functions into a file."""
    path = folder / "mine.py"
    path.write_text(FUNCTIONS)
    return path


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end. ``options`` are those of ``subprocess.run``."""
    chosen = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run([*COMMAND, *map(str, arguments)], **chosen)


def begin(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Begins the command, in an environment that is this one's."""
    chosen = {"stderr": subprocess.PIPE, "text": True, "env": dict(os.environ), **options}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], **chosen)
