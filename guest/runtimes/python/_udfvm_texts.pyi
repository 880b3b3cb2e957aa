"""The host's udfvm/texts.py. The build copies it beside the agent."""

from udfvm.texts import counted as counted
from udfvm.texts import counted_between as counted_between
from udfvm.texts import format_size as format_size
from udfvm.texts import listed as listed
