"""The host's udfvm/texts.py. The build copies it beside the agent."""

from udfvm.texts import counted as counted
