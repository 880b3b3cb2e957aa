"""The core, ``libudfvm.so``, for Python: thin objects around the C interface of ``core/api.h``.

Several threads may use everything here, a VM one at a time. The interpreter's lock is released
while a VM runs.
"""

from __future__ import annotations

from udfvm.vmm.cancellation import Cancellation, cancellation_of_thread
from udfvm.vmm.failures import exception_at
from udfvm.vmm.image import Image, read_identity, read_metadata
from udfvm.vmm.limits import account_in, core_limits, first_call
from udfvm.vmm.memory import address_of, copy, sha256
from udfvm.vmm.pool import ImagePool
from udfvm.vmm.private_files import open_private, open_private_directory
from udfvm.vmm.system import (
    WALLS,
    Jail,
    System,
    foresee_vm,
    harden,
    jail_walls,
    measure_exits,
    probe,
)
from udfvm.vmm.vm import VM, Reply, SealReport, Statistics, boot
from udfvm.vmm.windows import Windows

__all__ = [
    "VM",
    "WALLS",
    "Cancellation",
    "Image",
    "ImagePool",
    "Jail",
    "Reply",
    "SealReport",
    "Statistics",
    "System",
    "Windows",
    "account_in",
    "address_of",
    "boot",
    "cancellation_of_thread",
    "copy",
    "core_limits",
    "exception_at",
    "first_call",
    "foresee_vm",
    "harden",
    "jail_walls",
    "measure_exits",
    "open_private",
    "open_private_directory",
    "probe",
    "read_identity",
    "read_metadata",
    "sha256",
]
