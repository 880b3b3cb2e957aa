"""``udfvm doctor --fix``: what it says to type on machines of many kinds, which are faked by
folders with their files, and that it changes nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from udfvm.cli.kvm_fixes import Step, fixes
from udfvm.cli.surroundings import Surroundings

INTEL = "vendor_id : GenuineIntel\nflags : fpu vmx sse2\n"
AMD = "vendor_id : AuthenticAMD\nflags : fpu svm sse2\n"
INTEL_GUEST = "vendor_id : GenuineIntel\nflags : fpu hypervisor sse2\n"
AMD_WITHOUT = "vendor_id : AuthenticAMD\nflags : fpu sse2\n"


def machine(root: Path, files: dict[str, str]) -> Surroundings:
    """Reads what files below a folder say; a name that ends with a slash is a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(text)
    return Surroundings.read(root)


def commands(steps: list[Step]) -> list[str]:
    return [command for step in steps for command in step.commands]


def dmi(vendor: str, product: str = "", tag: str = "") -> dict[str, str]:
    folder = "sys/class/dmi/id"
    return {
        f"{folder}/sys_vendor": f"{vendor}\n",
        f"{folder}/product_name": f"{product}\n",
        f"{folder}/chassis_asset_tag": f"{tag}\n",
    }


@pytest.mark.parametrize(
    ("processor", "module"), [(INTEL, "kvm_intel"), (AMD, "kvm_amd")], ids=["intel", "amd"]
)
def test_bare_metal_loads_the_module_of_its_processor(
    tmp_path: Path, processor: str, module: str
) -> None:
    found = machine(tmp_path, {"proc/cpuinfo": processor, "etc/os-release": "ID=debian\n"})
    assert not found.is_virtual and not found.container
    assert commands(fixes(found)) == [
        f"sudo modprobe {module}",
        f"echo {module} | sudo tee -a /etc/modules-load.d/kvm.conf",
        "udfvm doctor",
    ]


def test_alpine_has_its_own_words(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": AMD, "etc/os-release": 'ID="alpine"\n'}
    found = machine(tmp_path, files)
    assert "echo kvm_amd | sudo tee -a /etc/modules" in commands(fixes(found))
    joined = found._replace(has_device=True, group="kvm")
    assert "sudo addgroup $USER kvm" in commands(fixes(joined, may_open=False))


def test_the_firmware_has_to_be_asked(tmp_path: Path) -> None:
    steps = fixes(machine(tmp_path, {"proc/cpuinfo": AMD_WITHOUT}))
    assert "SVM" in steps[0].text and "--firmware-setup" in steps[0].commands[0]
    assert "sudo modprobe kvm_amd" in commands(steps)


def test_a_module_without_a_device(tmp_path: Path) -> None:
    found = machine(tmp_path, {"proc/cpuinfo": INTEL, "sys/module/kvm_intel/": ""})
    assert commands(fixes(found))[0] == "sudo mknod /dev/kvm c 10 232"


CLOUDS = {
    "aws": (dmi("Amazon EC2", "m5.large"), "NestedVirtualization=enabled", "docs.aws.amazon.com"),
    "google": (
        dmi("Google", "Google Compute Engine"),
        "--enable-nested-virtualization",
        "cloud.google.com",
    ),
    "azure": (
        dmi("Microsoft Corporation", "Virtual Machine", "7783-7084-3265-9085-8269-3286-77"),
        "az vm resize",
        "learn.microsoft.com",
    ),
    "hyperv": (dmi("Microsoft Corporation", "Virtual Machine", "1"), "Set-VMProcessor", ""),
    "kvm": (dmi("QEMU", "Standard PC (Q35 + ICH9, 2009)"), "nested=1", "docs.kernel.org"),
    "vmware": (dmi("VMware, Inc.", "VMware20,1"), "vhv.enable", ""),
    "virtualbox": (dmi("innotek GmbH", "VirtualBox"), "--nested-hw-virt on", ""),
    "wsl": (
        {"proc/version": "Linux version 6.6 microsoft-standard-WSL2"},
        "wsl --shutdown",
        "learn.microsoft.com",
    ),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_virtual_machines_without_nested_virtualization(tmp_path: Path, name: str) -> None:
    files, command, source = CLOUDS[name]
    found = machine(tmp_path, {"proc/cpuinfo": INTEL_GUEST, **files})
    assert found.hypervisor == name and found.is_virtual
    first, second, last = fixes(found)
    assert any(command in each for each in first.commands)
    assert source in first.source
    assert "sudo modprobe kvm_intel" in second.commands and last.commands == ["udfvm doctor"]


def test_an_instance_says_its_type(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": INTEL_GUEST, **dmi("Amazon EC2", "m5.large")}
    assert "an instance m5.large" in fixes(machine(tmp_path, files))[0].text


def test_metal_instances_and_those_with_the_option_load_the_module(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": INTEL, **dmi("Amazon EC2", "c5.metal")}
    assert commands(fixes(machine(tmp_path, files)))[0] == "sudo modprobe kvm_intel"


def test_a_hypervisor_that_is_not_known(tmp_path: Path) -> None:
    steps = fixes(machine(tmp_path, {"proc/cpuinfo": INTEL_GUEST}))
    assert "nested virtualization" in steps[0].text and steps[0].source


CONTAINERS = {
    "docker": ({".dockerenv": ""}, "docker run --device=/dev/kvm --group-add $(stat"),
    "podman": ({"run/.containerenv": ""}, "podman run --device=/dev/kvm --group-add keep-groups"),
    "kubernetes": ({"proc/1/cgroup": "0::/kubepods/pod1\n"}, "--limits=squat.ai/kvm=1"),
    "other": ({"run/systemd/container": "lxc\n"}, "--device=/dev/kvm"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_are_started_with_the_device(tmp_path: Path, name: str) -> None:
    files, command = CONTAINERS[name]
    loaded = {"proc/cpuinfo": INTEL, "sys/module/kvm_intel/": "", **files}
    found = machine(tmp_path, loaded)
    assert found.container == name
    first, last = fixes(found)
    assert any(command in each for each in first.commands)
    assert last.commands == ["udfvm doctor"]


def test_a_container_on_a_host_without_kvm_begins_with_the_host(tmp_path: Path) -> None:
    found = machine(tmp_path, {"proc/cpuinfo": INTEL, ".dockerenv": ""})
    first, second, _ = fixes(found)
    assert first.text.startswith("On the machine that runs this container: ")
    assert "sudo modprobe kvm_intel" in first.commands
    assert "docker run --device=/dev/kvm" in second.commands[0]


def test_who_may_not_open_the_device_joins_its_group(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": INTEL, "sys/module/kvm_intel/": "", "dev/kvm": ""}
    found = machine(tmp_path, files)._replace(group="kvm")
    assert found.has_device
    assert commands(fixes(found, may_open=False)) == [
        "sudo usermod -aG kvm $USER",
        "newgrp kvm",
        "udfvm doctor",
    ]
    of_root = commands(fixes(found._replace(group=""), may_open=False))
    assert "/etc/udev/rules.d/99-kvm.rules" in of_root[0] and "udevadm" in of_root[1]
    inside = commands(fixes(found._replace(container="docker"), may_open=False))
    assert "--group-add $(stat -c %g /dev/kvm)" in inside[0]


def test_the_group_is_that_of_the_device(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files to another group")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kvm").write_text("")
    os.chown(tmp_path / "dev/kvm", 0, 54321)  # a group without a name
    assert machine(tmp_path, {}).group == "54321"
    os.chown(tmp_path / "dev/kvm", 0, 0)
    assert machine(tmp_path, {}).group == ""


def test_files_that_are_absent_or_make_no_sense(tmp_path: Path) -> None:
    assert commands(fixes(machine(tmp_path, {})))[-1] == "udfvm doctor"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_bytes(b"\xff\xfe\0flags\n:::\n")
    assert commands(fixes(Surroundings.read(tmp_path)))[-1] == "udfvm doctor"


def run(*options: str, mount: str = "") -> subprocess.CompletedProcess[str]:
    program = "from udfvm.cli import main; main()"
    command = [sys.executable, "-c", program, "doctor", *options]
    if mount:
        command = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$0" "$@"', *command]
    return subprocess.run(command, capture_output=True, text=True)


def test_nothing_to_do_where_kvm_can_be_used() -> None:
    done = run("--fix")
    assert (done.returncode, done.stdout.startswith("Nothing to do")) == (0, True), done.stderr
    assert json.loads(run("--fix", "--json").stdout) == {"usable": True, "steps": []}


@pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces are root's")
def test_the_command_says_what_to_type_and_leaves_the_machine_alone() -> None:
    absent = "mount -t tmpfs none /dev"
    done = run("--fix", "--json", mount=absent)
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert not said["usable"] and said["steps"][-1]["commands"] == ["udfvm doctor"]
    text = run("--fix", mount=absent)
    assert text.returncode == 1 and text.stdout.startswith("1. ")
    assert all(f"     {line}" in text.stdout for line in said["steps"][0]["commands"])
    assert "doctor --fix" in run(mount=absent).stderr
    other = run("--fix", mount="mount --bind /dev/null /dev/kvm")
    assert other.returncode == 1 and "no KVM that udfvm can use" in other.stdout
    assert os.path.exists("/dev/kvm")


def test_the_two_forms_exclude_each_other() -> None:
    done = run("--fix", "--deep")
    assert done.returncode == 2 and "exclude each other" in done.stderr
