"""The host's udfvm/types/array_conversions.py, of which the build puts a copy beside the agent."""

import pyarrow as pa

def convert(array: pa.Array, declared: pa.DataType) -> pa.Array: ...
