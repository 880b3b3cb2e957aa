"""The host's udfvm/types/nested.py, of which the build puts a copy beside the agent."""

from udfvm.types.nested import take_apart as take_apart
