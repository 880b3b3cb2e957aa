"""What a machine is that lacks ``/dev/kvm``: a container, a virtual machine, an instance of a
cloud, as files of ``/proc``, ``/sys`` and ``/etc`` say.
"""

from __future__ import annotations

import grp
from pathlib import Path
from typing import Final, Literal, NamedTuple

Container = Literal["docker", "podman", "kubernetes", "other", ""]
Hypervisor = Literal["aws", "google", "azure", "wsl", "kvm", "vmware", "virtualbox", "hyperv", ""]

_AZURE_TAG: Final = "7783-7084-3265-9085-8269-3286-77"  # of every chassis of Azure
_MODULES: Final = {
    "GenuineIntel": "kvm_intel",
    "AuthenticAMD": "kvm_amd",
    "HygonGenuine": "kvm_amd",
}


class Surroundings(NamedTuple):
    """The machine.

    Attributes:
        container: the kind of container; empty: none.
        hypervisor: below this machine; empty: none, or one that is not known.
        is_virtual: this is a virtual machine.
        instance: the type of an instance of AWS, such as ``m5.large``.
        module: the module of KVM for this processor; empty: the processor is not known.
        has_extensions: the processor offers VT-x or AMD-V.
        is_loaded: that module, or PVM, is loaded, on the host of a container as well.
        has_device: ``/dev/kvm`` is there.
        group: the group of ``/dev/kvm``, its number if it has no name here, and "" if it is root.
        distribution: the name of the distribution, as in os-release, such as ``debian``.
    """

    container: Container
    hypervisor: Hypervisor
    is_virtual: bool
    instance: str
    module: str
    has_extensions: bool
    is_loaded: bool
    has_device: bool
    group: str
    distribution: str

    @classmethod
    def read(cls, root: Path = Path("/")) -> Surroundings:
        """Reads the files below a folder."""
        processor = _processor(root)
        flags = processor.get("flags", "").split()
        module = _MODULES.get(processor.get("vendor_id", ""), "")
        hypervisor, instance = _hypervisor(root)
        device = root / "dev/kvm"
        return cls(
            container=_container(root),
            hypervisor=hypervisor,
            is_virtual="hypervisor" in flags or bool(hypervisor),
            instance=instance,
            module=module,
            has_extensions="vmx" in flags or "svm" in flags,
            is_loaded=any(
                (root / "sys/module" / name).is_dir()
                for name in ("kvm_intel", "kvm_amd", "kvm_pvm")
            ),
            has_device=device.exists(),
            group=_group(device),
            distribution=_settings(root / "etc/os-release", "=").get("ID", "").strip('"'),
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""  # absent, or not for this user


def _settings(path: Path, separator: str) -> dict[str, str]:
    """Returns names and values of lines; the first of each name counts."""
    found: dict[str, str] = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(separator)
        found.setdefault(name.strip(), value.strip())
    return found


def _processor(root: Path) -> dict[str, str]:
    return _settings(root / "proc/cpuinfo", ":")


def _container(root: Path) -> Container:
    groups = _text(root / "proc/1/cgroup") + _text(root / "proc/self/cgroup")
    if (root / "var/run/secrets/kubernetes.io").exists() or "kubepods" in groups:
        return "kubernetes"
    if (root / "run/.containerenv").exists() or "libpod" in groups:
        return "podman"
    if (root / ".dockerenv").exists() or "docker" in groups:
        return "docker"
    started_by = _text(root / "run/systemd/container")  # as systemd.io/CONTAINER_INTERFACE says
    return "other" if started_by not in ("", "wsl") or "lxc" in groups else ""


def _hypervisor(root: Path) -> tuple[Hypervisor, str]:
    """Returns what is below this machine, and the type of an instance of AWS."""
    dmi = {path: _text(root / "sys/class/dmi/id" / path) for path in _DMI}
    vendor, product = dmi["sys_vendor"], dmi["product_name"]
    if "microsoft" in _text(root / "proc/version").lower():
        return "wsl", ""
    if vendor == "Amazon EC2" or "amazon" in dmi["bios_version"].lower():
        bare = ".metal" in product
        return ("" if bare else "aws"), product
    if "Google" in vendor or product.startswith("Google"):
        return "google", ""
    if vendor == "Microsoft Corporation" and "Virtual" in product:
        return ("azure" if dmi["chassis_asset_tag"] == _AZURE_TAG else "hyperv"), ""
    for name, known in _VENDORS.items():
        if name in vendor:
            return known, ""
    return "", ""


_DMI: Final = ("sys_vendor", "product_name", "bios_version", "chassis_asset_tag")
_VENDORS: Final[dict[str, Hypervisor]] = {
    "QEMU": "kvm",
    "Red Hat": "kvm",
    "VMware": "vmware",
    "innotek": "virtualbox",
    "Oracle": "virtualbox",
}


def _group(device: Path) -> str:
    try:
        number = device.stat().st_gid
    except OSError:
        return ""
    if number == 0:
        return ""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
