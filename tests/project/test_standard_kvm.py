"""The command that runs the core's tests on standard KVM tells what failed there, and what did not
run.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parents[1] / "standard_kvm"


@pytest.fixture(scope="module")
def command() -> ModuleType:
    found = importlib.util.spec_from_file_location("standard_kvm_run", HERE / "run.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def folder_of(path: Path, *programs: str) -> Path:
    """What the command prepares, with scripts in place of programs."""
    (path / "keeper").write_text("#!/bin/sh\necho kept\ncat\n")
    (path / "keeper").chmod(0o755)
    (path / "programs").write_text("".join(f"20 {line}\n" for line in programs))
    return path


def test_outcomes(command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(
        tmp_path,
        "test_layer /bin/echo one: holds",  # of 9
        "test_host_functions /bin/echo a life: holds",
        "test_log /bin/false",
    )
    text = (HERE / "inside.sh").read_text().replace("[ ! -e /sys/module/kvm_pvm ]", "true")
    (folder / "inside.sh").write_text(text)
    done = subprocess.run(
        ["/bin/sh", folder / "inside.sh", folder], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.endswith("=== all\n") and not done.stderr
    ended = list(command.outcomes(iter(done.stdout.splitlines(keepends=True))))
    assert [(name, held) for name, held, _ in ended] == [
        ("test_layer", False),
        ("test_host_functions", True),
        ("test_log", False),
    ]
    printed = capsys.readouterr().out
    assert "--- test_layer: exit status 0, 1 of 9 hold" in printed
    assert "--- test_log: exit status 1, 0 of 2 hold" in printed


def test_pvm_is_not_standard(tmp_path: Path) -> None:
    pvm = Path("/sys/module/kvm_pvm").exists()
    inside = HERE / "inside.sh"
    done = subprocess.run(
        ["/bin/sh", inside, folder_of(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode != 0) is pvm
    assert ("this KVM is PVM" in done.stdout) is pvm


def test_a_runner_gets_one_shell_command(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UDFVM_KVM_RUNNER", "env A=1 'a runner'")
    made = command.command(tmp_path / "a folder")
    assert made[:3] == ["env", "A=1", "a runner"] and len(made) == 4
    assert made[3].startswith("/bin/sh ") and f"'{tmp_path / 'a folder'}'" in made[3]
    assert os.access(HERE / "run", os.X_OK)
