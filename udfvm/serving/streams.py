"""The two streams of a call: the messages that a client sends, and those that it takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Self

import grpc.aio

from udfvm.serving.client_batches import NOT_VALID
from udfvm.serving.messages import FlightData, flight_data
from udfvm.serving.statuses import RefusedError


def take_exception(done: asyncio.Future[Any]) -> None:
    """Says that nobody is going to wait for an exception: the call has ended."""
    if not done.cancelled():
        done.exception()


def stopping() -> RefusedError:
    return RefusedError("UNAVAILABLE", "the server stops: call another, or later")


class Sent:
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
        self._last.add_done_callback(take_exception)

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


class Messages:
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
            self._ahead.add_done_callback(take_exception)

    async def next_or(self, done: asyncio.Future[Any]) -> bool:
        """Waits until the next message is there, or something else is done. Returns True if the
        message is there.
        """
        self.read_ahead()
        assert self._ahead is not None
        await asyncio.wait([self._ahead, done], return_when=asyncio.FIRST_COMPLETED)
        return self._ahead.done()

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
                raise stopping()
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
