"""The host's udfvm/types/array_conversions.py. The build copies it beside the agent."""

import pyarrow as pa

def convert(array: pa.Array, declared: pa.DataType) -> pa.Array: ...
