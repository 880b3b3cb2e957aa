"""Functions that clients call over a network, by Arrow Flight: RisingWave, Databend, and whatever
speaks the protocol of arrow-udf.

>>> import pyarrow as pa, pyarrow.flight
>>> @udfvm.udf
... def percent(part: float, whole: float) -> float:
...     return part / whole * 100
>>> rows = pa.table({"part": [3.0, 12.0], "whole": [60.0, 48.0]})
>>> with udfvm.flight.Server(percent, listen="127.0.0.1:0") as server:
...     with pa.flight.connect(server.location) as client:
...         descriptor = pa.flight.FlightDescriptor.for_path("percent")
...         writer, reader = client.do_exchange(descriptor)
...         writer.begin(rows.schema)
...         writer.write_table(rows)
...         writer.done_writing()
...         reader.read_all()["percent"].to_pylist()
[5.0, 25.0]
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from udfvm.backend import refuse_in_process
from udfvm.checks import check_switch, shown
from udfvm.engines.packages import load_package
from udfvm.errors import OptionError, SignatureError
from udfvm.functions.function import Function
from udfvm.functions.integration import check_functions
from udfvm.functions.options import OF_FUNCTIONS
from udfvm.keywords import checks_options

if TYPE_CHECKING:
    from udfvm.serving.running import Certificate

__all__ = ["Server"]

load_package("grpc", engine="flight", package="grpcio", oldest="1.80")

_MAX_PORT: Final = 65535
_MAX_PEM: Final = 1 << 20  # bytes


def __dir__() -> list[str]:
    return sorted(__all__)


class Server:
    """Functions that clients call by Arrow Flight, from when it is made until ``stop``.

    It is a context manager, which stops at the end. Calls run on threads of their own, each in a
    micro-VM.

    Attributes:
        location: what clients connect to, such as ``"grpc://127.0.0.1:8815"``.
        port: the port that it listens on.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> with udfvm.flight.Server(half, listen="127.0.0.1:0") as server:
    ...     server.location.startswith("grpc://127.0.0.1:")
    True
    """

    @checks_options("udfvm.flight.Server", elsewhere=OF_FUNCTIONS)
    def __init__(
        self,
        *functions: Function,
        listen: str = "127.0.0.1:8815",
        tls_certificate: str | Path | None = None,
        tls_key: str | Path | None = None,
        token_file: str | Path | None = None,
        tokens: Mapping[str, str] | None = None,
        calls: int = 64,
        calls_per_client: int = 32,
        max_batch: int | str = "32MiB",
        max_rows: int = 1 << 20,
        idle_timeout: float = 60.0,
    ) -> None:
        """Builds the images, and begins to serve.

        Args:
            functions: functions of any form, each under its name.
            listen: the address and port; port 0 is any that is free.
            tls_certificate, tls_key: files with the server's certificate and its key, in PEM.
            token_file: a file that only its owner can use, with a client on each line: a name and a
                token, or a token alone. Clients send it as ``authorization: Bearer TOKEN``.
            tokens: the same, by name.
            calls: how many calls run at once. Others are refused.
            calls_per_client: how many of these a client has, which is a token, or an address.
            max_batch: the most bytes of a batch that a client sends.
            max_rows: the most rows of such a batch.
            idle_timeout: seconds that a call waits for the client to send.

        Raises:
            OptionError: an option has a value that it cannot have, a file cannot be read, or the
                server cannot listen there.
            SignatureError: clients cannot have such a function, or two have the same name.
            BuildError: an image cannot be built.
            UnsafeBackendError: functions run without micro-VMs (docs/without_kvm.md).
        """
        from udfvm.serving.clients import ClientLimits, Tokens
        from udfvm.serving.running import RunningServer
        from udfvm.serving.served import served

        refuse_in_process("a server", "its clients are strangers")
        check_functions("udfvm.flight.Server", functions, None)
        host, port = _address(listen)
        limits = ClientLimits.parse(calls, calls_per_client, max_batch, max_rows, idle_timeout)
        certificate = _certificate(tls_certificate, tls_key)
        if token_file is not None and tokens is not None:
            raise OptionError("udfvm.flight.Server takes token_file= or tokens=, not both")
        known = None
        if token_file is not None:
            known = Tokens.of_file(Path(token_file))
        elif tokens is not None:
            known = Tokens(dict(tokens))
        if known is not None and certificate is None and not _is_loopback(host):
            raise OptionError(
                f"tokens would travel in clear to {host}: give a certificate and a key, too, or"
                " listen on 127.0.0.1 behind a proxy that has them"
            )
        found = {}
        for function in functions:
            if function.name in found:
                raise SignatureError(
                    f"udfvm.flight.Server: two functions have the name {function.name!r}: give one"
                    " another, by with_options(name=...)"
                )
            found[function.name] = served(function)
        if not found:
            raise SignatureError("udfvm.flight.Server takes at least one function")
        for each in found.values():
            each.function.prepare()
        self._running = RunningServer(found, host, port, limits, known, certificate)
        self.port = self._running.port
        scheme = "grpc" if certificate is None else "grpc+tls"
        self.location = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def __repr__(self) -> str:
        return f"<udfvm.flight.Server {self.location}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, *, at_once: bool = False) -> None:
        """Stops, and waits for it: new batches and calls are refused, those that run end, and their
        results reach their clients.

        Args:
            at_once: True ends the micro-VMs of the batches that run. Another thread may call it
                while the first waits.

        Raises:
            HostError: the server failed.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> server = udfvm.flight.Server(half, listen="127.0.0.1:0")
        >>> server.stop()
        """
        self.begin_stop(at_once=check_switch("udfvm.flight.Server.stop: at_once", at_once))
        self.wait()

    def begin_stop(self, *, at_once: bool = False) -> None:
        """As ``stop``, but does not wait. Handlers of signals may call it.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> with udfvm.flight.Server(half, listen="127.0.0.1:0") as server:
        ...     server.begin_stop()
        ...     server.wait()
        True
        """
        self._running.begin_stop(at_once=at_once)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the server has stopped, or for so many seconds.

        Returns:
            Whether it has stopped.

        Raises:
            HostError: the server failed.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> with udfvm.flight.Server(half, listen="127.0.0.1:0") as server:
        ...     server.wait(0.01)
        False
        """
        return self._running.wait(timeout)


def _address(listen: Any) -> tuple[str, int]:
    """Returns host and port of ``listen=``. Raises OptionError."""
    text = listen if isinstance(listen, str) else ""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise OptionError(
            f"listen={shown(listen)} is not an address and a port, such as 127.0.0.1:8815 or"
            " [::1]:8815"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _certificate(chain: str | Path | None, key: str | Path | None) -> Certificate | None:
    """Returns what the files of ``tls_certificate=`` and ``tls_key=`` have. Raises OptionError."""
    from udfvm.serving.running import Certificate

    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise OptionError("TLS needs a certificate and its key: tls_certificate= and tls_key=")
    return Certificate(_pem("tls_certificate", chain), _pem("tls_key", key))


def _pem(option: str, path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            found = file.read(_MAX_PEM)
    except OSError as error:
        raise OptionError(f"{option}={shown(str(path))} cannot be read: {error}") from None
    if b"-----BEGIN " not in found:
        raise OptionError(f"{option}={shown(str(path))} is not a file of PEM")
    return found
