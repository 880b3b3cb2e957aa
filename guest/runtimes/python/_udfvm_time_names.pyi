"""The host's udfvm/types/time_names.py, of which the build puts a copy beside the agent."""

from udfvm.types.time_names import duration_unit as duration_unit
from udfvm.types.time_names import time_unit as time_unit
from udfvm.types.time_names import timestamp_parts as timestamp_parts
