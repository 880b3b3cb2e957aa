"""The table of groups of compiled code, on the host, with sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = ROOT / "guest" / "runtimes"


def test_groups_are_found_by_their_numbers(tmp_path: Path) -> None:
    made = tmp_path / "groups"
    tests = ROOT / "tests" / "guest"
    sources = [tests / "runtime" / "groups.c", RUNTIMES / "shared" / "compiled" / "groups.c"]
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += ["-I", str(RUNTIMES), "-I", str(tests)]
    subprocess.run(["gcc", "-std=gnu17", "-Wall", *flags, *sources, "-o", made], check=True)
    done = subprocess.run([made], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
