"""One call of a client: its batches and their answers, in the order of the batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

from udfvm.serving.messages import FlightData
from udfvm.serving.statuses import RefusedError
from udfvm.serving.streams import Messages, Sent, take_exception

_MOST: Final = 2  # batches that are computed at a time: their bytes are in memory


class Exchange:
    """Answers the batches of a client.

    With ``overlapping``, the next batch begins while one is computed. So processors have work while
    messages come and go, and a micro-VM for each batch takes less of them than several for one.
    """

    def __init__(
        self,
        messages: Messages,
        sent: Sent,
        answers: Callable[[FlightData], AsyncGenerator[bytes]],
    ) -> None:
        """``answers`` yields the messages that answer a batch."""
        self._messages = messages
        self._sent = sent
        self._answers = answers
        self._running: deque[asyncio.Task[list[bytes]]] = deque()

    async def in_turn(self) -> None:
        """Answers each batch before the next begins. There may be any number of answers."""
        while (data := await self._messages.next()) is not None:
            self._messages.read_ahead()
            if data.header:
                async with contextlib.aclosing(self._answers(data)) as answers:
                    async for each in answers:
                        await self._sent.send(each)

    async def overlapping(self, may_begin_another: Callable[[], bool]) -> None:
        """Answers batches that have an answer each. ``may_begin_another`` says whether the next one
        may begin while one is computed.
        """
        try:
            failure = await self._begin_all(may_begin_another)
            while self._running:
                await self._send_first()
        finally:
            for each in self._running:
                each.cancel()
            if self._running:
                await asyncio.wait(self._running)
        if failure is not None:
            raise failure

    async def _begin_all(self, may_begin_another: Callable[[], bool]) -> RefusedError | None:
        """Returns once the last batch has begun. What is refused then comes after the answers to
        the batches before.
        """
        while True:
            if self._running and not await self._is_next(may_begin_another):
                await self._send_first()
                continue
            try:
                data = await self._messages.next()
            except RefusedError as error:
                return error
            if data is None:
                return None
            self._messages.read_ahead()
            if data.header:
                begun = asyncio.ensure_future(self._all_answers(data))
                begun.add_done_callback(take_exception)
                self._running.append(begun)

    async def _is_next(self, may_begin_another: Callable[[], bool]) -> bool:
        """Whether the next step is another batch, and not the answer to the first that runs."""
        return (
            len(self._running) < _MOST
            and await self._messages.next_or(self._running[0])
            and may_begin_another()
        )

    async def _send_first(self) -> None:
        answers = await asyncio.shield(self._running[0])
        self._running.popleft()
        for each in answers:
            await self._sent.send(each)

    async def _all_answers(self, data: FlightData) -> list[bytes]:
        async with contextlib.aclosing(self._answers(data)) as answers:
            return [each async for each in answers]
