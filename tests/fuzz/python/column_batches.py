"""Column batches that Python gets: of table functions and aggregates."""

import pyarrow as pa
from fuzz_inputs import Input, use

from udfvm.codec.column_batches import decode, encode, widened
from udfvm.errors import ProtocolError
from udfvm.types.arrow_types import named

COLUMNS = {
    "int64": [1, None, 3],
    "double": [1.5, None, 2.5],
    "string": ["a", None, "é"],
    "binary": [b"a", None, b""],
    "bool": [True, None, False],
    "uint64": [1, None, 2**63],
    "list<item: int64>": [[1], None, []],
    "date64[ms]": [0, None, 86_400_000],
}
TYPES = [named(name) for name in COLUMNS]
ROWS = 3


def honest(which: list[int]) -> bytes:
    arrays = [pa.array(list(COLUMNS.values())[index], TYPES[index].arrow) for index in which]
    return encode([widened(array, TYPES[i]) for i, array in zip(which, arrays)], ROWS)  # noqa: B905


def one_input(data: bytes) -> None:
    given = Input(data)
    chosen = given.byte() | given.byte() << 8
    which = [index for index in range(len(TYPES)) if chosen >> index & 1] or [0]
    reply = given.changed(honest(which))
    try:
        batch, _ = decode("f", reply, [TYPES[index] for index in which], ROWS + 1)
    except ProtocolError:
        return
    assert batch.num_rows <= ROWS + 1 and batch.num_columns == len(which)
    for index, column in zip(which, batch.columns, strict=True):
        assert column.type == TYPES[index].arrow
        use(column)
