"""The messages of Arrow Flight that a server of functions reads and writes (Flight.proto of Apache
Arrow). Their fields are known by number.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from udfvm.codec.messages import PREFIX
from udfvm.serving.protobuf import as_bytes, bytes_of, field, fields_of, head_of
from udfvm.tuples import NamedTuple

SERVICE: Final = "arrow.flight.protocol.FlightService"

_DATA_BODY: Final = 1000
_PATH: Final = 1  # DescriptorType
_MAX_NAME: Final = 1024  # bytes
#: Where clients of Databend find how many fields of a schema are arguments.
_INPUT_COUNT: Final = b"x-databend-udf-input-count"


class FlightData(NamedTuple):
    """A message of a stream.

    Attributes:
        descriptor: the descriptor of the flight, encoded; often in the first message alone.
        header: a message of Arrow IPC: its metadata.
        body: its body.
    """

    descriptor: memoryview
    header: memoryview
    body: memoryview


def flight_data(message: bytes) -> FlightData:
    """Reads a message of a stream. Metadata of the application are left out. Raises ValueError."""
    parts = {1: memoryview(b""), 2: memoryview(b""), _DATA_BODY: memoryview(b"")}
    for number, value in fields_of(memoryview(message)):
        if number in parts:
            parts[number] = as_bytes(value)
    return FlightData(parts[1], parts[2], parts[_DATA_BODY])


def name_in_descriptor(descriptor: memoryview) -> str:
    """Returns the name of the function that a descriptor asks for. Raises ValueError for a
    descriptor that is no path of one name.
    """
    kind, path = 0, []
    for number, value in fields_of(descriptor):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 3:
            path.append(as_bytes(value))
    if kind != _PATH or len(path) != 1:
        raise ValueError("its descriptor is not a path of one name")
    if len(path[0]) > _MAX_NAME:
        raise ValueError("the name in its descriptor is too long")
    return bytes(path[0]).decode()


def action_type(message: bytes) -> str:
    """Returns the type of an action. Raises ValueError."""
    return bytes(bytes_of(memoryview(message), 1)[:_MAX_NAME]).decode()


def action_result(body: bytes) -> bytes:
    """Returns a result of an action."""
    return field(1, body)


def action_description(type_: str, description: str) -> bytes:
    """Returns the message that tells of a type of actions."""
    return field(1, type_.encode()) + field(2, description.encode())


def flight_info(name: str, inputs: pa.Schema, outputs: pa.Schema) -> bytes:
    """Returns the message that tells the types of a function: the schema has its arguments, then
    its results, and the number of records is that of the arguments.
    """
    descriptor = field(1, _PATH) + field(3, name.encode())
    schema = field(1, _whole_schema(inputs, outputs))
    return schema + field(2, descriptor) + field(4, len(inputs)) + field(5, 0)


def schema_result(inputs: pa.Schema, outputs: pa.Schema) -> bytes:
    """Returns the same schema as a message of its own."""
    return field(1, _whole_schema(inputs, outputs))


def _whole_schema(inputs: pa.Schema, outputs: pa.Schema) -> bytes:
    metadata = {_INPUT_COUNT: str(len(inputs)).encode()}
    schema = pa.schema([*inputs, *outputs], metadata)
    return bytes(schema.serialize().to_pybytes())


def schema_data(schema: pa.Schema) -> bytes:
    """Returns the message that begins a stream of results."""
    view = memoryview(schema.serialize())
    header = view[PREFIX.size :]
    return head_of(2, len(header)) + bytes(header)


def batch_data(batch: pa.RecordBatch) -> bytes:
    """Returns the message of a record batch. Its data are copied once."""
    parts = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(parts, mode="w"), batch.schema) as writer:
        writer.write_batch(batch)
        parts.take_header()  # of the schema, which goes first
        header, body = parts.take_header(), parts.buffers.copy()
    length = sum(map(len, body))
    return b"".join([head_of(2, len(header)), header, head_of(_DATA_BODY, length), *body])


class _Parts:
    """What a writer of pyarrow writes, without a copy of buffers."""

    closed = False

    def __init__(self) -> None:
        self.buffers: list[Any] = []

    def write(self, data: Any) -> int:
        """Keeps bytes, or a buffer."""
        self.buffers.append(data)
        return len(data)

    def take_header(self) -> bytes:
        """Takes the metadata of a message away, from the beginning."""
        head = b""
        while len(head) < PREFIX.size or len(head) < PREFIX.size + PREFIX.unpack_from(head)[1]:
            head += self.buffers.pop(0)
        return head[PREFIX.size :]

    def flush(self) -> None:
        """Does nothing: all is kept."""
