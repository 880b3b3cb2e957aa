"""Messages of clients of Arrow Flight: descriptors, schemas and batches."""

import pyarrow as pa
from fuzz_inputs import Input, use
from hostile_mutations import TYPES as ALL_TYPES

from udfvm.serving.client_batches import batch_in, types_in
from udfvm.serving.messages import (
    action_type,
    batch_data,
    flight_data,
    name_in_descriptor,
    schema_data,
)
from udfvm.serving.protobuf import field
from udfvm.serving.statuses import RefusedError

MAX_ROWS = MAX_BATCH = 1 << 20
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
TYPES = [*ALL_TYPES, *VIEWS]
ROWS = (1, 2, 9)
MESSAGES: dict[tuple[int, int], tuple[bytes, bytes]] = {}


def honest(index: int, rows: int) -> tuple[bytes, bytes]:
    """The messages of a schema and of a batch: of nulls, but for views."""
    schema = pa.schema([("x", TYPES[index]), ("y", pa.float64())])
    nulls = pa.nulls(rows, TYPES[index])
    if TYPES[index] in VIEWS:
        texts = ["short", None, "a text of more than twelve bytes"] * 3
        nulls = pa.array(texts[-rows:], pa.string()).cast(TYPES[index])
    columns = [nulls, pa.array([0.5] * rows)]
    return schema_data(schema), batch_data(pa.RecordBatch.from_arrays(columns, schema=schema))


def one_input(data: bytes) -> None:
    given = Input(data)
    how, index, rows = given.byte() % 4, given.byte() % len(TYPES), ROWS[given.byte() % len(ROWS)]
    key = (index, rows)
    if key not in MESSAGES:
        MESSAGES[key] = honest(index, rows)
    schema, batch = MESSAGES[key]
    descriptor = field(1, 1) + field(3, b"half")
    try:
        match how:
            case 0:
                name_in_descriptor(memoryview(given.changed(descriptor)))
                return
            case 1:
                action_type(given.changed(descriptor))
                return
            case 2:
                schema = given.changed(schema)
            case _:
                batch = given.changed(batch)
        types = types_in(flight_data(schema))
        found = batch_in(flight_data(batch), types, MAX_ROWS, MAX_BATCH)
    except (RefusedError, ValueError):
        return
    assert len(found.columns) == len(types)
    for column, type_ in zip(found.columns, types, strict=True):
        assert column.type == VIEWS.get(type_, type_) and len(column) == found.rows
        use(column)
