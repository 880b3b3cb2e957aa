"""The workflow of the forge runs the scripts of .ci, which are there and are scripts."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
SCRIPTS = sorted((ROOT / ".ci").iterdir())
GIT = "git config --global --add safe.directory"


def commands() -> Iterator[str]:
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step
            if "run" in step and not step["run"].startswith(GIT):
                yield step["run"]


def test_each_job_is_what_the_forge_understands() -> None:
    jobs = {"suite", "sanitizers", "standard_kvm", "cpython", "fuzz", "wheels"}
    assert set(WORKFLOW["jobs"]) == jobs
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert {"push", "pull_request"} <= set(WORKFLOW[True])  # YAML 1.1 reads `on` so
    for job in WORKFLOW["jobs"].values():
        assert job["runs-on"] and job["timeout-minutes"] <= 90
        assert job["container"]["options"] == "--device=/dev/kvm"
        actions = [step["uses"] for step in job["steps"] if "uses" in step]
        assert actions[0].startswith("actions/checkout@v")
        assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)


def test_each_command_is_a_script_of_the_project() -> None:
    found = list(commands())
    assert len(found) == len(WORKFLOW["jobs"])
    for command in found:
        script = ROOT / command.split()[0]
        assert script in SCRIPTS and os.access(script, os.X_OK), command


def test_scripts_have_no_errors_and_call_what_exists() -> None:
    assert len(SCRIPTS) >= 5
    for script in SCRIPTS:
        text = script.read_text()
        assert text.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in text
        subprocess.run(["bash", "-n", script], check=True)
        for path in re.findall(r"(?<![\w/.$}])(?:\.ci|tests|docs|bench)/[\w./]+", text):
            assert (ROOT / path).exists(), f"{script.name}: {path}"


def test_every_python_that_is_promised_is_tested() -> None:
    def pythons(job: str) -> list[str]:
        matrix: dict[str, Any] = WORKFLOW["jobs"][job]["strategy"]["matrix"]
        return list(matrix["python"])

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first = project["requires-python"].removeprefix(">=")
    assert pythons("suite") == pythons("wheels")
    assert pythons("suite")[0] == first and len(pythons("suite")) == 4
