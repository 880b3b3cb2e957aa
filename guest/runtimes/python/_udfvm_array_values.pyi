"""The host's udfvm/types/array_values.py, of which the build puts a copy beside the agent."""

from udfvm.types.array_values import dictionary_of as dictionary_of
from udfvm.types.array_values import has_hashed_keys as has_hashed_keys
from udfvm.types.array_values import to_values as to_values
