"""What a script left in its micro-VM, what source text says of its function, and a file of all of
its functions.
"""

import functools
import json
from pathlib import Path

import pyarrow as pa
from fuzz_inputs import Input, use

from udfvm.errors import Error, ProtocolError
from udfvm.functions.declared_source import declared_function
from udfvm.functions.script_reply import read_reply
from udfvm.functions.source import read_description
from udfvm.functions.source_file import SourceFile, read_declarations
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
    from udfvm.codec.column_batches import stream_codec

    codec = stream_codec(name)
    sink = pa.BufferOutputStream()
    array = pa.array(values, named(name).arrow)
    with pa.ipc.new_stream(sink, codec.result_schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([array], schema=codec.result_schema))
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


DECLARED = json.dumps(
    {
        "functions": [
            {
                "name": "f",
                "form": "scalar",
                "declared": True,
                "options": {"timeout": 1.5, "memory": "64MiB", "sample": [1.0, "a"]},
                "parameters": [["x", "double", False, ""], ["y", "string", True, "", "a"]],
                "result": ["list<item: int64>", False, ""],
                "columns": [["a", "decimal128(5, 2)"]],
                "refused": "",
            }
        ],
        "imports": ["numpy"],
    }
).encode()


def _declare(reply: bytes) -> None:
    functions, imports = read_declarations("f.py", reply)
    file = SourceFile(Path("f.py"), "", functions, imports)
    for each in functions:
        try:
            repr(declared_function(file, each, each.options))
        except Error as error:
            assert str(error)


def one_input(data: bytes) -> None:
    given = Input(data)
    kind = given.byte()
    how = kind % 4
    try:
        if how == 3 and kind >= 128:
            _declare(given.rest if kind >= 192 else given.changed(DECLARED))
            return
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
