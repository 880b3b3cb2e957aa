"""A source distribution holds all that is needed to build, and a wheel all that is needed to run:
the wheel is built from it, unpacked elsewhere and used from there. It takes objects of this
checkout's own build where their sources and commands are the same: see built_objects.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

import built_objects
import pytest
from build import BuildBackendException, ProjectBuilder
from build.env import DefaultIsolatedEnv
from pyproject_hooks import quiet_subprocess_runner
from sources import ROOT

Kind = Literal["sdist", "wheel"]
LEFT_OUT = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "*.so", "udfvm-jail", "_guest", "_core.c", "__pycache__"
)
PROGRAM = ROOT / "tests" / "wheel_program.py"


def build(environment: DefaultIsolatedEnv, source: Path, kind: Kind, to: Path) -> str:
    """Builds one kind of distribution, with what it requires and nothing else."""
    builder = ProjectBuilder.from_isolated_env(environment, source, quiet_subprocess_runner)
    environment.install(builder.build_system_requires)
    environment.install(builder.get_requires_for_build(kind))
    try:
        return builder.build(kind, to)
    except BuildBackendException as failed:
        pytest.fail(getattr(failed.exception, "output", b"").decode() or str(failed))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of setuptools
def test_a_wheel_of_the_source_distribution_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, unpacked = tmp_path / "source", tmp_path / "unpacked"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    monkeypatch.setenv("PIP_NO_COMPILE", "1")  # what is installed there runs once
    with DefaultIsolatedEnv() as environment:
        sources = build(environment, source, "sdist", tmp_path)
        with tarfile.open(sources) as archive:
            archive.extractall(unpacked, filter="data")
        (source,) = unpacked.iterdir()
        offered = built_objects.offer(source, tmp_path / "offered")
        monkeypatch.setenv("PATH", f"{offered}:{os.environ['PATH']}")
        wheel = build(environment, source, "wheel", tmp_path)
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    (points,) = installed.glob("*.dist-info/entry_points.txt")
    for plugin in ("datasette-udfvm = udfvm.engines.", "sqlite-utils-udfvm = udfvm.engines."):
        assert plugin in points.read_text()
    done = subprocess.run(
        [sys.executable, "-P", str(PROGRAM)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PATH": str(tmp_path)},  # no compiler
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{installed / 'udfvm' / '__init__.py'}\n", done.stderr


@pytest.mark.skipif(
    os.environ.get("UDFVM_WHEELS") != "all", reason="takes minutes: UDFVM_WHEELS=all"
)
def test_wheels_of_every_python_work_where_there_is_no_compiler(tmp_path: Path) -> None:
    """As .ci/wheel builds them, and tries each in an environment of its own."""
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    shutil.copytree(ROOT / ".ci", source / ".ci")
    listed = subprocess.run(
        ["tests/interpreters/run", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    pythons = listed.stdout.split()
    done = subprocess.run(
        [".ci/wheel", *pythons],
        cwd=source,
        env={**os.environ, "UDFVM_NO_DOCKER": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wheels = [path.name for path in (source / "dist").glob("*manylinux*_x86_64.whl")]
    tags = {tuple(name.removesuffix(".whl").split("-")[3:]) for name in wheels}
    versions = {re.search(r"python3\.(\d+)", each) for each in pythons}
    assert tags == {(f"cp3{found[1]}", "manylinux_2_28_x86_64") for found in versions if found}
