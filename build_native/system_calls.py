"""Lists the numbers and names of the system calls in this machine's Linux headers.

Usage: system_calls.py target dependencies compiler ... The file ``dependencies`` tells ninja which
headers were read.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def main(target: str, dependencies: str, *compiler: str) -> None:
    macros = subprocess.run(
        [*compiler, "-E", "-dM", "-MD", "-MF", dependencies, "-MT", target, "-x", "c", "-"],
        input="#include <asm/unistd_64.h>\n",
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.findall(r"^#define __NR_(\w+) (\d+)$", macros, flags=re.MULTILINE)
    ordered = sorted(found, key=lambda pair: int(pair[1]))
    Path(target).write_text("".join(f"{number} {name}\n" for name, number in ordered))


if __name__ == "__main__":
    main(*sys.argv[1:])
