"""Names of tenants: whom the VMs of a pool serve."""

from __future__ import annotations

from udfvm.checks import shown
from udfvm.errors import OptionError
from udfvm.static_typing import Final

MAX_TENANT: Final = 255  # characters


def checked_tenant(tenant: object) -> str | None:
    """Returns ``tenant=`` of a pool. Raises OptionError if it is no name."""
    if tenant is None or (
        isinstance(tenant, str) and tenant.isprintable() and 0 < len(tenant) <= MAX_TENANT
    ):
        return tenant
    raise OptionError(
        f"tenant= takes a name of 1 to {MAX_TENANT} printable characters; got {shown(tenant)}"
    )
