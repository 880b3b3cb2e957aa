"""The messages of Arrow Flight that a server of functions reads and writes (Flight.proto of Apache
Arrow). Their fields are known by number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from udfvm.codec.messages import PREFIX
from udfvm.serving.protobuf import as_bytes, bytes_of, field, fields_of, head_of
from udfvm.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    return _data_of(schema.serialize())


def batch_data(batch: pa.RecordBatch) -> bytes:
    """Returns the message of a record batch."""
    return _data_of(batch.serialize())


def _data_of(encapsulated: pa.Buffer) -> bytes:
    """Returns the message of an IPC message, whose metadata have their length before them."""
    view = memoryview(encapsulated)
    _, length = PREFIX.unpack_from(view)
    end = PREFIX.size + length
    header, body = view[PREFIX.size : end], view[end:]
    parts: Sequence[bytes | memoryview] = (
        head_of(2, len(header)),
        header,
        head_of(_DATA_BODY, len(body)),
        body,
    )
    return b"".join(parts)
