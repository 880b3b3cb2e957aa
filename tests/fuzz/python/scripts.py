"""What a script left in its micro-VM, and what source text says of its function."""

import functools
import json

import pyarrow as pa
from fuzz_inputs import Input, use

from udfvm.errors import ProtocolError
from udfvm.functions.script_reply import read_reply
from udfvm.functions.source import read_description
from udfvm.types.arrow_types import named

COLUMNS = {"int64": [1, None, 3], "string": ["a", None, "é"], "list<item: int64>": [[1], None, []]}


@functools.cache
def honest() -> bytes:
    """A reply with a table."""
    streams = [_stream(name, values) for name, values in COLUMNS.items()]
    header = json.dumps(
        {
            "tables": [{"columns": [["x", name] for name in COLUMNS], "rows": 3}],
            "named": [["t", 0]],
            "outputs": {"n": ["text", "repr"]},
            "value": ["json", [1, "ä"]],
            "dropped": ["g"],
            "lengths": [*map(len, streams), 1],
        }
    ).encode()
    return b"".join((len(header).to_bytes(8, "little"), header, *streams, b"s"))


def _stream(name: str, values: list[object]) -> bytes:
    from udfvm.codec.column_batches import _stream_codec

    codec = _stream_codec(name)
    sink = pa.BufferOutputStream()
    array = pa.array(values, named(name).arrow)
    with pa.ipc.new_stream(sink, codec.result_schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([array], schema=codec.result_schema))
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def one_input(data: bytes) -> None:
    given = Input(data)
    how = given.byte() % 4
    try:
        if how == 3:
            read_description("f", given.rest)
            return
        left = read_reply("script", given.rest if how == 0 else given.changed(honest()))
    except ProtocolError:
        return
    json.dumps(left.value if not isinstance(left.value, pa.Table) else None)
    for table in left.tables.values():
        for column in table.columns:
            for chunk in column.chunks:
                use(chunk)
