"""How many bytes rows have, for batches of about the same size."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.ipc

from udfvm.types.encodings import decoded
from udfvm.types.unions import has_unions


def size_of_rows(rows: pa.RecordBatch | pa.Table) -> int:
    """Returns how many bytes rows have.

    Arrow writes beside its memory where it counts those of dense unions whose type codes are not
    the numbers of their children.

    >>> size_of_rows(pa.record_batch([[1, 2, 3]], ["x"]))
    24
    """
    if not any(has_unions(decoded(type_)) for type_ in rows.schema.types):
        return int(rows.nbytes)
    batches = rows.to_batches() if isinstance(rows, pa.Table) else [rows]
    return sum(map(pa.ipc.get_record_batch_size, batches))
