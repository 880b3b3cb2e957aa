"""How a server sends results: while the client takes one message, the next is made, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from udfvm.serving.streams import Sent


class Client:
    """Takes a message whenever ``takes`` is released."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.takes = asyncio.Semaphore(0)

    async def write(self, message: bytes) -> None:
        await self.takes.acquire()
        if message == b"broken":
            raise ConnectionError(message)
        self.taken.append(message)


def with_client(body: Callable[[Client, list[int]], Awaitable[None]]) -> None:
    async def run() -> None:
        progress: list[int] = []
        await body(Client(), progress)

    asyncio.run(run())


async def turns() -> None:
    for _ in range(20):  # whatever can go on, goes on
        await asyncio.sleep(0)


def test_one_message_waits_and_no_more() -> None:
    async def body(client: Client, progress: list[int]) -> None:
        made = []

        async def make() -> None:
            async with Sent(client, lambda: progress.append(1)) as sent:
                for message in (b"1", b"2", b"3"):
                    made.append(message)
                    await sent.send(message)

        making = asyncio.ensure_future(make())
        await turns()
        assert made == [b"1", b"2"] and client.taken == [] and progress == []
        client.takes.release()
        await turns()
        assert made == [b"1", b"2", b"3"] and client.taken == [b"1"] and progress == [1]
        assert not making.done()
        client.takes.release()
        client.takes.release()
        await making
        assert client.taken == made and len(progress) == 3

    with_client(body)


def test_an_error_follows_what_was_made_before_it() -> None:
    async def body(client: Client, progress: list[int]) -> None:
        async def make() -> None:
            async with Sent(client, lambda: progress.append(1)) as sent:
                await sent.send(b"1")
                raise ValueError("the second batch")

        making = asyncio.ensure_future(make())
        await turns()
        assert not making.done()
        client.takes.release()
        with pytest.raises(ValueError, match="second batch"):
            await making
        assert client.taken == [b"1"]

    with_client(body)


def test_a_call_that_is_cancelled_sends_nothing_more() -> None:
    async def body(client: Client, progress: list[int]) -> None:
        async def make() -> None:
            async with Sent(client, lambda: progress.append(1)) as sent:
                await sent.send(b"1")
                await asyncio.sleep(1000)

        making = asyncio.ensure_future(make())
        await turns()
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        client.takes.release()
        await turns()
        assert client.taken == [] and progress == []

    with_client(body)


def test_a_message_that_cannot_be_sent_ends_the_call() -> None:
    async def body(client: Client, progress: list[int]) -> None:
        client.takes.release()
        sent = Sent(client, lambda: progress.append(1))
        await sent.send(b"broken")
        with pytest.raises(ConnectionError):
            await sent.send(b"2")
        assert progress == []

    with_client(body)
