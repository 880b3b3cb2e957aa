"""What strangers send: each ends as an error of the client's, and the server goes on."""

# Long because each field of a message has an attack of its own.

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from flight_clients import (
    LONG,
    Outcome,
    batch_of,
    channel_to,
    data_message,
    descriptor,
    exchange,
    messages_of,
    parts_of,
    send,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import udfvm
from udfvm.serving.messages import SERVICE
from udfvm.serving.protobuf import field, head_of

MAX_ROWS = 1000
MAX_BATCH = 1 << 20
DOUBLES = batch_of(pa.array([1.0, 3.0]))
SCHEMA, STRUCT = 1, 13  # of MessageHeader, and of Type
TEXTS = batch_of(pa.array(["a", "bcd"]))


@udfvm.udf(packages=[])
def half(x: float | None) -> float | None:
    return None if x is None else x / 2


@udfvm.udf(packages=[])
def length(x: str) -> int:
    return len(x)


@udfvm.udf(packages=[])
def answer() -> int:
    return 42


@pytest.fixture(scope="module")
def location() -> Iterator[str]:
    functions = [half, length, answer]
    limits = {"max_rows": MAX_ROWS, "max_batch": MAX_BATCH, "calls": 8, "calls_per_client": 4}
    with udfvm.flight.Server(*functions, listen="127.0.0.1:0", **limits) as server:
        yield server.location
        # Whatever came before: nothing is left, and calls work.
        assert exchange(server.location, "half", DOUBLES)["half"].to_pylist() == [0.5, 1.5]
        assert exchange(server.location, "length", TEXTS)["length"].to_pylist() == [1, 3]


def refused(outcome: Outcome, text: str, status: str = "INVALID_ARGUMENT") -> None:
    assert (outcome.status, text in outcome.text) == (status, True), outcome


def with_patch(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1 and len(old) == len(new)
    return data.replace(old, new)


# ---- Names, descriptors, metadata ----


@pytest.mark.parametrize(
    ("path", "text", "status"),
    [
        (descriptor("hafl"), "there is no function 'hafl': did you mean 'half'?", "NOT_FOUND"),
        (descriptor("\x1b[31m\n"), "there is no function '\\x1b[31m\\n'", "NOT_FOUND"),
        (descriptor("x" * 5000), "name in its descriptor is too long", None),
        (descriptor("half") + field(3, b"more"), "not a path of one name", None),
        (field(1, 2) + field(2, b"SELECT 1"), "not a path of one name", None),
        (b"", "not a path of one name", None),
        (field(1, 1) + field(3, b"\xff\xfe"), "the message is not valid", None),
        (b"\xff" * 20, "a number of it is too long", None),
        (b"\x1a\x7fx", "it is cut short", None),
        (b"\x0b", "the unknown type 3", None),
        (field(1, 1) + field(3, b"x") * 2000, "more than 1000 fields", None),
    ],
)
def test_names(location: str, path: bytes, text: str, status: str | None) -> None:
    header, _ = parts_of(DOUBLES.schema.serialize())
    expected = status or "INVALID_ARGUMENT"
    refused(send(location, [data_message(header, path=path)]), text, expected)
    refused(send(location, [path], "GetFlightInfo"), text, expected)
    refused(send(location, [path], "GetSchema"), text, expected)


def test_messages_that_are_none(location: str) -> None:
    refused(send(location, []), "the call has no message")
    refused(send(location, [b"\xff" * 9]), "the message is not valid")
    refused(send(location, [field(2, 7)]), "a field of it is a number")
    refused(send(location, [b"\x38\x01" * 5000]), "more than 1000 fields")
    refused(send(location, [field(1, descriptor("half")), b"\x12"]), "the message is not valid")


def test_methods_and_actions_that_are_not_there(location: str) -> None:
    for method in ("DoGet", "DoPut", "Handshake", "PollFlightInfo", "Nothing"):
        assert send(location, [b""], method).status == "UNIMPLEMENTED"
    refused(send(location, [field(1, b"drop")], "DoAction"), "no action 'drop'", "UNIMPLEMENTED")
    refused(send(location, [b"\x0a"], "DoAction"), "the action is not valid")


def test_metadata_have_bounds(location: str) -> None:
    path = descriptor("half")
    for headers in ([("x-long", "y" * 100_000)], [(f"x-{each}", "y" * 100) for each in range(900)]):
        outcome = send(location, [path], "GetFlightInfo", headers)
        assert outcome.status in ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL")
    first, *rest = messages_of("half", DOUBLES)
    outcome = send(location, [first + field(3, b"z" * 1000), *rest])
    assert outcome.status == "OK" and len(outcome.answers) == 2


# ---- Schemas ----


def schema_refused(location: str, schema: pa.Schema, text: str) -> None:
    header, _ = parts_of(schema.serialize())
    message = data_message(header, path=descriptor("half"))
    refused(send(location, [message]), text)


def nested(type_: pa.DataType, depth: int) -> pa.DataType:
    for _ in range(depth):
        type_ = pa.list_(type_)
    return type_


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (pa.dictionary(pa.int8(), pa.string()), "encoded by a dictionary"),
        (pa.list_(pa.dictionary(pa.int8(), pa.float64())), "encoded by a dictionary"),
        (pa.run_end_encoded(pa.int32(), pa.float64()), "encoded by runs"),
        (pa.list_(pa.string_view()), "of views of text in a list"),
        (pa.struct([("x", pa.binary_view())]), "of views of bytes in a list"),
        (pa.list_view(pa.float64()), "of views of lists"),
        (nested(pa.float64(), 40), "nested deeper than 32"),
        (pa.struct([(f"f{each}", pa.int8()) for each in range(5000)]), "more than 4096 fields"),
        (pa.list_(pa.float64(), 1 << 30), "out of bounds"),
    ],
)
def test_types_that_are_refused(location: str, type_: pa.DataType, text: str) -> None:
    schema_refused(location, pa.schema([("x", type_)]), text)


def test_wrong_schemas(location: str) -> None:
    for columns, text in [
        ([pa.array(["a"])], "'x' (position 1) is declared double"),
        ([pa.array([[1.0]])], "is declared double"),
        ([pa.array([{"a": 1}])], "is declared double"),
        ([pa.array([1.0]), pa.array([1.0])], "it takes 1 column, got 2"),
    ]:
        refused(send(location, messages_of("half", batch_of(*columns))), text)
    none = pa.RecordBatch.from_struct_array(pa.array([{}] * 2, pa.struct([])))
    refused(send(location, messages_of("half", none)), "it takes 1 column, got 0")
    refused(send(location, messages_of("answer", DOUBLES)), "it takes 0 columns, got 1")


def test_messages_of_other_kinds(location: str) -> None:
    first, batch = messages_of("half", DOUBLES)
    path = descriptor("half")
    refused(send(location, [field(1, path) + batch]), "its first message is not a schema")
    refused(send(location, [first, first]), "a message of another kind (1)")
    encoded = batch_of(pa.array(["a"]).dictionary_encode())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, encoded.schema) as writer:
        writer.write_batch(encoded)
    reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
    _, dictionary, _ = list(reader)
    header, body = bytes(dictionary.metadata), bytes(dictionary.body)
    refused(send(location, [first, data_message(header, body)]), "it is a dictionary")


def shared_schema(depth: int) -> bytes:
    """A schema whose fields have twice the same child, in each depth: 2 ** depth fields, in a few
    bytes for each depth.
    """
    data = bytearray(4)
    vtables = {}
    for name, slots in [
        ("message", (12, 0, 8, 4)),
        ("schema", (8, 0, 4)),
        ("field", (16, 0, 0, 12, 4, 0, 8)),
        ("empty", (4,)),
    ]:
        vtables[name] = len(data)
        data += struct.pack(f"<{1 + len(slots)}H", 2 + 2 * len(slots), *slots)
    data += bytes(-len(data) % 4)

    def table(name: str, *values: int) -> int:
        place = len(data)
        data.extend(struct.pack(f"<{1 + len(values)}i", place - vtables[name], *values))
        return place

    def refer(place: int) -> None:
        struct.pack_into("<I", data, place, len(data) - place)

    refer(0)
    message = table("message", 0, SCHEMA)
    refer(message + 4)
    schema = table("schema", 0)
    holder = schema + 4
    types = []
    for _ in range(depth):
        refer(holder)
        data += struct.pack("<I", 2)
        vector = len(data)
        data += bytes(8)
        refer(vector)
        refer(vector + 4)
        found = table("field", 0, 0, STRUCT)
        types.append(found + 4)
        holder = found + 8
    refer(holder)
    data += bytes(4)  # no children
    for each in types:
        refer(each)
    table("empty")
    return bytes(data)


def test_a_schema_of_few_bytes_with_many_fields(location: str) -> None:
    path = descriptor("half")
    for depth, text in [(28, "more than 4096 fields"), (40, "deeper than 32")]:
        header = shared_schema(depth)
        assert len(header) < 3000
        refused(send(location, [data_message(header, path=path)]), text)
    assert send(location, [data_message(shared_schema(5), path=path)]).status == "OK"


# ---- Batches ----


def test_rows_have_a_bound(location: str) -> None:
    most = f"at most {MAX_ROWS} are allowed"
    many = batch_of(pa.array([1.0] * (MAX_ROWS + 1)))
    refused(send(location, messages_of("half", many)), most, "RESOURCE_EXHAUSTED")
    # Rows that take no bytes.
    nulls = batch_of(pa.nulls(MAX_ROWS + 1))
    refused(send(location, messages_of("half", nulls)), most, "RESOURCE_EXHAUSTED")
    none = pa.RecordBatch.from_struct_array(pa.array([{}] * 7, pa.struct([])))
    first, batch = messages_of("answer", none)
    for rows in (1 << 40, (1 << 63) - 1):
        patched = with_patch(batch, (7).to_bytes(8, "little"), rows.to_bytes(8, "little"))
        refused(send(location, [first, patched]), most, "RESOURCE_EXHAUSTED")
    patched = with_patch(batch, (7).to_bytes(8, "little"), b"\xff" * 8)
    refused(send(location, [first, patched]), most, "RESOURCE_EXHAUSTED")


def test_bytes_have_a_bound(location: str) -> None:
    text = batch_of(pa.array(["x" * (2 * MAX_BATCH)]))
    outcome = send(location, messages_of("length", text))
    refused(outcome, "larger than max", "RESOURCE_EXHAUSTED")
    with pytest.raises(pa.ArrowInvalid, match="larger than max"):
        exchange(location, "length", text)


def test_compression_is_refused(location: str) -> None:
    """A few bytes could become gigabytes."""
    zeros = batch_of(pa.array([0.0] * MAX_ROWS))
    for codec in ("zstd", "lz4"):
        packed = zeros.serialize  # what is not compressed
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=codec)
        with pa.ipc.new_stream(sink, zeros.schema, options=options) as writer:
            writer.write_batch(zeros)
        _, batch = list(pa.ipc.MessageReader.open_stream(sink.getvalue()))
        first, _ = messages_of("half", zeros)
        message = data_message(bytes(batch.metadata), bytes(batch.body))
        assert len(message) < len(bytes(packed()))
        refused(send(location, [first, message]), "its body is compressed")
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        outcome = send(location, messages_of("half", zeros), compression=compression)
        assert outcome.status == "UNIMPLEMENTED" and not outcome.answers


def lying(batch: pa.RecordBatch, old: int, new: int) -> list[bytes]:
    """The messages of a batch, whose metadata say another number everywhere."""
    header, body = parts_of(batch.serialize())
    patched = with_patch(header, struct.pack("<q", old), struct.pack("<q", new))
    return [messages_of("half", batch)[0], data_message(patched, body)]


@pytest.mark.parametrize("number", [-1, 1 << 20, (1 << 31) - 1, (1 << 62), -(1 << 63)])
@pytest.mark.parametrize("name", ["half", "length"])
def test_lying_lengths(location: str, name: str, number: int) -> None:
    """Each number in the metadata in turn: rows, nulls, offsets and lengths of buffers."""
    columns = {"half": pa.array([1.0, None] * 33), "length": pa.array(["a", "bcd", None] * 22)}
    batch = batch_of(columns[name])
    header, body = parts_of(batch.serialize())
    first = messages_of(name, batch)[0]
    told = 0
    for place in range(len(header) - 8):
        if place % 8 == len(header) % 8:
            patched = bytearray(header)
            struct.pack_into("<q", patched, place, number)
            outcome = send(location, [first, data_message(bytes(patched), body)])
            assert outcome.status in ("OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), outcome
            told += outcome.status != "OK"
    assert told > 3


def test_offsets_that_lead_out(location: str) -> None:
    for offsets in ([0, 1, 1 << 30], [0, -1, 4], [3, 1, 4], [0, 1 << 31 - 1, 4]):
        header, body = parts_of(TEXTS.serialize())
        place = body.index(struct.pack("<iii", 0, 1, 4))
        patched = bytearray(body)
        struct.pack_into("<3i", patched, place, *[each & 0x7FFFFFFF for each in offsets])
        first = messages_of("length", TEXTS)[0]
        refused(send(location, [first, data_message(header, bytes(patched))]), "not valid")


def view_messages(views: list[bytes], data: bytes, counts: int = 1) -> list[bytes]:
    """A batch of one text that is longer than a view, with other views and data in its place."""
    batch = batch_of(pa.array(["x" * 100] * len(views), pa.string_view()))
    header, body = parts_of(batch.serialize())
    place, size = body.index(b"\x64\0\0\0xxxx"), 16 * len(views)
    body = body[:place] + b"".join(views) + body[place + size :]
    at = body.index(b"x" * 100)
    body = body[:at] + data.ljust(100) + body[at + 100 :]
    first = messages_of("length", batch)[0]
    count = struct.pack("<Iq", 1, 1)
    assert header.count(count) == 1
    return [first, data_message(header.replace(count, struct.pack("<Iq", 1, counts)), body)]


def view(length: int, prefix: bytes, buffer: int, offset: int) -> bytes:
    return struct.pack("<i4sii", length, prefix, buffer, offset)


def test_views(location: str) -> None:
    good = view(100, b"xxxx", 0, 0)
    outcome = send(location, view_messages([good, good], b"x" * 100))
    assert outcome.status == "OK"
    for bad, text in [
        (view(100, b"xxxx", 1, 0), "references buffer 1"),
        (view(100, b"xxxx", -1, 0), "not valid"),
        (view(100, b"xxxx", 0, 1 << 30), "references range"),
        (view(100, b"xxxx", 0, -1), "negative offset"),
        (view(-1, b"xxxx", 0, 0), "negative size"),
        (view((1 << 31) - 1, b"xxxx", 0, 0), "references range"),
        (view(100, b"yyyy", 0, 0), "prefix"),
        (view(3, b"xxxx", 0, 0), "not valid"),
        (view(4, b"\xff\xfe\xfd\xfc", 0, 0), "not valid"),
    ]:
        refused(send(location, view_messages([good, bad], b"x" * 100)), text)
    for counts in (0, 2, -1, 1 << 40):
        messages = view_messages([good, good], b"x" * 100, counts)
        assert send(location, messages).status == "INVALID_ARGUMENT"


def test_views_behind_nulls(location: str) -> None:
    """Nobody looks at what they say."""
    batch = batch_of(pa.array(["x" * 100, None, "short"], pa.string_view()))
    header, body = parts_of(batch.serialize())
    place = body.index(b"\x64\0\0\0xxxx") + 16
    for bad in (view(100, b"yyyy", 7, 1 << 30), view(-1, b"yyyy", -7, -1), b"\xff" * 16):
        patched = body[:place] + bad + body[place + 16 :]
        outcome = send(location, [messages_of("length", batch)[0], data_message(header, patched)])
        assert outcome.status == "OK" and len(outcome.answers) == 2


def test_views_that_stand_for_gigabytes(location: str) -> None:
    """All views of a column are of the same text."""
    size = MAX_BATCH // 2
    views = pa.py_buffer(view(size, b"xxxx", 0, 0) * MAX_ROWS)
    buffers = [None, views, pa.py_buffer(b"x" * size)]
    many = batch_of(pa.Array.from_buffers(pa.string_view(), MAX_ROWS, buffers))
    messages = messages_of("length", many)
    assert sum(map(len, messages)) < MAX_BATCH
    refused(send(location, messages), "stand for more than")


def test_texts_that_are_none(location: str) -> None:
    header, body = parts_of(TEXTS.serialize())
    first = messages_of("length", TEXTS)[0]
    patched = with_patch(body, b"abcd", b"a\xff\xfed")
    refused(send(location, [first, data_message(header, patched)]), "the batch is not valid")


def test_a_body_that_is_cut(location: str) -> None:
    header, body = parts_of(DOUBLES.serialize())
    first = messages_of("half", DOUBLES)[0]
    for length in (0, 1, len(body) - 56):
        outcome = send(location, [first, data_message(header, body[:length])])
        refused(outcome, "the batch is not valid")
    many = [data_message(header[:each], body) for each in range(1, len(header), 7)]
    for message in many:
        refused(send(location, [first, message]), "the batch is not valid")


def test_a_message_in_pieces_and_twice(location: str) -> None:
    """The last of several fields counts, as for protocol buffers."""
    first, batch = messages_of("half", DOUBLES)
    outcome = send(location, [first, field(2, b"junk") + batch])
    assert outcome.status == "OK" and len(outcome.answers) == 2
    outcome = send(location, [first, head_of(1000, 1 << 40)])
    refused(outcome, "it is cut short")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_changed_bytes(location: str, data: Any) -> None:
    """Bytes of a call are changed at random. Whatever comes of it, it ends."""
    views = batch_of(pa.array(["short", None, "more than twelve bytes"], pa.string_view()))
    lists = batch_of(pa.array([[1.0], None]))
    batch = data.draw(st.sampled_from([DOUBLES, TEXTS, lists, views]))
    name = data.draw(st.sampled_from(["half", "length"]))
    messages = [bytearray(each) for each in messages_of(name, batch)]
    for _ in range(data.draw(st.integers(1, 6))):
        message = data.draw(st.sampled_from(messages))
        place = data.draw(st.integers(0, len(message) - 1))
        message[place] = data.draw(st.integers(0, 255))
    outcome = send(location, [bytes(each) for each in messages])
    assert outcome.status in (
        "OK",
        "INVALID_ARGUMENT",
        "RESOURCE_EXHAUSTED",
        "NOT_FOUND",
    ), outcome


def test_a_connection_that_speaks_something_else(location: str) -> None:
    import socket

    host, port = location.partition("://")[2].split(":")
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff"):
        with socket.create_connection((host, int(port)), timeout=LONG) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    assert exchange(location, "half", DOUBLES).num_rows == 2


def test_streams_that_are_left(location: str) -> None:
    """Calls that end in the middle of a message give their places back."""
    first, batch = messages_of("half", DOUBLES)
    for _ in range(20):
        with channel_to(location) as channel:
            call = channel.stream_stream(f"/{SERVICE}/DoExchange")(iter([first, batch, batch]))
            next(call)
            call.cancel()
    with fl.connect(location) as client:
        assert len(list(client.list_flights())) == 3
