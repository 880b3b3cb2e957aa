"""The host's udfvm/types/nested_conversions.py. The build copies it beside the agent."""

from udfvm.types.nested_conversions import difference as difference
from udfvm.types.nested_conversions import table_of_structs as table_of_structs
