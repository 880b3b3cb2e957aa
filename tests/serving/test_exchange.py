"""How a server answers the batches of one call: in their order, several at a time where it may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from flight_clients import batch_of, busy, wait_until

import udfvm
from udfvm.functions.integration import calls_of
from udfvm.serving.exchange import Exchange
from udfvm.serving.messages import FlightData
from udfvm.serving.protobuf import field
from udfvm.serving.served import served
from udfvm.serving.statuses import RefusedError
from udfvm.serving.streams import Messages, Sent

MAX_BATCH = 10  # bytes


class Call:
    """A call whose client sends and takes what a test says, and whose batches end when it says."""

    def __init__(self, is_free: bool = True) -> None:
        self.taken: list[bytes] = []
        self.begun: list[bytes] = []
        self.ended: list[bytes] = []
        self.is_free = is_free
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._results: dict[bytes, asyncio.Future[bytes]] = {}
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(self._run())

    def send(self, *batches: bytes, body: bytes = b"") -> None:
        for each in batches:
            self._sent.put_nowait(field(2, each) + field(1000, body))

    def end(self) -> None:
        self._sent.put_nowait(grpc.aio.EOF)

    def stop(self) -> None:
        self._stopping.set_result(None)

    def finish(self, batch: bytes, error: Exception | None = None) -> None:
        if error is None:
            self._results[batch].set_result(b"answer to " + batch)
        else:
            self._results[batch].set_exception(error)

    async def read(self) -> Any:
        return await self._sent.get()

    async def write(self, message: bytes) -> None:
        self.taken.append(message)

    async def _answers(self, data: FlightData) -> list[bytes]:
        batch = bytes(data.header)
        self.begun.append(batch)
        self._results[batch] = asyncio.get_running_loop().create_future()
        try:
            return [await self._results[batch]]
        finally:
            self.ended.append(batch)

    async def _run(self) -> None:
        messages = Messages(self, self._stopping, 1000.0)
        async with Sent(self, lambda: None) as sent:
            exchange = Exchange(messages, sent)
            await exchange.overlapping(self._answers, lambda _: self.is_free, MAX_BATCH)


def with_call(body: Callable[[Call], Awaitable[None]], *, is_free: bool = True) -> None:
    async def run() -> None:
        await asyncio.wait_for(body(Call(is_free)), 100)

    asyncio.run(run())


async def turns() -> None:
    for _ in range(30):  # whatever can go on, goes on
        await asyncio.sleep(0)


def test_batches_at_a_time_are_answered_in_their_order() -> None:
    async def body(call: Call) -> None:
        call.send(b"1", b"2", b"3", b"4", b"5")
        call.end()
        await turns()
        assert call.begun == [b"1", b"2", b"3", b"4"]
        call.finish(b"2")
        await turns()
        assert call.taken == [] and len(call.begun) == 4
        call.finish(b"1")
        await turns()
        assert call.taken[0] == b"answer to 1" and call.begun[4:] == [b"5"]
        for batch in (b"5", b"4", b"3"):
            call.finish(batch)
        await call.task
        assert call.taken == [b"answer to " + each for each in (b"1", b"2", b"3", b"4", b"5")]

    with_call(body)


def test_as_many_bytes_begin_as_two_of_the_largest_batches_have() -> None:
    async def body(call: Call) -> None:
        call.send(b"1", b"2", b"3", body=bytes(MAX_BATCH))
        call.send(b"4")
        call.end()
        await turns()
        assert call.begun == [b"1", b"2"]
        call.finish(b"1")
        await turns()
        assert call.begun == [b"1", b"2", b"3"]
        for batch in (b"2", b"3"):
            call.finish(batch)
            await turns()
        call.finish(b"4")
        await call.task
        assert call.taken[3] == b"answer to 4"

    with_call(body)


def test_one_at_a_time_where_no_vm_is_free() -> None:
    async def body(call: Call) -> None:
        call.send(b"1", b"2")
        await turns()
        assert call.begun == [b"1"]
        call.finish(b"1")
        await turns()
        assert call.begun == [b"1", b"2"] and call.taken == [b"answer to 1"]
        call.finish(b"2")
        call.end()
        await call.task

    with_call(body, is_free=False)


def test_an_answer_does_not_wait_for_the_next_batch() -> None:
    async def body(call: Call) -> None:
        for batch in (b"1", b"2", b"3"):
            call.send(batch)
            await turns()
            call.finish(batch)
            await turns()
            assert call.taken[-1] == b"answer to " + batch
        call.end()
        await call.task

    with_call(body)


def test_a_failure_comes_after_the_answers_before_it_and_ends_what_runs() -> None:
    async def body(call: Call) -> None:
        call.send(b"1", b"2", b"3")
        await turns()
        call.finish(b"2", ValueError("the second"))
        await turns()
        assert not call.task.done()
        call.finish(b"1")
        with pytest.raises(ValueError, match="the second"):
            await call.task
        assert call.taken == [b"answer to 1"]
        assert sorted(call.ended) == sorted(call.begun)

    with_call(body)


def test_a_stop_lets_what_runs_be_answered() -> None:
    async def body(call: Call) -> None:
        call.send(b"1", b"2", body=bytes(MAX_BATCH))
        call.send(b"3")
        await turns()
        call.stop()
        for batch in (b"1", b"2"):
            await turns()
            call.finish(batch)
        with pytest.raises(RefusedError, match="the server stops"):
            await call.task
        assert call.taken == [b"answer to 1", b"answer to 2"] and call.begun == [b"1", b"2"]

    with_call(body)


def test_a_call_that_is_cancelled_ends_what_runs() -> None:
    async def body(call: Call) -> None:
        call.send(b"1", b"2")
        await turns()
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.task
        assert sorted(call.ended) == [b"1", b"2"] and call.taken == []

    with_call(body)


@udfvm.udf(packages=[], timeout=1000)
def patient(x: float) -> float:
    while x < 0:
        pass
    return x


def test_batches_of_one_call_have_a_micro_vm_each() -> None:
    batch = batch_of(pa.array([-1.0]))
    with udfvm.flight.Server(patient, listen="127.0.0.1:0") as server:
        with fl.connect(server.location) as client:
            writer, reader = client.do_exchange(fl.FlightDescriptor.for_path("patient"))
            writer.begin(batch.schema)
            for _ in range(5):
                writer.write_batch(batch)
            wait_until(lambda: busy(patient) == 4)
            reader.cancel()
            wait_until(lambda: busy(patient) == 0)


def test_calls_with_many_batches_leave_half_of_the_pool_to_others() -> None:
    pooled = patient.with_options(pool=udfvm.Pool(size=4))
    function = served(pooled)
    calls = calls_of(pooled, 1)
    assert function.may_begin_another(1) and function.may_begin_another(3)
    taken = [calls.take_vm() for _ in range(2)]
    assert function.may_begin_another(1) and not function.may_begin_another(2)
    taken += [calls.take_vm() for _ in range(2)]
    assert not function.may_begin_another(1)
    for runtime, vm in taken:
        runtime.pool.give(vm)
    assert function.may_begin_another(2)
