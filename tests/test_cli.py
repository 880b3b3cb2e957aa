"""The command line, and what is said where micro-VMs cannot run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CALL = """
    import udfvm

    @udfvm.udf
    def one() -> int:
        return 1

    try:
        one()
    except udfvm.Error as error:
        print(type(error).__name__)
        print(error)
"""


def run(*command: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"UDFVM_CACHE": str(cache)} if cache else {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def udfvm(*arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-c", "from udfvm.cli import main; main()", *arguments, cache=cache)


def test_doctor_shows_what_was_found() -> None:
    done = udfvm("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("KVM", "API 12", "Exit round trip", "us", "Huge pages", "Image cache", "all present"):
        assert word in done.stdout


def test_cache_lists_and_clears(tmp_path: Path) -> None:
    assert "no images" in udfvm("cache", "list", cache=tmp_path).stdout
    assert run(sys.executable, "-c", textwrap.dedent(CALL), cache=tmp_path).stdout == ""
    listed = udfvm("cache", "list", cache=tmp_path).stdout
    assert "base" in listed and "layer" in listed and "one" in listed and "2 images" in listed
    assert "2 images removed" in udfvm("cache", "clear", cache=tmp_path).stdout
    assert list(tmp_path.iterdir()) == []


def test_demo_runs_the_main_job() -> None:
    done = udfvm("demo")
    assert done.returncode == 0, done.stderr
    assert "336,776 rows" in done.stdout and "EV" in done.stdout and "4.809" in done.stdout
    assert "score(12.0, 300.0) = 4.0" in done.stdout and "Floor:" in done.stdout


def test_the_latency_benchmark_prints_one_json_object() -> None:
    done = run(sys.executable, str(ROOT / "bench" / "latency.py"), "--json", "--calls", "100")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for name in ("floor", "core_native", "core_python", "udf_scalar", "udf_numpy_1000", "restore"):
        assert 0 < result[name]["p50"] <= result[name]["p99"]
    assert result["hot_pages"] > 0 and result["base_build_s"] > 0 and result["image_open_ms"] > 0


def as_root_without(mount: str, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script where /dev is not as it was: in a mount namespace of its own."""
    command = f'{mount} && exec "$0" -c "$1"'
    return run("unshare", "--mount", "sh", "-c", command, sys.executable, textwrap.dedent(script))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces and other users are root's")


@needs_root
def test_without_kvm_the_error_says_what_is_missing() -> None:
    lines = as_root_without("mount -t tmpfs none /dev", CALL).stdout.splitlines()
    assert lines[0] == "KVMUnavailableError"
    assert "/dev/kvm is absent" in lines[1] and "modprobe" in lines[1] and "--device=/dev/kvm" in lines[1]
    done = as_root_without("mount -t tmpfs none /dev", "from udfvm.cli import main; import sys; sys.argv[1:] = ['doctor']; main()")
    assert done.returncode == 1 and "not usable" in done.stdout and "/dev/kvm is absent" in done.stderr


@needs_root
def test_something_else_in_the_place_of_kvm() -> None:
    lines = as_root_without("mount --bind /dev/null /dev/kvm", CALL).stdout.splitlines()
    assert lines[0] == "KVMUnavailableError" and "API version" in lines[1]


@needs_root
def test_without_permission_the_error_says_how_to_get_it() -> None:
    script = """
        import os, udfvm.vmm
        os.chmod("/dev/kvm", 0o600)
        os.seteuid(65534)
        try:
            udfvm.vmm.probe()
        except udfvm.Error as error:
            print(type(error).__name__)
            print(error)
    """
    command = "mount -t tmpfs none /mnt && cp -a /dev/kvm /mnt/kvm && mount --bind /mnt/kvm /dev/kvm"
    lines = as_root_without(command, script).stdout.splitlines()
    assert lines[0] == "KVMPermissionError"
    assert "may not be opened" in lines[1] and "usermod -aG kvm" in lines[1]
