"""Who calls, and how much each may: tokens, and limits for each client.

A client is a token, if the server has tokens, else an address. All of this runs on the thread of
the server's event loop.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from udfvm.checks import check_count, check_seconds
from udfvm.errors import OptionError
from udfvm.limits import parse_size
from udfvm.serving.statuses import RefusedError
from udfvm.tuples import NamedTuple

_MAX_TOKENS_FILE: Final = 1 << 20  # bytes
_MIN_TOKEN: Final = 16  # characters
_SCHEME: Final = "bearer "


class ClientLimits(NamedTuple):
    """What clients may use.

    Attributes:
        calls: calls that run at once, of all clients.
        calls_per_client: of each client.
        max_batch: bytes of a batch that a client sends.
        max_rows: rows of such a batch.
        idle: seconds that a call waits for the client, to send or to read.
    """

    calls: int
    calls_per_client: int
    max_batch: int
    max_rows: int
    idle: float

    @classmethod
    def parse(
        cls,
        calls: int,
        calls_per_client: int,
        max_batch: int | str,
        max_rows: int,
        idle_timeout: float,
    ) -> ClientLimits:
        """Returns limits. Raises OptionError."""
        return cls(
            check_count("calls", calls, 1, 4096),
            check_count("calls_per_client", calls_per_client, 1, 4096),
            parse_size(max_batch, "max_batch", 1 << 10, 1 << 30),
            check_count("max_rows", max_rows, 1, (1 << 31) - 1),
            check_seconds("idle_timeout", idle_timeout, 0.1),
        )


class Tokens:
    """The tokens that let clients in. Only digests of them are kept."""

    def __init__(self, tokens: dict[str, str]) -> None:
        """``tokens``: the token of each client, by its name."""
        self._clients = {_digest(token): name for name, token in tokens.items()}
        for name, token in tokens.items():
            if len(token) < _MIN_TOKEN or not token.isascii() or not token.isprintable():
                raise OptionError(
                    f"the token of {name!r} must have at least {_MIN_TOKEN} printable ASCII"
                    " characters, such as those of: openssl rand -hex 16"
                )
        if len(self._clients) != len(tokens):
            raise OptionError("two clients have the same token")

    @classmethod
    def of_file(cls, path: Path) -> Tokens:
        """Reads a file with a client on each line: a name and a token, or a token alone. Raises
        OptionError for a file that others may read, and for one without tokens.
        """
        try:
            with path.open("rb") as file:
                mode = Path(f"/proc/self/fd/{file.fileno()}").stat().st_mode
                text = file.read(_MAX_TOKENS_FILE).decode("ascii")
        except (OSError, ValueError) as error:
            raise OptionError(f"the file of tokens {path} cannot be read: {error}") from None
        if stat.S_IMODE(mode) & 0o077:
            raise OptionError(
                f"the file of tokens {path} can be used by others than its owner: chmod 600 {path}"
            )
        tokens: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            name = words[0] if len(words) > 1 else f"line {number}"
            if len(words) > 2 or name in tokens:
                raise OptionError(
                    f"line {number} of the file of tokens {path} is not a new name and a token"
                )
            tokens[name] = words[-1]
        if not tokens:
            raise OptionError(f"the file of tokens {path} has no token")
        return cls(tokens)

    def client(self, authorization: object) -> str:
        """Returns the name of the client with a header ``authorization``. Raises RefusedError."""
        text = authorization if isinstance(authorization, str) else ""
        if text[: len(_SCHEME)].lower() == _SCHEME:
            name = self._clients.get(_digest(text[len(_SCHEME) :].strip()))
            if name is not None:
                return name
        raise RefusedError(
            "UNAUTHENTICATED", "the server takes calls with a header: authorization: Bearer TOKEN"
        )


def _digest(token: str) -> bytes:
    """A token by its digest: how long a look-up takes says nothing about the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def address_of(peer: str) -> str:
    """Returns the address in what gRPC says of a peer, which has a port, too.

    >>> address_of("ipv4:127.0.0.1:40316")
    'ipv4:127.0.0.1'
    """
    return peer.rpartition(":")[0]


class Gate:
    """Counts the calls that run."""

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._running: collections.Counter[str] = collections.Counter()

    @property
    def calls(self) -> int:
        """How many calls run."""
        return self._running.total()

    @contextlib.contextmanager
    def call(self, client: str) -> Iterator[None]:
        """Within it a call of a client runs. Raises RefusedError if too many do."""
        if self._running[client] >= self._limits.calls_per_client:
            raise RefusedError(
                "RESOURCE_EXHAUSTED",
                f"the client has {self._limits.calls_per_client} calls at once, which is its limit",
            )
        if self.calls >= self._limits.calls:
            raise RefusedError(
                "UNAVAILABLE", f"the server has {self._limits.calls} calls at once: call again"
            )
        self._running[client] += 1
        try:
            yield
        finally:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
