"""The host's udfvm/types/polars_types.py. The build copies it beside the agent."""

from udfvm.types.polars_types import for_polars as for_polars
