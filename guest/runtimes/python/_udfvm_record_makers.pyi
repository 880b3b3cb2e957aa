"""The host's udfvm/types/record_makers.py. The build copies it beside the agent."""

from udfvm.types.record_makers import Make as Make
from udfvm.types.record_makers import Shape as Shape
from udfvm.types.record_makers import maker_of as maker_of
