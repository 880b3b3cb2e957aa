"""Replies that a hostile guest could write, and everything that users do with results: a program of
its own, for it may be killed.

    python hostile_replies.py batches TYPE FIRST LAST mutations of replies of a type, read without a
    VM python hostile_replies.py calls SEED COUNT some of them in calls of a function that writes
    them, from Python python hostile_replies.py sql SEED COUNT rows and columns that are mutated, in
    SQL

It prints, ahead of each use, which mutation and which use that is: the last line names what killed
it. Mutations are counted, so that each can be made again.
"""

from __future__ import annotations

import datetime
import io
import itertools
import json
import os
import random
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet

import udfvm
from udfvm.codec.flatbuffers import Table, unsigned_at
from udfvm.codec.record_batches import BatchCodec
from udfvm.errors import Error, ProtocolError
from udfvm.types.arrow_types import Parameter, ResultType, declared

OUTPUT, COMPLETE = 0x5000000000, 0x200040

TYPES = [
    pa.list_(pa.list_(pa.int64())),
    pa.string(),
    pa.large_binary(),
    pa.bool_(),
    pa.float32(),
    pa.uint8(),
    pa.date32(),
    pa.date64(),
    pa.timestamp("ns", tz="Europe/Berlin"),
    pa.list_(pa.string()),
    pa.large_list(pa.large_string()),
    pa.list_(pa.int32(), 3),
    pa.list_(pa.list_(pa.int8()), 2),
    pa.struct([("a", pa.int64()), ("b", pa.string())]),
    pa.list_(pa.struct([("a", pa.float64()), ("b", pa.list_(pa.bool_()))])),
    pa.struct([("d", pa.date64()), ("l", pa.large_list(pa.timestamp("s", tz="UTC")))]),
    pa.list_(pa.list_(pa.list_(pa.binary()))),
]
NUMBERS = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    63,
    64,
    255,
    0x7FFF,
    2**29,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**61,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 8,
]


def value(type_: pa.DataType, chance: random.Random) -> Any:
    """A value of a type, None now and then."""
    if chance.random() < 0.2:
        return None
    if pa.types.is_struct(type_):
        return {
            field.name: value(field.type, chance)
            for field in (type_.field(index) for index in range(type_.num_fields))
        }
    if type_.num_fields:
        count = type_.list_size if pa.types.is_fixed_size_list(type_) else chance.randrange(4)
        return [value(type_.value_type, chance) for _ in range(count)]
    if pa.types.is_timestamp(type_):
        return datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    plain: dict[str, Any] = {
        "string": "é" * chance.randrange(3) + "x" * chance.randrange(5),
        "binary": chance.randbytes(chance.randrange(6)),
        "date": datetime.date(2020, 1, 1),
        "bool": chance.random() < 0.5,
        "float": 0.5,
        "double": chance.random(),
    }
    return next(
        (sample for name, sample in plain.items() if name in str(type_)), chance.randrange(100)
    )


class Mutations:
    """The mutations of replies of a type, by number: places of nodes and buffers, what buffers
    hold, then random ones.
    """

    def __init__(self, type_: pa.DataType) -> None:
        self.codec = BatchCodec(
            "f", [Parameter("x", declared("int64"), False)], ResultType(declared(type_), True)
        )
        self.arrays = {
            rows: pa.array([value(type_, random.Random(rows * 7 + i)) for i in range(rows)], type_)
            for rows in (1, 9)
        }
        self.arrays[2] = pa.array(
            [[] if str(type_).startswith(("list", "large_list")) else None] * 2, type_
        )
        self._replies = {rows: self._stream(array) for rows, array in self.arrays.items()}
        self._systematic = [
            (rows, place, number)
            for rows in (2, 9)
            for place in self._places(rows)
            for number in NUMBERS
        ]

    def _stream(self, array: pa.Array) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.codec.result_schema) as writer:
            writer.write_batch(pa.record_batch([array], schema=self.codec.result_schema))
        return bytes(sink.getvalue().to_pybytes())

    def _places(self, rows: int) -> list[int]:
        """Where the numbers of nodes and buffers are, and the first words of each buffer."""
        reply = self._replies[rows]
        start = len(self.codec.result_schema_message) + 8
        length = struct.unpack_from("<I", reply, start - 4)[0]
        metadata = reply[start : start + length]
        header = Table.root(metadata).table(2)
        places = [start + header.offset_of(0)]
        for field in (1, 2):
            vector = header.target(field)
            places += range(
                start + vector + 4, start + vector + 4 + 16 * unsigned_at(metadata, vector), 8
            )
        for begin, used in header.pairs(2):
            places += range(start + length + begin, start + length + begin + min(used, 48), 4)
        return places

    @property
    def count(self) -> int:
        """How many are not random."""
        return len(self._systematic)

    def make(self, number: int) -> tuple[int, bytes]:
        """Rows and reply."""
        if number < len(self._systematic):
            rows, place, word = self._systematic[number]
            reply = bytearray(self._replies[rows])
            width = 8 if place % 8 == 0 and number % 2 else 4
            reply[place : place + width] = struct.pack("<Q", word)[:width]
            return rows, bytes(reply)
        chance = random.Random(number)
        rows = chance.choice([1, 2, 9])
        return rows, tampered(self._replies[rows], chance, len(self.codec.result_schema_message))


def tampered(data: bytes, chance: random.Random, start: int = 0) -> bytes:
    """Bytes with a few things changed from ``start`` on."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        if len(changed) < start + 8:
            changed += bytes(start + 8 - len(changed))
        at = chance.randrange(start, len(changed))
        match chance.randrange(8):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.randrange(256)
            case 2 | 3:
                at &= ~7
                changed[at : at + 8] = struct.pack(
                    "<Q", chance.choice([*NUMBERS, len(data), len(data) - 1])
                )
            case 4:
                at &= ~3
                changed[at : at + 4] = struct.pack("<I", chance.choice(NUMBERS) & 0xFFFFFFFF)
            case 5:
                del changed[at:]
            case 6:
                changed += chance.randbytes(chance.randrange(64))
            case _:
                other, length = chance.randrange(start, len(changed)), chance.randrange(32)
                changed[at : at + length] = changed[other : other + length]
    return bytes(changed)


# ---- Uses ----


def _flat(array: pa.Array) -> Any:
    while array.type.num_fields:
        array = array.flatten()[0] if pa.types.is_struct(array.type) else array.flatten()
    return array.to_pylist()


def _wider(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(type_):
        return pa.struct(
            [
                (field.name, _wider(field.type))
                for field in (type_.field(index) for index in range(type_.num_fields))
            ]
        )
    if type_.num_fields:
        return pa.large_list(_wider(type_.value_type))
    return {
        "string": pa.large_string(),
        "binary": pa.large_binary(),
        "date32[day]": pa.date64(),
    }.get(str(type_), type_)


def _ipc(array: pa.Array) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(
        sink, pa.schema([("r", array.type)]), options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_batch(pa.record_batch([array], names=["r"]))
    return pa.ipc.open_file(sink.getvalue()).read_all().to_pylist()


def _parquet(array: pa.Array) -> Any:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"r": array}), file)
    return pyarrow.parquet.read_table(file).to_pylist()


def _duckdb(array: pa.Array) -> Any:
    relation = duckdb.from_arrow(pa.table({"r": array}))
    return relation.query(
        "t", "SELECT r, r::VARCHAR, count(*) OVER (PARTITION BY r) FROM t ORDER BY r"
    ).fetchall()


def _polars(array: pa.Array) -> Any:
    series = pl.Series("r", pl.from_arrow(array))
    frame = series.to_frame()
    listed = isinstance(series.dtype, (pl.List, pl.Array))
    return (
        series.to_list(),
        frame.explode("r") if listed else frame.sort("r"),
        frame.unique(),
        series.to_arrow(),
        str(series),
    )


USES: dict[str, Callable[[pa.Array], Any]] = {
    "to_pylist": lambda array: array.to_pylist(),
    "to_numpy": lambda array: array.to_numpy(zero_copy_only=False),
    "to_pandas": lambda array: pa.table({"r": array}).to_pandas().to_string(),
    "flatten": _flat,
    "cast": lambda array: array.cast(_wider(array.type)).validate(full=True),
    "take": lambda array: array.take(pa.array([len(array) - 1, 0, None])).validate(full=True),
    "filter": lambda array: array.filter(
        pa.array([index % 2 == 0 for index in range(len(array))])
    ).validate(full=True),
    "concat": lambda array: pa.concat_arrays([array.slice(1), array, array.slice(0, 0)]).validate(
        full=True
    ),
    "string": str,
    "ipc": _ipc,
    "parquet": _parquet,
    "polars": _polars,
    "duckdb": _duckdb,
}


def use(array: pa.Array, name: str, *, honest: bool = False) -> None:
    """Does everything with an array. Exceptions are an answer too, but for the values of an honest
    guest.
    """
    for use_name, function in USES.items():
        print(f"{name}: {use_name}", flush=True)
        try:
            function(array)
        except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - a value may be none of that library's
            if honest:
                raise


def contents(array: pa.Array) -> list[bytes | None]:
    """All bytes of an array."""
    return [None if buffer is None else buffer.to_pybytes() for buffer in array.buffers()]


def batches(index: int, first: int, last: int) -> int:
    """Reads mutations and uses what is accepted; returns how many were."""
    mutations = Mutations(TYPES[index])
    seen = [contents(array) for array in mutations.arrays.values()]
    for array in mutations.arrays.values():
        use(array, f"{array.type}, as it is", honest=True)
    accepted = 0
    for number in range(first, last):
        rows, reply = mutations.make(number)
        try:
            array = mutations.codec.read(reply, rows)
        except ProtocolError:
            continue
        assert len(array) == rows and array.type == TYPES[index]
        accepted += 1
        if (found := contents(array)) not in seen:
            seen.append(found)
            use(array, f"{array.type}, mutation {number}")
    return accepted


# ---- Through calls ----


def _complete(data: bytes) -> None:
    import ctypes

    ctypes.memmove(0x5000000000, data, len(data))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(0x200040)(0, len(data))


def calls(seed: int, count: int) -> int:
    """Mutations that functions in VMs write; returns how many were accepted."""
    accepted = 0
    for type_ in (
        pa.list_(pa.list_(pa.int64())),
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        pa.string(),
        pa.float32(),
    ):

        def evil(data: pa.Array) -> pa.Array:
            _complete(data[0].as_py())
            return data

        forged = udfvm.udf(
            evil, vectorized=True, input_types=["binary"], output_type=type_, name="evil"
        )
        mutations = Mutations(type_)
        chance = random.Random(seed)
        for number in sorted(chance.sample(range(mutations.count + count), count)):
            rows, reply = mutations.make(number)
            data = pa.array([reply] * rows, pa.binary())
            try:
                array = forged(data)
            except Error:
                continue
            accepted += 1
            use(array, f"a call, {type_}, mutation {number}")
            print(f"a call with numpy, {type_}, mutation {number}", flush=True)
            repr(forged(np.array([reply] * rows, dtype=object)))
    return accepted


# ---- Through SQL ----

_SQL_TYPES = {
    "int64": 1,
    "double": 2,
    "string": 3,
    "binary": 4,
    "bool": 5,
    "list<int64>": 3,
    "date32": 1,
    "int8": 1,
}


def _row(kind: int, chance: random.Random) -> bytes:
    body = chance.choice([b"", b"abc", "é".encode(), b"\xff\xfe", b"[1,2]", b"[" * 5000, b"a\0b"])
    if kind in (3, 4):
        return struct.pack("<IIQ", kind, len(body), 16) + body
    return struct.pack("<IIQ", kind, 0, chance.choice(NUMBERS)) + body


def _columns(kinds: list[int], rows: int, chance: random.Random) -> bytes:
    heads, buffers = [], bytearray()
    base = 16 + 40 * len(kinds)

    def place(piece: bytes) -> int:
        buffers.extend(bytes(-len(buffers) % 8))
        buffers.extend(piece)
        return base + len(buffers) - len(piece)

    for kind in kinds:
        validity = place(chance.randbytes((rows + 7) // 8)) if chance.random() < 0.3 else 0
        texts = [b"x" * chance.randrange(5) for _ in range(rows)]
        if kind in (3, 4):
            offsets = place(
                struct.pack(f"<{rows + 1}q", *itertools.accumulate(map(len, texts), initial=0))
            )
            data = b"".join(texts)
        else:
            offsets, data = 0, bytes((rows + 7) // 8) if kind == 5 else bytes(8 * rows)
        heads.append(struct.pack("<IIQQQQ", kind, 0, validity, offsets, place(data), len(data)))
    return struct.pack("<QII", rows, len(kinds), 0) + b"".join(heads) + bytes(buffers)


def sql(seed: int, count: int) -> int:
    """Rows and columns in SQL; returns how many queries had an answer."""
    import apsw

    connection = apsw.Connection(":memory:")
    functions = []
    for index, name in enumerate(_SQL_TYPES):

        def scalar(data):  # type: ignore[no-untyped-def]
            _complete(data)

        functions.append(
            udfvm.udf(scalar, input_types=["binary"], output_type=name, name=f"f{index}")
        )

    @udfvm.table_function(
        columns={
            "x": "int64",
            "y": "string",
            "z": "float",
            "w": "binary",
            "v": "bool",
            "d": "date64",
        }
    )
    def rows_of(data: bytes) -> Iterator[tuple[Any, ...]]:
        while True:
            _complete(data)
            yield (1, "a", 1.0, b"x", True, datetime.date(2020, 1, 1))

    @udfvm.aggregate
    class last:
        def __init__(self) -> None:
            self.data = b""

        def step(self, data: bytes) -> None:
            self.data = data

        def finish(self) -> str:
            _complete(self.data)
            return ""

    udfvm.sqlite.register(connection, *functions, rows_of, last)
    answered = 0
    for number in range(seed, seed + count):
        chance = random.Random(number)
        kind = chance.choice(["row", "map", "table", "aggregate", "rows in Python"])
        index = chance.randrange(len(_SQL_TYPES))
        type_ = list(_SQL_TYPES.values())[index]
        table = [1, 1, 3, 2, 4, 5, 1]
        data = {
            "row": lambda: _row(type_, chance),  # noqa: B023
            "map": lambda: _columns([type_], 1, chance),  # noqa: B023
            "aggregate": lambda: _columns([3], 1, chance),  # noqa: B023
        }.get(kind, lambda: _columns(table, chance.choice([0, 1, 5]), chance))()  # noqa: B023
        data = tampered(data, chance) if chance.random() < 0.9 else data
        query = {
            "row": f"SELECT vm_udf('f{index}', ?)",
            "map": f"SELECT * FROM vm_map('f{index}', 'SELECT 1, ?', ?)",
            "table": "SELECT * FROM vm_table('rows_of', ?) LIMIT 100",
            "aggregate": "SELECT vm_agg('last', ?)",
        }.get(kind, "")
        print(f"{kind}, f{index}, mutation {number}", flush=True)
        try:
            if query:
                json.dumps(connection.execute(query, (data,)).fetchall(), default=str)
            else:
                for batch in itertools.islice(rows_of.batches(data), 3):
                    for column in batch.columns:
                        use(column, f"{kind}, {column.type}, mutation {number}")
        except (apsw.Error, Error):
            continue
        answered += 1
    return answered


if __name__ == "__main__":
    mode, *numbers = sys.argv[1:]
    print(
        "accepted",
        {"batches": batches, "calls": calls, "sql": sql}[mode](*map(int, numbers)),
        flush=True,
    )
    os._exit(0)  # threads of the libraries' pools do not always outlive what they refer to
