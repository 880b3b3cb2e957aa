"""The service of Arrow Flight: the functions, as methods of gRPC, on an event loop.

``DoExchange`` is a call: the client sends a schema and batches, and gets a schema and for each of
its batches the results, while it sends the next one. ``GetFlightInfo``, ``GetSchema`` and
``ListFlights`` tell the types. All other methods are not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
import pyarrow as pa

from udfvm.keywords import nearest
from udfvm.serving.call_threads import CallThreads
from udfvm.serving.client_batches import NOT_VALID, batch_in, types_in
from udfvm.serving.clients import ClientLimits, Gate, Tokens, address_of
from udfvm.serving.exchange import Exchange
from udfvm.serving.messages import (
    SERVICE,
    FlightData,
    action_description,
    action_result,
    action_type,
    batch_data,
    flight_info,
    name_in_descriptor,
    schema_data,
    schema_result,
)
from udfvm.serving.served import Served
from udfvm.serving.statuses import RefusedError, is_for_the_log, status_of
from udfvm.serving.streams import Messages, Sent, stopping, take_exception
from udfvm.vmm import Cancellation

_VERSION_ACTION: Final = "protocol_version"
_VERSION: Final = b"\x02"  # of the protocol of arrow-udf
_log: Final = logging.getLogger("udfvm.flight")

_Handler = Callable[[bytes, Any], Awaitable[Any]]
_Taken = TypeVar("_Taken")


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
        self._threads = CallThreads(limits.calls)
        self._begun: set[Cancellation] = set()  # of the batches that are being answered
        self._steps = 0  # that threads take now
        self._rested = asyncio.Event()
        self._rested.set()
        self._progress = 0.0  # when a step ended, or a client took a message
        self._asked = 0.0  # when a call came
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
        self._asked = asyncio.get_running_loop().time()
        service, _, method = handler_call_details.method.strip("/").partition("/")
        return self._methods.get(method) if service == SERVICE else None

    def refuse(self) -> None:
        """Lets no batch begin any more. Calls that wait for their client end."""
        if not self.stopping.done():
            self.stopping.set_result(None)
            self._asked = asyncio.get_running_loop().time()
            self._note_progress()  # clients have their time from now on

    def end(self) -> None:
        """Ends the micro-VMs of the batches that run."""
        for each in self._begun:
            each.cancel()

    async def rested(self) -> None:
        """Waits until no micro-VM runs."""
        await self._rested.wait()

    async def quiet(self, seconds: float) -> None:
        """Waits until no call has come for a while, since ``refuse``."""
        while (left := self._asked + seconds - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left)

    def is_stuck(self) -> bool:
        """Whether no micro-VM runs, and no client has taken a message for too long."""
        waited = asyncio.get_running_loop().time() - self._progress
        return self._rested.is_set() and waited >= self._limits.idle

    def close(self) -> None:
        """Waits for the threads."""
        self._threads.close()

    # ---- What calls have in common ----

    def _client(self, context: Any) -> str:
        """Returns the name of the client. Raises RefusedError for one that may not call."""
        client = address_of(context.peer())
        if self._tokens is not None:
            metadata = dict(context.invocation_metadata() or ())
            client = self._tokens.client(metadata.get("authorization"))
        if self.stopping.done():
            raise stopping()
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
        messages = Messages(context, self.stopping, self._limits.idle)
        data = await messages.next()
        if data is None:
            raise RefusedError("INVALID_ARGUMENT", "the call has no message")
        function = self._function(data.descriptor)
        while data is not None and not data.header:  # a descriptor alone, or metadata
            data = await messages.next()
        types = [] if data is None else types_in(data)
        async with Sent(context, self._note_progress) as sent:
            await sent.send(schema_data(function.outputs))
            exchange = Exchange(messages, sent)
            if function.may_overlap:
                await exchange.overlapping(
                    lambda data: self._all_answers(function, types, data),
                    function.may_begin_another,
                    self._limits.max_batch,
                )
            else:
                await exchange.in_turn(lambda data: self._answers(function, types, data))

    def _note_progress(self) -> None:
        self._progress = asyncio.get_running_loop().time()

    async def _answers(
        self, function: Served, types: list[pa.DataType], data: FlightData
    ) -> AsyncGenerator[bytes]:
        """Yields the messages that answer a batch, each made on another thread."""
        made, cancellation = self._made(function, types, data), Cancellation()
        self._begun.add(cancellation)
        try:
            while (answer := await self._step(_next, made, cancellation)) is not None:
                yield answer
        finally:
            made.close()  # which gives the micro-VM back
            self._begun.discard(cancellation)

    async def _all_answers(
        self, function: Served, types: list[pa.DataType], data: FlightData
    ) -> list[bytes]:
        """Returns the messages that answer a batch, which another thread makes in one step."""
        made, cancellation = self._made(function, types, data), Cancellation()
        self._begun.add(cancellation)
        try:
            return await self._step(list, made, cancellation)
        finally:
            self._begun.discard(cancellation)

    def _made(
        self, function: Served, types: list[pa.DataType], data: FlightData
    ) -> Generator[bytes]:
        """Yields the messages that answer a batch."""
        batch = batch_in(data, types, self._limits.max_rows, self._limits.max_batch)
        for each in function.batches(batch.columns, batch.rows):
            yield batch_data(each)

    async def _step(
        self,
        take: Callable[[Generator[bytes]], _Taken],
        made: Generator[bytes],
        cancellation: Cancellation,
    ) -> _Taken:
        """Returns what a thread takes of the answers to a batch. If the client goes away meanwhile,
        its micro-VM ends.
        """
        taken = asyncio.wrap_future(
            self._threads.begin(lambda: _taken(take, made, cancellation))
        )  # fails where the system has no thread
        self._steps += 1
        self._rested.clear()
        try:
            return await asyncio.shield(taken)
        except asyncio.CancelledError:
            cancellation.cancel()
            await asyncio.wait([taken])
            take_exception(taken)
            raise
        finally:
            self._note_progress()
            self._steps -= 1
            if not self._steps:
                self._rested.set()


def _next(made: Generator[bytes]) -> bytes | None:
    return next(made, None)


def _taken(
    take: Callable[[Generator[bytes]], _Taken], made: Generator[bytes], cancellation: Cancellation
) -> _Taken:
    try:
        with cancellation.applies():
            return take(made)
    except KeyboardInterrupt:  # which would end the event loop
        raise RefusedError("UNAVAILABLE", "the server ended the call, because it stops") from None
