"""The host's udfvm/types/numpy_conversions.py. The build copies it beside the agent."""

from typing import Any

import numpy as np
import pyarrow as pa

def numpy_type(type_: pa.DataType) -> str | None: ...
def from_numpy(
    values: np.ndarray[Any, Any], declared: pa.DataType
) -> pa.Array | pa.ChunkedArray: ...
def from_objects(values: list[Any], declared: pa.DataType) -> pa.Array | None: ...
