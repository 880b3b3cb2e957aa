"""A server of pyarrow's own Arrow Flight that returns the first column of each batch: what the way
of ``bench/engines.py`` through a connection takes without udfvm.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.flight as fl


class Echo(fl.FlightServerBase):
    """Answers each batch with its first column."""

    def do_exchange(self, _context: Any, _descriptor: Any, reader: Any, writer: Any) -> None:
        """Answers the batches of a client."""
        schema = pa.schema([reader.schema.field(0)])
        writer.begin(schema)
        for chunk in reader:
            writer.write_batch(pa.RecordBatch.from_arrays([chunk.data.column(0)], schema=schema))


if __name__ == "__main__":
    with Echo("grpc://127.0.0.1:0") as server:
        print(f"listening on grpc://127.0.0.1:{server.port}", flush=True)
        server.serve()
