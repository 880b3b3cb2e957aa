"""The host's udfvm/types/polars_types.py. The build copies it beside the agent."""

from udfvm.types.polars_types import BROKEN as BROKEN
from udfvm.types.polars_types import for_polars as for_polars
from udfvm.types.polars_types import is_broken as is_broken
