"""The host's udfvm/tuples.py. The build copies it beside the agent."""

from udfvm.tuples import NamedTuple as NamedTuple
