"""Replies of the runtimes of compiled code, kept in the cache."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from udfvm import errors, vmm
from udfvm.images.cache import cached_bytes, keep_bytes
from udfvm.images.cache_files import cache_directory
from udfvm.images.cache_listing import REPLIES
from udfvm.images.layer import layer_key
from udfvm.limits import Limits

_Read = TypeVar("_Read")
_DIGEST: Final = 32  # bytes


def cached_reply(
    base: vmm.Image,
    identity: bytes,
    suffix: str,
    ask: Callable[[], bytes],
    read: Callable[[bytes], _Read],
) -> _Read:
    """Returns what ``read`` makes of a reply, from the cache or from a VM by ``ask``.

    Analysing large code takes seconds, so replies are kept, in files with a suffix of ``REPLIES``,
    by which the cache knows them. If ``read`` raises ProtocolError for a
    cached reply, the VM is asked again.
    """
    if suffix not in REPLIES:
        raise ValueError(f"the cache would not know files with the suffix {suffix}")
    path = cache_directory() / f"{layer_key(base, identity, Limits())}{suffix}"
    kept = cached_bytes(path)
    with contextlib.suppress(errors.ProtocolError):
        if kept is not None and kept[:_DIGEST] == _kept_digest(path, kept[_DIGEST:]):
            return read(kept[_DIGEST:])
    reply = ask()
    made = read(reply)
    keep_bytes(path, _kept_digest(path, reply) + reply)
    return made


def _kept_digest(path: Path, reply: bytes) -> bytes:
    """Returns the digest that precedes a kept reply. It covers the file's name, so that a reply is
    not valid under another name.
    """
    return vmm.sha256(path.name.encode() + b"\0", reply)
