"""One call of a client: its batches and their answers, in the order of the batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final

from udfvm.serving.messages import FlightData
from udfvm.serving.statuses import RefusedError
from udfvm.serving.streams import Messages, Sent, take_exception
from udfvm.tuples import NamedTuple

_MOST: Final = 4  # batches that are computed at a time: more than processors, which then have
# work while one batch has ended and the next is not there yet

_AllAnswers = Callable[[FlightData], Coroutine[Any, Any, list[bytes]]]


class _Begun(NamedTuple):
    """A batch that is computed: the messages that answer it, and its bytes."""

    answers: asyncio.Task[list[bytes]]
    size: int


class Exchange:
    """Answers the batches of a client.

    With ``overlapping``, the next batches begin while one is computed. So processors have work
    while messages come and go, and a micro-VM for each batch takes less of them than several for
    one.
    """

    def __init__(self, messages: Messages, sent: Sent) -> None:
        self._messages = messages
        self._sent = sent
        self._running: deque[_Begun] = deque()

    async def in_turn(self, answers_to: Callable[[FlightData], AsyncGenerator[bytes]]) -> None:
        """Answers each batch before the next begins. There may be any number of answers."""
        while (data := await self._messages.next()) is not None:
            self._messages.read_ahead()
            if data.header:
                async with contextlib.aclosing(answers_to(data)) as answers:
                    async for each in answers:
                        await self._sent.send(each)

    async def overlapping(
        self, answers_to: _AllAnswers, may_begin_another: Callable[[int], bool], max_batch: int
    ) -> None:
        """Answers batches that have an answer each, several at a time. ``may_begin_another`` says
        whether the next one may begin while so many are computed. It does not where these have
        more than ``max_batch`` bytes together.
        """

        def is_room() -> bool:
            running = len(self._running)
            begun = sum(each.size for each in self._running)
            return running < _MOST and begun <= max_batch and may_begin_another(running)

        try:
            failure = await self._begin_all(answers_to, is_room)
            while self._running:
                await self._send_first()
        finally:
            left = [each.answers for each in self._running]
            for each in left:
                each.cancel()
            if left:
                await asyncio.wait(left)
        if failure is not None:
            raise failure

    async def _begin_all(
        self, answers_to: _AllAnswers, is_room: Callable[[], bool]
    ) -> RefusedError | None:
        """Returns once the last batch has begun. What is refused then comes after the answers to
        the batches before.
        """
        while True:
            if self._running and not await self._is_next(is_room):
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
                begun = asyncio.ensure_future(answers_to(data))
                begun.add_done_callback(take_exception)
                self._running.append(_Begun(begun, len(data.body)))

    async def _is_next(self, is_room: Callable[[], bool]) -> bool:
        """Whether the next step is another batch, and not the answer to the first that runs."""
        return (
            len(self._running) < _MOST
            and await self._messages.next_or(self._running[0].answers)
            and is_room()
        )

    async def _send_first(self) -> None:
        answers = await asyncio.shield(self._running[0].answers)
        self._running.popleft()
        for each in answers:
            await self._sent.send(each)
