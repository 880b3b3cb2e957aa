"""What a script left, as its micro-VM wrote it: all of it is checked."""

from __future__ import annotations

import json
import struct
from typing import Any, Final, NamedTuple

import pyarrow as pa

from udfvm.codec.column_batches import stream_column
from udfvm.errors import ProtocolError
from udfvm.types.arrow_types import named

_LENGTH: Final = 8  # bytes
_MAX_HEADER: Final = 64 << 20
_MAX_TABLES: Final = 10_000
_MAX_COLUMNS: Final = 100_000
_MAX_ROWS: Final = 1 << 40


class Left(NamedTuple):
    """The tables in variables, values that were asked for, the value at the end, the variables as
    bytes that only another micro-VM reads, and the names of those that are not in them.
    """

    tables: dict[str, pa.Table]
    outputs: dict[str, Any]
    value: Any
    state: bytes
    dropped: tuple[str, ...]


def read_reply(name: str, reply: bytes) -> Left:
    """Parses the reply to a script. Raises ProtocolError.

    >>> header = b'{"tables": [], "named": [], "outputs": {}, "value": ["json", 3],'
    >>> header += b' "dropped": [], "lengths": [0]}'
    >>> read_reply("script", len(header).to_bytes(8, "little") + header).value
    3
    """
    try:
        header, parts = _parts(reply)
        *columns, state = parts
        tables = _tables(header["tables"], columns)
        return Left(
            {_text(label): tables[_index(index)] for label, index in header["named"]},
            {_text(label): _value(each, tables) for label, each in header["outputs"].items()},
            _value(header["value"], tables),
            state,
            tuple(map(_text, header["dropped"])),
        )
    except (
        struct.error,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RecursionError,
        pa.ArrowException,
    ) as error:
        raise ProtocolError(f"the guest's reply is not valid: {error}", name) from error


def _parts(reply: bytes) -> tuple[dict[str, Any], list[bytes]]:
    end = _LENGTH + int.from_bytes(reply[:_LENGTH], "little")
    if len(reply) < _LENGTH or end > len(reply) or end > _MAX_HEADER:
        raise ValueError(f"a header of {end - _LENGTH} bytes in {len(reply)}")
    header = json.loads(reply[_LENGTH:end])
    # Escapes can make lone surrogates, which no text of a program has.
    json.dumps(header, ensure_ascii=False).encode()
    parts = []
    for length in header["lengths"]:
        if not 0 <= _index(length) <= len(reply) - end:
            raise ValueError(f"a part of {length} bytes")
        parts.append(reply[end : end + length])
        end += length
    if end != len(reply) or not parts:
        raise ValueError(f"{len(reply) - end} bytes too many")
    return header, parts


def _tables(descriptions: list[dict[str, Any]], streams: list[bytes]) -> list[pa.Table]:
    if len(descriptions) > _MAX_TABLES or len(streams) > _MAX_COLUMNS:
        raise ValueError(f"{len(descriptions)} tables of {len(streams)} columns")
    tables, remaining = [], iter(streams)
    for each in descriptions:
        rows = _index(each["rows"])
        if not 0 <= rows <= _MAX_ROWS:
            raise ValueError(f"{rows} rows")
        names, columns = [], []
        for label, type_name in each["columns"]:
            names.append(_text(label))
            stream = next(remaining, None)
            if stream is None:
                raise ValueError("a column without data")
            columns.append(stream_column(named(_text(type_name)), stream, rows))
        tables.append(pa.Table.from_arrays(columns, names=names))
    if next(remaining, None) is not None:
        raise ValueError("data without a column")
    return tables


def _value(described: list[Any], tables: list[pa.Table]) -> Any:
    kind, value = described
    if kind == "table":
        return tables[_index(value)]
    return value if kind == "json" else _text({"text": value}[kind])


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError(f"{type(value).__name__} in place of text")
    return value


def _index(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{type(value).__name__} in place of a number that is not negative")
    return value
