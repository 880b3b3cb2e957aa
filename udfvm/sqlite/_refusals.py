"""Exceptions for offers that the C extension refused."""

from __future__ import annotations

from udfvm.errors import (
    Error,
    OptionError,
    SignatureError,
    SQLConnectionError,
    UnknownUDFError,
)
from udfvm.sqlite._extension import Refusal


def refused(reason: int, name: str, caller: str, error: Exception) -> Error:
    """Returns the exception of ``register`` or ``unregister``, the caller, for an offer that was
    refused because of a function of that name.

    ``error`` is what loading the extension raised. Its text says why, where the reason does not.
    """
    caller = f"udfvm.sqlite.{caller}"
    if reason == Refusal.NAME_TAKEN:
        return SignatureError(
            f"{caller}: SQL has a function {name!r} already: pass another name=, or replace=True"
        )
    if reason == Refusal.NAME_UNKNOWN:
        return UnknownUDFError(
            f"{caller}: no UDF named {name!r} is registered on this connection: the table"
            " vm_functions lists those that are"
        )
    if reason == Refusal.OTHER_TENANT:
        return OptionError(
            f"{caller}: {name!r} is bound to a pool that does not serve the tenant of the"
            " connection's policy: register its .with_options(pool=...)"
        )
    # apsw and sqlite3 write their own words before the extension's text.
    text = str(error).rpartition("error during initialization: udfvm: ")[2]
    text = f"{caller}: {text or type(error).__name__}"
    return SignatureError(text) if reason == Refusal.NOT_FOR_SQL else SQLConnectionError(text)
