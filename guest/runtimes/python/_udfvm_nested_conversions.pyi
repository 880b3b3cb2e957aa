"""The host's udfvm/types/nested_conversions.py. The build copies it beside the agent."""

from udfvm.types.nested_conversions import difference as difference
