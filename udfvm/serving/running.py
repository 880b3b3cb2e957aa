"""A server that runs on a thread of its own, and how it begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Final

import grpc
import grpc.aio

from udfvm.errors import HostError, OptionError
from udfvm.serving.clients import ClientLimits, Tokens
from udfvm.serving.served import Served
from udfvm.serving.service import Service
from udfvm.tuples import NamedTuple

_FRAME: Final = 1 << 16  # bytes of a message beside its batch
_FOREVER: Final = 1e8  # seconds
_LOOK: Final = 0.2  # seconds between two looks whether calls go on
_TO_TELL: Final = 1.0  # seconds that clients have to hear why their calls end
_QUIET: Final = 0.1  # seconds without a call, after which clients know that the server stops
_TO_BE_QUIET: Final = 2.0  # seconds that clients have to be


class Certificate(NamedTuple):
    """Attributes:
    chain: the server's certificate and those that it is signed by, in PEM.
    key: its private key, in PEM.
    """

    chain: bytes
    key: bytes


class RunningServer:
    """Functions that clients can call, until ``begin_stop``.

    Attributes:
        port: the port that it listens on.
    """

    def __init__(
        self,
        functions: Mapping[str, Served],
        host: str,
        port: int,
        limits: ClientLimits,
        tokens: Tokens | None,
        certificate: Certificate | None,
    ) -> None:
        """Begins to serve. Raises OptionError if it cannot listen there."""
        self.port = port
        self._functions = functions
        self._host = host
        self._limits = limits
        self._tokens = tokens
        self._certificate = certificate
        self._failure: Exception | None = None
        self._begun = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stops = 0
        self._stop_changed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="udfvm-flight", daemon=True)
        self._thread.start()
        self._begun.wait()
        if self._failure is not None:
            raise self._failure

    def begin_stop(self, *, at_once: bool) -> None:
        """Begins to stop; may be called from handlers of signals, and again."""
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            try:
                loop.call_soon_threadsafe(self._stop, 2 if at_once else 1)
            except RuntimeError:
                pass  # it has ended meanwhile

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has stopped. Returns whether it has. Raises HostError if it failed."""
        self._thread.join(timeout)
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive()

    def _stop(self, level: int) -> None:
        self._stops = max(self._stops, level)
        self._stop_changed.set()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (OptionError, HostError) as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - raised by those that wait
            self._failure = HostError(f"the server failed: {error!r}")
            self._failure.__cause__ = error
        finally:
            self._begun.set()

    async def _serve(self) -> None:
        service = Service(self._functions, self._limits, self._tokens)
        server = grpc.aio.server(handlers=[service], options=self._options())
        self._bind(server)
        await server.start()
        self._loop = asyncio.get_running_loop()
        self._begun.set()
        try:
            await self._stop_changed.wait()
            service.refuse()
            await self._end(server, service)
        finally:
            service.end()
            await server.stop(0)
            await self._have_ended()
            service.close()

    async def _end(self, server: Any, service: Service) -> None:
        """Waits for the batches that run, for their clients to read the results, or for an end at
        once.
        """
        stopped = asyncio.ensure_future(self._take_no_calls(server, service))
        read = asyncio.ensure_future(self._are_read(service, stopped))
        while self._stops < 2 and not read.done():
            self._stop_changed.clear()
            changed = asyncio.ensure_future(self._stop_changed.wait())
            await asyncio.wait([changed, read], return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        read.cancel()
        if self._stops > 1:
            service.end()
            await service.rested()
            await asyncio.wait([stopped], timeout=_TO_TELL)

    async def _take_no_calls(self, server: Any, service: Service) -> None:
        """Refuses calls for as long as they come, closes the port, and waits for those that run.

        A call that comes while gRPC closes the port is cancelled, and pyarrow takes that for Ctrl-C
        in its client: it raises KeyboardInterrupt in the client's main thread.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(service.quiet(_QUIET), _TO_BE_QUIET)
        await server.stop(_FOREVER)

    async def _have_ended(self) -> None:
        """Waits for the calls, which gRPC does not: one that ends with the event loop never has an
        answer.
        """
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        if calls:
            await asyncio.wait(calls, timeout=_TO_TELL)

    async def _are_read(self, service: Service, stopped: asyncio.Future[Any]) -> None:
        """Waits until all calls have ended, or those that are left do not go on."""
        while not stopped.done() and not service.is_stuck():
            await service.rested()
            await asyncio.wait([stopped], timeout=min(self._limits.idle, _LOOK))

    def _options(self) -> list[tuple[str, int]]:
        return [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._limits.max_batch + _FRAME),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", self._limits.calls_per_client + 16),
            ("grpc.http2.max_frame_size", 1 << 20),  # few frames for a batch
            # A message that gRPC has compressed may be any number of times as large.
            ("grpc.compression_enabled_algorithms_bitset", 1),
            ("grpc.keepalive_time_ms", 20_000),  # a client without power is noticed
            ("grpc.keepalive_timeout_ms", 10_000),
        ]

    def _bind(self, server: Any) -> None:
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self.port}"
        try:
            if self._certificate is None:
                self.port = server.add_insecure_port(address)
            else:
                pair = (self._certificate.key, self._certificate.chain)
                credentials = grpc.ssl_server_credentials([pair])
                self.port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            reason = str(error)
        else:
            if self.port:
                return
            reason = "the address is not to be had"
        tls = "" if self._certificate is None else ", or the certificate and key do not fit"
        raise OptionError(f"the server cannot listen on {address}: {reason}{tls}")
