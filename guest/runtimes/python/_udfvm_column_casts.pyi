"""The host's udfvm/types/column_casts.py, of which the build puts a copy beside the agent."""

import pyarrow as pa

def cast_column(column: pa.Array, to: pa.DataType) -> pa.Array: ...
