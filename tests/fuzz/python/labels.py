"""What pandas wrote of a table, in the metadata of a stranger's file."""

import json

import pyarrow as pa
from fuzz_inputs import Input

from udfvm.pipelines.labels import index_columns, labels_of

MADE = [pa.field("result", pa.int64()), pa.field("flag", pa.bool_())]
BATCH = pa.record_batch({"x": [1, 2, 3], "key": ["a", "b", "c"]})


def text(given: Input) -> bytes:
    """Metadata with a right frame: a range as the index, and an entry for a column."""
    names = ("x", "key", "result", None, given.bytes(given.byte() % 8).decode("utf-16", "replace"))
    numbers = [given.number() - given.byte() for _ in range(3)]
    range_ = dict(zip(("start", "stop", "step"), numbers, strict=True))
    entry = {"field_name": names[given.byte() % len(names)], "numpy_type": "int64[pyarrow]"}
    labels = {"kind": "range", "name": names[given.byte() % len(names)], **range_}
    found = {"index_columns": [labels, names[given.byte() % len(names)]], "columns": [entry]}
    return json.dumps(found).encode()


def one_input(data: bytes) -> None:
    given = Input(data)
    how = given.byte()
    metadata = text(given) if how & 1 else given.rest
    source = BATCH.replace_schema_metadata({b"pandas": metadata, b"own": b"1"})
    kept = ["x", *(name for name in index_columns(source.schema) if name != "x")]
    labels = labels_of(
        source.schema,
        None if how & 2 else source.num_rows,
        kept,
        MADE,
        "x",
        all_columns=bool(how & 4),
        has_index=bool(how & 8),
        as_column=bool(how & 16),
    )
    rows = [0, 2] if how & 32 else None
    of_rows = labels.of_rows(given.number() % 2**62, source.num_rows, rows)
    assert all(len(column) == len(rows or source) for column in of_rows)
    fields = [*(source.schema.field(name) for name in kept), *MADE]
    if labels.column is not None:
        fields.append(labels.column)
    names = [field.name for field in fields]
    assert len(set(names)) == len(names)
    table = labels.of_table(pa.schema(fields, labels.schema_metadata()).empty_table())
    assert len(table.column(0)) == 0
