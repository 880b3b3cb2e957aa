"""Clients of Arrow Flight: pyarrow's own, and one that sends whatever bytes it is given."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import grpc
import pyarrow as pa
import pyarrow.flight as fl

from udfvm.serving.messages import SERVICE
from udfvm.serving.protobuf import field

LONG = 60.0  # seconds that tests wait for what is to happen at once


def batch_of(*columns: pa.Array) -> pa.RecordBatch:
    names = [f"c{index}" for index in range(len(columns))]
    return pa.RecordBatch.from_arrays(list(columns), names)


def exchange(
    location: str,
    name: str,
    *batches: pa.RecordBatch,
    schema: pa.Schema | None = None,
    **options: Any,
) -> pa.Table:
    """A call by pyarrow's client, on a connection of its own."""
    with fl.connect(location, **options) as client:
        return exchange_with(client, name, *batches, schema=schema)


def exchange_with(
    client: Any,
    name: str,
    *batches: pa.RecordBatch,
    schema: pa.Schema | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> pa.Table:
    """A call by pyarrow's client."""
    descriptor = fl.FlightDescriptor.for_path(name)
    options = fl.FlightCallOptions(headers=list(headers))
    writer, reader = client.do_exchange(descriptor, options)
    try:
        writer.begin(batches[0].schema if schema is None else schema)
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        return reader.read_all()
    finally:
        with contextlib.suppress(pa.ArrowException):
            writer.close()


class Outcome(NamedTuple):
    """How a call of ``send`` ended."""

    answers: list[bytes]
    status: str
    text: str


def channel_to(location: str) -> Any:
    address = location.partition("://")[2]
    return grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)])


def send(
    location: str,
    messages: Iterable[bytes],
    method: str = "DoExchange",
    headers: Sequence[tuple[str, str]] = (),
    **options: Any,
) -> Outcome:
    """Sends bytes as the messages of a call."""
    with channel_to(location) as channel:
        call = channel.stream_stream(f"/{SERVICE}/{method}")(
            iter(messages), metadata=headers, timeout=LONG, **options
        )
        answers = []
        try:
            answers.extend(call)
        except grpc.RpcError:
            pass
        return Outcome(answers, call.code().name, call.details())


def descriptor(name: str) -> bytes:
    return field(1, 1) + field(3, name.encode())


def data_message(header: bytes, body: bytes = b"", path: bytes = b"") -> bytes:
    """A message of a stream, with these parts."""
    first = field(1, path) if path else b""
    return first + field(2, header) + (field(1000, body) if body else b"")


def parts_of(message: pa.Buffer) -> tuple[bytes, bytes]:
    """Metadata and body of a message of Arrow IPC."""
    data = bytes(message)
    end = 8 + int.from_bytes(data[4:8], "little")
    return data[8:end], data[end:]


def messages_of(name: str, *batches: pa.RecordBatch) -> list[bytes]:
    """The messages of a call, as a client sends them."""
    header, _ = parts_of(batches[0].schema.serialize())
    first = data_message(header, path=descriptor(name))
    return [first, *(data_message(*parts_of(each.serialize())) for each in batches)]


@contextlib.contextmanager
def running_call(location: str, name: str, batch: pa.RecordBatch) -> Iterator[Any]:
    """A call whose client has sent one batch, and goes on."""
    with fl.connect(location) as client:
        writer, reader = client.do_exchange(fl.FlightDescriptor.for_path(name))
        writer.begin(batch.schema)
        writer.write_batch(batch)
        try:
            yield reader
        finally:
            reader.cancel()
            with contextlib.suppress(pa.ArrowException):
                writer.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Waits for what another thread or process does."""
    end = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def busy(function: Any) -> int:
    """How many VMs of a function's pool are in use."""
    found = function.pool.statistics()
    return int(found.live - found.idle)


class Background:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._run, args=[call])
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._outcome.append(call())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self._outcome.append(error)

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def outcome(self) -> Any:
        """What the call returned or raised."""
        self._thread.join(LONG)
        assert self.is_done
        return self._outcome[0]
