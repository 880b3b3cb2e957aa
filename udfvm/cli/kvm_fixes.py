"""What to type so that ``/dev/kvm`` is there, and may be opened. Nothing is done here."""

from __future__ import annotations

from typing import Final, NamedTuple

from udfvm.cli.surroundings import Surroundings

_DOCUMENTATION: Final = "https://docs.kernel.org/virt/kvm/x86/running-nested-guests.html"
_AWS: Final = (
    "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/amazon-ec2-nested-virtualization.html"
)
_GOOGLE: Final = "https://cloud.google.com/compute/docs/instances/nested-virtualization/overview"
_AZURE: Final = "https://learn.microsoft.com/azure/virtual-machines/sizes/overview"
_WSL: Final = "https://learn.microsoft.com/windows/wsl/wsl-config"
_PLUGIN: Final = "https://github.com/squat/generic-device-plugin"
_PLUGIN_DEVICE: Final = (
    '{"name": "kvm", "groups": [{"count": 100, "paths": [{"path": "/dev/kvm"}]}]}'
)
_RULE: Final = [
    """echo 'KERNEL=="kvm", GROUP="kvm", MODE="0660"' | sudo tee /etc/udev/rules.d/99-kvm.rules""",
    "sudo udevadm control --reload-rules && sudo udevadm trigger --name-match=kvm",
]


class Step(NamedTuple):
    """Something to do.

    Attributes:
        text: what, and where.
        commands: what to type there, as it is; words in capitals are to be replaced.
        source: a page that says more; empty: none.
    """

    text: str
    commands: list[str]
    source: str = ""

    def as_text(self, number: int) -> str:
        """Returns it for people."""
        lines = [f"{number}. {self.text}", *(f"     {command}" for command in self.commands)]
        if self.source:
            lines.append(f"   See {self.source}")
        return "\n".join(lines)


def fixes(machine: Surroundings, *, may_open: bool = True) -> list[Step]:
    """Returns the steps, in their order, for a machine on which micro-VMs cannot run. ``may_open``
    is False if the device is there and this user may not open it.
    """
    if machine.has_device and not may_open:
        return _permission(machine)
    if machine.has_device:
        return [
            Step(
                "What is at /dev/kvm is no KVM that udfvm can use: look what it is. A newer"
                " Linux may help.",
                ["ls -l /dev/kvm", "uname -r", "sudo dmesg | grep -i kvm"],
            )
        ]
    steps = []
    if not machine.is_loaded or not machine.container:
        steps = _machine(machine)
    if machine.container:
        steps.append(_container(machine))
    return [*steps, _check()]


def _check() -> Step:
    return Step("Look again:", ["udfvm doctor"])


# ---- The machine, or the host of a container ----


def _machine(machine: Surroundings) -> list[Step]:
    where = "On the machine that runs this container: " if machine.container else ""
    if machine.has_extensions or machine.is_loaded:
        return [_load_module(machine, where)]
    if machine.hypervisor in _HYPERVISORS:
        step = _HYPERVISORS[machine.hypervisor]
        if machine.hypervisor == "aws" and machine.instance:
            step = step._replace(text=f"This is an instance {machine.instance}. {step.text}")
        return [step._replace(text=where + step.text), _load_module(machine, where)]
    if machine.is_virtual:
        return [
            Step(
                f"{where}This is a virtual machine that offers no VT-x or AMD-V: have its"
                " hypervisor offer them (nested virtualization).",
                [],
                _DOCUMENTATION,
            ),
            _load_module(machine, where),
        ]
    kind = "SVM or AMD-V" if machine.module == "kvm_amd" else "VT-x or Intel Virtualization"
    return [
        Step(
            f"{where}The processor offers no virtualization. Switch it on in the firmware, where it"
            f" is called {kind}:",
            ["sudo systemctl reboot --firmware-setup"],
        ),
        _load_module(machine, where),
    ]


def _load_module(machine: Surroundings, where: str) -> Step:
    module = machine.module or "kvm_intel"  # of AMD's processors: kvm_amd
    if machine.is_loaded:
        return Step(
            f"{where}The module is loaded, and the device is missing:",
            [
                "sudo mknod /dev/kvm c 10 232",
                "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm",
            ],
        )
    persistent = (
        "/etc/modules" if machine.distribution == "alpine" else "/etc/modules-load.d/kvm.conf"
    )
    other = "" if machine.module else " (kvm_amd with a processor of AMD)"
    return Step(
        f"{where}Load the module of KVM{other}, now and whenever the machine starts. If that is"
        " not supported, the firmware forbids it:",
        [f"sudo modprobe {module}", f"echo {module} | sudo tee -a {persistent}"],
    )


_HYPERVISORS: Final[dict[str, Step]] = {
    "aws": Step(
        "Instances of AWS have KVM if they are C8i, M8i or R8i, with an option, or .metal ones for"
        " x86-64. Start one of these:",
        [
            "aws ec2 run-instances --instance-type m8i.large"
            " --cpu-options NestedVirtualization=enabled --image-id IMAGE",
            "aws ec2 run-instances --instance-type c5.metal --image-id IMAGE",
        ],
        _AWS,
    ),
    "google": Step(
        "Instances of Google Cloud have KVM if they are made with an option, on processors of Intel"
        " (such as N1 and N2; not E2, AMD and Arm). Make one:",
        [
            "gcloud compute instances create NAME --zone=ZONE --machine-type=n2-standard-4"
            " --enable-nested-virtualization"
        ],
        _GOOGLE,
    ),
    "azure": Step(
        "Sizes of Azure have KVM if their page says “Nested Virtualization: Supported”, such as"
        " Dsv5 and Esv5. Change the size:",
        ["az vm resize --resource-group GROUP --name NAME --size Standard_D4s_v5"],
        _AZURE,
    ),
    "wsl": Step(
        "WSL 2 has KVM on Windows 11, unless it is switched off. Write into"
        " %UserProfile%\\.wslconfig the lines [wsl2] and nestedVirtualization=true; then, in"
        " Windows:",
        ["wsl --shutdown"],
        _WSL,
    ),
    "kvm": Step(
        "This is a guest of KVM or QEMU. On its host, with kvm_amd for a processor of AMD, and with"
        " the guest shut down; its processor is to be that of the host (-cpu host; with libvirt"
        " <cpu mode='host-passthrough'/>):",
        [
            "echo 'options kvm_intel nested=1' | sudo tee /etc/modprobe.d/kvm-nested.conf",
            "sudo modprobe -r kvm_intel && sudo modprobe kvm_intel",
        ],
        _DOCUMENTATION,
    ),
    "vmware": Step(
        "This is a guest of VMware. Shut it down, and add a line to its .vmx file:",
        ["""echo 'vhv.enable = "TRUE"' >> NAME.vmx"""],
    ),
    "virtualbox": Step(
        "This is a guest of VirtualBox. Shut it down; then, on its host:",
        ["VBoxManage modifyvm NAME --nested-hw-virt on"],
    ),
    "hyperv": Step(
        "This is a guest of Hyper-V. Shut it down; then, on its host, in PowerShell:",
        ["Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true"],
    ),
}


# ---- Containers, and permissions ----


def _container(machine: Surroundings) -> Step:
    if machine.container == "kubernetes":
        return Step(
            "This is a pod. Offer the device by a plugin, whose DaemonSet gets the argument"
            f" --device '{_PLUGIN_DEVICE}', and ask for it in the pod (docs/kubernetes.md):",
            [
                f"kubectl apply -f {_PLUGIN.replace('github.com', 'raw.githubusercontent.com')}"
                "/main/manifests/generic-device-plugin.yaml",
                "kubectl set resources deployment NAME --limits=squat.ai/kvm=1",
            ],
            _PLUGIN,
        )
    if machine.container == "podman":
        return Step(
            "This is a container. Start it with the device:",
            ["podman run --device=/dev/kvm --group-add keep-groups IMAGE"],
        )
    kind = "" if machine.container == "docker" else " With another runtime than Docker, likewise."
    return Step(
        f"This is a container. Start it with the device, and the device's group.{kind}",
        ["docker run --device=/dev/kvm --group-add $(stat -c %g /dev/kvm) IMAGE"],
    )


def _permission(machine: Surroundings) -> list[Step]:
    if machine.container:
        return [_container(machine), _check()]
    if not machine.group:
        return [
            Step("The device belongs to root alone. Give it to a group:", _RULE),
            _join("kvm", machine.distribution),
            _check(),
        ]
    return [_join(machine.group, machine.distribution), _check()]


def _join(group: str, distribution: str) -> Step:
    command = (
        f"sudo addgroup $USER {group}"
        if distribution == "alpine"
        else f"sudo usermod -aG {group} $USER"
    )
    return Step(
        "Join the group of the device. Then log in again; or, for one shell, use newgrp:",
        [command, f"newgrp {group}"],
    )
