"""Replies of one value to Python, and arguments of host functions."""

import contextlib

from fuzz_inputs import Input

from udfvm.call.host_functions import HostFunctions
from udfvm.codec.rows import RowCodec
from udfvm.errors import ProtocolError, TypeMappingError
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


def price(name: str, count: int, rate: float | None, exact: bool, raw: bytes) -> float | None:
    assert type(name) is str and type(count) is int and type(exact) is bool and type(raw) is bytes
    return rate


def convert(count: int, rate: float) -> float:
    assert type(count) is int and type(rate) is float
    return rate


FUNCTIONS = HostFunctions("f", [price, convert])


def one_input(data: bytes) -> None:
    given = Input(data)
    which = given.byte() % (len(CODECS) + 1)
    if which < len(CODECS):
        with contextlib.suppress(ProtocolError, TypeMappingError):
            repr(CODECS[which].decode(given.rest))
        return
    for name in (b"price", b"convert"):
        with contextlib.suppress(ProtocolError, TypeMappingError):
            reply = FUNCTIONS.call(name, given.rest)
            assert reply is not None and len(reply) == 16
