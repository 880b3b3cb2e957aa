"""Replies of one value to Python, and arguments of host functions."""

import contextlib
import datetime

import pyarrow as pa
from fuzz_inputs import Input

from udfvm.call.host_functions import HostFunctions
from udfvm.codec.column_batches import stream_codec
from udfvm.codec.rows import RowCodec
from udfvm.errors import ProtocolError, TypeMappingError
from udfvm.layouts import ROW, VALUE
from udfvm.protocol import TYPE_ARROW, TYPE_INT64
from udfvm.types.arrow_types import Parameter, ResultType, named

NAMES = (
    "bool", "int8", "int64", "uint64", "float", "double", "string", "binary", "date32[day]",
    "date64[ms]", "timestamp[ns, tz=UTC]", "timestamp[s]", "time64[ns]", "time32[s]",
    "duration[us]", "decimal128(9, 2)", "list<item: int64>", "struct<a: double, b: string>",
    "map<string, int64>", "fixed_size_binary[3]", "halffloat", "month_day_nano_interval",
)  # fmt: skip
TYPES = [type_ for type_ in map(named, NAMES) if type_.row is not None and not type_.is_nested]
CODECS = [
    RowCodec("f", [Parameter("x", named("int64"), True)], ResultType(type_, True))
    for type_ in TYPES
]


Natural = pa.uint64()
NONE = type(None)


def price(name: str, count: int, rate: float | None, exact: bool, raw: bytes) -> float | None:
    assert type(name) is str and type(count) is int and type(exact) is bool and type(raw) is bytes
    return rate


def convert(count: int, rate: float) -> float:
    assert type(count) is int and type(rate) is float
    return rate


def nested(points: list[dict[str, int]], at: datetime.datetime | None, natural: Natural) -> str:
    for point in points:
        assert point is None or all(type(each) in (int, NONE) for each in point.values())
    assert at is None or type(at) is datetime.datetime
    return "é"


FUNCTIONS = HostFunctions("f", [price, convert, nested])


def stream(name: str, value: object) -> bytes:
    """What a guest writes for a list, struct or uint64."""
    codec = stream_codec(name)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, codec.result_schema) as writer:
        array = pa.array([value], codec.result_schema.types[0])
        writer.write_batch(pa.record_batch([array], schema=codec.result_schema))
    return bytes(sink.getvalue())


def honest_row() -> bytes:
    streams = [
        stream("list<item: map<string, int64>>", [[("a", 1)], None]),
        stream("uint64", 2**63),
    ]
    end = ROW.size + 3 * VALUE.size
    return b"".join(
        (
            ROW.pack(3, 0),
            VALUE.pack(TYPE_ARROW, len(streams[0]), end),
            VALUE.pack(TYPE_INT64, 0, 5),
            VALUE.pack(TYPE_ARROW, len(streams[1]), end + len(streams[0])),
            *streams,
        )
    )


HONEST = honest_row()


def one_input(data: bytes) -> None:
    given = Input(data)
    which = given.byte() % (len(CODECS) + 2)
    if which < len(CODECS):
        with contextlib.suppress(ProtocolError, TypeMappingError):
            repr(CODECS[which].decode(given.rest))
        return
    if which > len(CODECS):
        with contextlib.suppress(ProtocolError, TypeMappingError):
            assert FUNCTIONS.call(b"nested", given.changed(HONEST)) is not None
        return
    for name in (b"price", b"convert"):
        with contextlib.suppress(ProtocolError, TypeMappingError):
            reply = FUNCTIONS.call(name, given.rest)
            assert reply is not None and len(reply) == 16
