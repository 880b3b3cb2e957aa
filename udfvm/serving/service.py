"""The service of Arrow Flight: the functions, as methods of gRPC, on an event loop.

``DoExchange`` is a call: the client sends a schema and batches, and gets a schema and for each of
its batches the results, while it sends the next one. ``GetFlightInfo``, ``GetSchema`` and
``ListFlights`` tell the types. All other methods are not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

import grpc
import grpc.aio
import pyarrow as pa

from udfvm.keywords import nearest
from udfvm.serving.client_batches import NOT_VALID, batch_in, types_in
from udfvm.serving.clients import ClientLimits, Gate, Tokens, address_of
from udfvm.serving.messages import (
    SERVICE,
    FlightData,
    action_description,
    action_result,
    action_type,
    batch_data,
    flight_data,
    flight_info,
    name_in_descriptor,
    schema_data,
    schema_result,
)
from udfvm.serving.served import Served
from udfvm.serving.statuses import RefusedError, is_for_the_log, status_of
from udfvm.vmm import Cancellation

_VERSION_ACTION: Final = "protocol_version"
_VERSION: Final = b"\x02"  # of the protocol of arrow-udf
_log: Final = logging.getLogger("udfvm.flight")

_Handler = Callable[[bytes, Any], Awaitable[Any]]


class Service(grpc.GenericRpcHandler):
    """Serves functions. All methods run on the thread of the event loop.

    Attributes:
        stopping: done once no batch is to begin any more.
    """

    def __init__(
        self, functions: Mapping[str, Served], limits: ClientLimits, tokens: Tokens | None
    ) -> None:
        """Makes a service of functions by name."""
        self._functions = functions
        self._limits = limits
        self._tokens = tokens
        self._gate = Gate(limits)
        self._threads = ThreadPoolExecutor(limits.calls, "udfvm-flight-call")
        self._begun: set[Cancellation] = set()  # of the batches that are being answered
        self._steps = 0  # that threads take now
        self._rested = asyncio.Event()
        self._rested.set()
        self._progress = 0.0  # when a step ended, or a client took a message
        self.stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        self._methods = {
            "GetFlightInfo": one(self._answering(self._info)),
            "GetSchema": one(self._answering(self._schema)),
            "ListFlights": many(self._listing(self._list)),
            "DoAction": many(self._listing(self._act)),
            "ListActions": many(self._listing(self._list_actions)),
            "DoExchange": grpc.stream_stream_rpc_method_handler(self._exchange_method),
        }

    def service(self, handler_call_details: Any) -> Any:
        """Returns the handler of a method; None if there is no such method."""
        service, _, method = handler_call_details.method.strip("/").partition("/")
        return self._methods.get(method) if service == SERVICE else None

    def refuse(self) -> None:
        """Lets no batch begin any more. Calls that wait for their client end."""
        if not self.stopping.done():
            self.stopping.set_result(None)

    def end(self) -> None:
        """Ends the micro-VMs of the batches that run."""
        for each in self._begun:
            each.cancel()

    async def rested(self) -> None:
        """Waits until no micro-VM runs."""
        await self._rested.wait()

    def is_stuck(self) -> bool:
        """Whether no micro-VM runs, and no client has taken a message for too long."""
        waited = asyncio.get_running_loop().time() - self._progress
        return self._rested.is_set() and waited >= self._limits.idle

    def close(self) -> None:
        """Waits for the threads."""
        self._threads.shutdown()

    # ---- What calls have in common ----

    def _client(self, context: Any) -> str:
        """Returns the name of the client. Raises RefusedError for one that may not call."""
        client = address_of(context.peer())
        if self._tokens is not None:
            metadata = dict(context.invocation_metadata() or ())
            client = self._tokens.client(metadata.get("authorization"))
        if self.stopping.done():
            raise _stopping()
        return client

    async def _fail(self, context: Any, error: Exception) -> None:
        """Ends a call with an error."""
        if is_for_the_log(error):
            _log.error("a call failed", exc_info=error)
        status = status_of(error)
        await context.abort(grpc.StatusCode[status.name], status.text, status.metadata)

    def _answering(self, answer: Callable[[bytes], bytes]) -> _Handler:
        async def handler(request: bytes, context: Any) -> bytes:
            try:
                self._client(context)
                return answer(request)
            except Exception as error:  # noqa: BLE001 - the client reads it
                await self._fail(context, error)
                raise

        return handler

    def _listing(self, answer: Callable[[bytes], list[bytes]]) -> _Handler:
        async def handler(request: bytes, context: Any) -> None:
            try:
                self._client(context)
                for each in answer(request):
                    await context.write(each)
            except Exception as error:  # noqa: BLE001 - the client reads it
                await self._fail(context, error)

        return handler

    # ---- Descriptions ----

    def _function(self, descriptor: memoryview) -> Served:
        """Returns the function that a descriptor asks for. Raises RefusedError."""
        try:
            name = name_in_descriptor(descriptor)
        except NOT_VALID as error:
            raise RefusedError("INVALID_ARGUMENT", f"the message is not valid: {error}") from None
        found = self._functions.get(name)
        if found is None:
            meant = nearest(name, self._functions)
            advice = f": did you mean {meant!r}?" if meant else ""
            raise RefusedError("NOT_FOUND", f"there is no function {name!r}{advice}")
        return found

    def _info(self, request: bytes) -> bytes:
        found = self._function(memoryview(request))
        return flight_info(found.name, found.inputs, found.outputs)

    def _schema(self, request: bytes) -> bytes:
        found = self._function(memoryview(request))
        return schema_result(found.inputs, found.outputs)

    def _list(self, _: bytes) -> list[bytes]:
        return [
            flight_info(each.name, each.inputs, each.outputs) for each in self._functions.values()
        ]

    def _act(self, request: bytes) -> list[bytes]:
        try:
            type_ = action_type(request)
        except NOT_VALID as error:
            raise RefusedError("INVALID_ARGUMENT", f"the action is not valid: {error}") from None
        if type_ != _VERSION_ACTION:
            raise RefusedError("UNIMPLEMENTED", f"there is no action {type_!r}")
        return [action_result(_VERSION)]

    def _list_actions(self, _: bytes) -> list[bytes]:
        return [action_description(_VERSION_ACTION, "Returns the version of arrow-udf's protocol")]

    # ---- Calls ----

    async def _exchange_method(self, _: Any, context: Any) -> None:
        try:
            with self._gate.call(self._client(context)):
                await self._exchange(context)
        except Exception as error:  # noqa: BLE001 - the client reads it
            await self._fail(context, error)

    async def _exchange(self, context: Any) -> None:
        """One call: answers the batches of a client in turn."""
        messages = _Messages(context, self.stopping, self._limits.idle)
        data = await messages.next()
        if data is None:
            raise RefusedError("INVALID_ARGUMENT", "the call has no message")
        function = self._function(data.descriptor)
        while data is not None and not data.header:  # a descriptor alone, or metadata
            data = await messages.next()
        types = [] if data is None else types_in(data)
        async with _Sent(context, self._note_progress) as sent:
            await sent.send(schema_data(function.outputs))
            while (data := await messages.next()) is not None:
                messages.read_ahead()
                if data.header:
                    async with contextlib.aclosing(self._answers(function, types, data)) as answers:
                        async for each in answers:
                            await sent.send(each)

    def _note_progress(self) -> None:
        self._progress = asyncio.get_running_loop().time()

    async def _answers(
        self, function: Served, types: list[pa.DataType], data: FlightData
    ) -> AsyncGenerator[bytes]:
        """Yields the messages that answer a batch, each made on another thread."""

        def answers() -> Generator[bytes]:
            batch = batch_in(data, types, self._limits.max_rows, self._limits.max_batch)
            for each in function.batches(batch.columns, batch.rows):
                yield batch_data(each)

        made, cancellation = answers(), Cancellation()
        self._begun.add(cancellation)
        try:
            while (answer := await self._next(made, cancellation)) is not None:
                yield answer
        finally:
            made.close()  # which gives the micro-VM back
            self._begun.discard(cancellation)

    async def _next(self, made: Generator[bytes], cancellation: Cancellation) -> bytes | None:
        """Returns the next answer, which a thread makes; None after the last one. If the client
        goes away meanwhile, its micro-VM ends.
        """
        loop = asyncio.get_running_loop()
        self._steps += 1
        self._rested.clear()
        taken = loop.run_in_executor(self._threads, _next, made, cancellation)
        try:
            return await asyncio.shield(taken)
        except asyncio.CancelledError:
            cancellation.cancel()
            await asyncio.wait([taken])
            _take_exception(taken)
            raise
        finally:
            self._progress = loop.time()
            self._steps -= 1
            if not self._steps:
                self._rested.set()


def _next(made: Generator[bytes], cancellation: Cancellation) -> bytes | None:
    try:
        with cancellation.applies():
            return next(made, None)
    except KeyboardInterrupt:  # which would end the event loop
        raise RefusedError("UNAVAILABLE", "the server ended the call, because it stops") from None


def _take_exception(done: asyncio.Future[Any]) -> None:
    """Says that nobody is going to wait for an exception: the call has ended."""
    if not done.cancelled():
        done.exception()


def _stopping() -> RefusedError:
    return RefusedError("UNAVAILABLE", "the server stops: call another, or later")


class _Sent:
    """The messages that a call answers with. While the client takes one, the next is made, and no
    more than that one: a client that takes nothing holds its call up.
    """

    def __init__(self, context: Any, note_progress: Callable[[], None]) -> None:
        """``note_progress`` is called whenever the client took a message."""
        self._context = context
        self._note_progress = note_progress
        self._last: asyncio.Task[None] | None = None

    async def send(self, message: bytes) -> None:
        """Sends a message, as soon as the client took the one before."""
        await self.all()
        self._last = asyncio.ensure_future(self._send(message))
        self._last.add_done_callback(_take_exception)

    async def all(self) -> None:
        """Waits until the client took all messages. Raises what sending one raised."""
        if self._last is not None:
            await self._last

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, *rest: object) -> None:
        """An error follows what was made before it. Where the call is cancelled, nothing does."""
        if error is None:
            await self.all()
        elif isinstance(error, Exception):
            with contextlib.suppress(Exception):
                await self.all()
        elif self._last is not None:
            self._last.cancel()
            await asyncio.wait([self._last])

    async def _send(self, message: bytes) -> None:
        await self._context.write(message)
        self._note_progress()


class _Messages:
    """The messages of a call. The next one may be read ahead."""

    def __init__(self, context: Any, stopping: asyncio.Future[None], idle: float) -> None:
        self._context = context
        self._stopping = stopping
        self._idle = idle
        self._ahead: asyncio.Task[Any] | None = None

    def read_ahead(self) -> None:
        """Begins to read the next message."""
        if self._ahead is None:
            self._ahead = asyncio.ensure_future(self._context.read())
            self._ahead.add_done_callback(_take_exception)

    async def next(self) -> FlightData | None:
        """Returns the next message; None after the last one. Raises RefusedError if the client
        sends none for too long, and if the server stops.
        """
        self.read_ahead()
        reading, self._ahead = self._ahead, None
        assert reading is not None
        try:
            await asyncio.wait(
                [reading, self._stopping], timeout=self._idle, return_when=asyncio.FIRST_COMPLETED
            )
            if reading.done() and reading.result() is grpc.aio.EOF:
                return None
            if self._stopping.done():
                raise _stopping()
            if not reading.done():
                raise RefusedError(
                    "DEADLINE_EXCEEDED", f"the client sent nothing for {self._idle:g} seconds"
                )
        finally:
            reading.cancel()
        try:
            return flight_data(reading.result())
        except NOT_VALID as error:
            raise RefusedError("INVALID_ARGUMENT", f"the message is not valid: {error}") from None
