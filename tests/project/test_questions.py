"""The pages that answer one question each: below "How do I …" in mkdocs.yml."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from udfvm.cli import kvm_fixes

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^```(\w+)(?: title="([\w.]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
MOST_LINES = 100


def pages() -> list[Path]:
    """All of the group but the page with what is left."""
    group = (ROOT / "mkdocs.yml").read_text().split("  - How do I …:\n")[1]
    lines = re.match(r"(?: {6}- .*\n)+", group)
    assert lines
    names = re.findall(r": (\w+\.md)", lines[0])
    return [ROOT / "docs" / name for name in names if name != "howto.md"]


def test_there_are_pages() -> None:
    assert len(pages()) >= 7


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_begins_with_its_question(page: Path) -> None:
    """Then come a short answer and an example. Each page is short."""
    lines = page.read_text().splitlines()
    assert re.fullmatch(r"# .*\?", lines[0]) and len(lines) <= MOST_LINES
    assert any(line.startswith("```") for line in lines[:12])


@pytest.mark.long
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """From top to bottom, as one program in an empty folder. Blocks with a title are files."""
    write_files(page, tmp_path)
    program = "\n".join(
        source
        for language, title, source in BLOCK.findall(page.read_text())
        if language == "python" and not title
    )
    assert "assert " in program
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def write_files(page: Path, folder: Path) -> None:
    """The blocks with a title."""
    for _, title, source in BLOCK.findall(page.read_text()):
        if title:
            (folder / title).write_text(source)


def environment() -> dict[str, str]:
    """With the command ``udfvm`` of this interpreter."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture
def pod(tmp_path: Path) -> Any:
    """The pod of the page on Kubernetes, whose files are in the folder."""
    write_files(ROOT / "docs" / "kubernetes.md", tmp_path)
    deployment = yaml.safe_load((tmp_path / "deployment.yaml").read_text())
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    return template["spec"]


def test_the_pod_has_the_device_and_no_privileges(pod: Any, tmp_path: Path) -> None:
    (container,) = pod["containers"]
    arguments = yaml.safe_load((tmp_path / "plugin.yaml").read_text())["args"]
    device = yaml.safe_load(arguments[arguments.index("--device") + 1])
    assert device == json.loads(kvm_fixes._PLUGIN_DEVICE)  # what udfvm doctor --fix says
    assert device["groups"][0]["paths"] == [{"path": "/dev/kvm"}]
    assert container["resources"]["limits"][f"squat.ai/{device['name']}"] == 1
    assert pod["securityContext"]["runAsNonRoot"] and "hostPath" not in str(pod)
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not security["allowPrivilegeEscalation"] and "privileged" not in security


def test_the_cache_of_a_container_is_below_a_folder_of_its_user(pod: Any) -> None:
    """Which may be open to all then, as ``emptyDir`` is."""
    dockerfile = (ROOT / "docs" / "containers.md").read_text()
    (cache,) = re.findall(r"^ENV UDFVM_CACHE=(\S+)$", dockerfile, re.MULTILINE)
    (private,) = re.findall(r"chmod 700 (\S+)", dockerfile)
    (mount,) = (each["mountPath"] for each in pod["containers"][0]["volumeMounts"])
    assert Path(mount).parent == Path(private) and Path(cache).parent == Path(mount)


def test_the_cache_works_below_a_folder_of_its_user(tmp_path: Path) -> None:
    private = tmp_path / "home"
    volume = private / "cache"
    private.mkdir(mode=0o700)
    volume.mkdir()
    volume.chmod(0o777)
    code = "import udfvm; print(udfvm.udf(len, input_types=['string'], output_type='int')('four'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"UDFVM_CACHE": str(volume / "udfvm")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "4\n", done.stderr


def test_the_command_of_the_pod_listens(pod: Any, tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    (container,) = pod["containers"]
    port = container["ports"][0]["containerPort"]
    assert container["readinessProbe"]["tcpSocket"]["port"] == port
    command = [word.replace(f"0.0.0.0:{port}", "0.0.0.0:0") for word in container["command"]]
    server = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert any(line.startswith("listening on grpc://0.0.0.0:") for line in server.stdout)
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0
