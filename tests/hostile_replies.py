"""Replies that a hostile guest could write, and everything that users do with results.

It is a program, since a reply may kill it:

    python hostile_replies.py batches TYPE FIRST LAST
        reads mutations of replies of a type, without a VM
    python hostile_replies.py calls SEED COUNT
        calls functions that write some of them, from Python
    python hostile_replies.py streams SEED COUNT
        the same of table functions and aggregates, whose columns are streams in column batches
    python hostile_replies.py sql SEED COUNT
        calls functions that write mutated rows and columns, from SQL
    python hostile_replies.py die SIGNAL
        ends by a signal
    python hostile_replies.py serve
        does any of these for each line of standard input, an array in JSON: those arguments, and
        two files for what it prints. Answers with how it ended, as os.waitpid() does. Each is a
        process of its own that need not import the libraries again.

Ahead of each use it prints which mutation and which use that is, so its last line names what killed
it.
"""

from __future__ import annotations

import datetime
import importlib
import itertools
import json
import os
import random
import struct
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
from array_uses import contents, use, use_many
from hostile_mutations import NUMBERS, TYPES, Mutations, tampered

import udfvm
from udfvm.errors import Error, ProtocolError
from udfvm.protocol import OUTPUT_BASE, STATUS_OK, TYPE_ARROW, VECTOR_COMPLETE

TOGETHER = 10  # mutations that libraries get at once


def batches(index: int, first: int, last: int) -> int:
    """Reads mutations and uses what is accepted; returns how many were."""
    mutations = Mutations(TYPES[index])
    seen = [contents(array) for array in mutations.arrays.values()]
    for array in mutations.arrays.values():
        use(array, f"{array.type}, as it is", honest=True)
    accepted, others = 0, {}
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
            others[f"{array.type}, mutation {number}"] = array
        if len(others) == TOGETHER:
            use_many(others)
            others = {}
    if others:
        use_many(others)
    return accepted


def _complete(data: bytes) -> None:
    import ctypes

    ctypes.memmove(OUTPUT_BASE, data, len(data))
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(STATUS_OK, len(data))


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


def _with_stream(stream: bytes, rows: int) -> bytes:
    """A column batch of one column, a stream."""
    head = struct.pack("<IIQQQQ", TYPE_ARROW, 0, 0, 0, 56, len(stream))
    return struct.pack("<QII", rows, 1, 0) + head + stream


def _with_streams(stream: bytes, rows: int) -> bytes:
    """A column batch of a table function of two columns, both the same stream."""
    start = 16 + 3 * 40
    heads = struct.pack("<IIQQQQ", 1, 0, 0, 0, start, 8 * rows) + 2 * struct.pack(
        "<IIQQQQ", TYPE_ARROW, 0, 0, 0, start + 8 * rows, len(stream)
    )
    return struct.pack("<QII", rows, 3, 0) + heads + bytes(8 * rows) + stream


def streams(seed: int, count: int) -> int:
    """Mutations in column batches that functions in VMs write; returns how many were accepted."""
    accepted = 0
    for type_ in (
        pa.list_(pa.list_(pa.int64())),
        pa.list_(pa.struct([("a", pa.float64()), ("b", pa.list_(pa.bool_()))])),
        pa.uint64(),
    ):

        def evil(data: bytes) -> Iterator[Any]:
            while True:
                _complete(data)
                yield None, None

        class Evil:
            def step(self, data: bytes) -> None:
                self.data = data

            def finish(self):  # type: ignore[no-untyped-def]
                _complete(self.data)

        table = udfvm.table_function(evil, columns={"x": type_, "y": type_})
        aggregate = udfvm.aggregate(Evil, output_type=type_)
        mutations = Mutations(type_)
        chance = random.Random(seed)
        for number in sorted(chance.sample(range(mutations.count + count), count)):
            rows, stream = mutations.make(number)
            batch = _with_streams(stream, rows)
            if chance.random() < 0.5:
                batch = tampered(batch, chance)
            try:
                (made,) = itertools.islice(table.batches(batch), 1)
            except (Error, ValueError):
                made = None
            if made is not None:
                accepted += 1
                for column in made.columns:
                    use(column, f"a table function, {type_}, mutation {number}")
            print(f"an aggregate, {type_}, mutation {number}", flush=True)
            try:
                repr(aggregate(pa.array([_with_stream(stream, 1)])))
            except Error:
                continue
    return accepted


SQL_TYPES = {
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

    def append(data: bytes) -> int:
        buffers.extend(bytes(-len(buffers) % 8))
        buffers.extend(data)
        return base + len(buffers) - len(data)

    for kind in kinds:
        validity = append(chance.randbytes((rows + 7) // 8)) if chance.random() < 0.3 else 0
        texts = [b"x" * chance.randrange(5) for _ in range(rows)]
        if kind in (3, 4):
            offsets = append(
                struct.pack(f"<{rows + 1}q", *itertools.accumulate(map(len, texts), initial=0))
            )
            data = b"".join(texts)
        else:
            offsets, data = 0, bytes((rows + 7) // 8) if kind == 5 else bytes(8 * rows)
        heads.append(struct.pack("<IIQQQQ", kind, 0, validity, offsets, append(data), len(data)))
    return struct.pack("<QII", rows, len(kinds), 0) + b"".join(heads) + bytes(buffers)


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


def _scalar(index: int, name: str) -> udfvm.ScalarFunction:
    def scalar(data):  # type: ignore[no-untyped-def]
        _complete(data)

    return udfvm.udf(scalar, input_types=["binary"], output_type=name, name=f"f{index}")


QUERIES = {
    "row": "SELECT vm_udf('f{0}', ?)",
    "map": "SELECT * FROM vm_map('f{0}', 'SELECT 1, ?', ?)",
    "table": "SELECT * FROM vm_table('rows_of', ?) LIMIT 100",
    "aggregate": "SELECT vm_agg('last', ?)",
}
OF_ROWS = [1, 1, 3, 2, 4, 5, 1]  # the types of the row's number, and of the columns of rows_of()


def _reply(way: str, type_: int, chance: random.Random) -> bytes:
    if way == "row":
        data = _row(type_, chance)
    elif way == "map":
        data = _columns([type_], 1, chance)
    elif way == "aggregate":
        data = _columns([3], 1, chance)
    else:
        data = _columns(OF_ROWS, chance.choice([0, 1, 5]), chance)
    return tampered(data, chance) if chance.random() < 0.9 else data


def _use_rows(data: bytes, name: str) -> None:
    for batch in itertools.islice(rows_of.batches(data), 3):
        for column in batch.columns:
            use(column, name.format(column.type))


def sql(seed: int, count: int) -> int:
    """Rows and columns in SQL; returns how many queries had an answer."""
    connection = apsw.Connection(":memory:")
    functions = [_scalar(index, name) for index, name in enumerate(SQL_TYPES)]
    udfvm.sqlite.register(connection, *functions, rows_of, last)
    answered = 0
    for number in range(seed, seed + count):
        chance = random.Random(number)
        way = chance.choice(["row", "map", "table", "aggregate", "rows in Python"])
        index = chance.randrange(len(SQL_TYPES))
        data = _reply(way, list(SQL_TYPES.values())[index], chance)
        print(f"{way}, f{index}, mutation {number}", flush=True)
        try:
            if way in QUERIES:
                query = QUERIES[way].format(index)
                json.dumps(connection.execute(query, (data,)).fetchall(), default=str)
            else:
                _use_rows(data, f"{way}, {{}}, mutation {number}")
        except (apsw.Error, Error):
            continue
        answered += 1
    return answered


def die(number: int) -> int:
    """Ends the process by a signal, as a library would that a reply leads astray."""
    print("a reply that kills", flush=True)
    os.kill(os.getpid(), number)
    return 0


def run(mode: str, numbers: list[str]) -> None:
    """Does what the arguments say, and ends the process."""
    modes = {"batches": batches, "calls": calls, "streams": streams, "sql": sql, "die": die}
    print("accepted", modes[mode](*map(int, numbers)), flush=True)
    os._exit(0)  # threads of the libraries' pools do not always outlive what they refer to


def serve() -> None:
    """Runs what it is asked for in forked children. This process itself uses nothing: the
    libraries start threads then, which children would miss.
    """
    importlib.import_module("pandas")
    importlib.import_module("pyarrow.pandas_compat")
    for line in sys.stdin:
        mode, *numbers, output, errors = json.loads(line)
        child = os.fork()
        if child == 0:
            for number, path in ((1, output), (2, errors)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
            try:
                run(mode, numbers)
            except BaseException:  # noqa: BLE001 - whatever it is, it ends this child
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        run(sys.argv[1], sys.argv[2:])
