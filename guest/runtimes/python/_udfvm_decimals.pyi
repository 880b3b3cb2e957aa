"""The host's udfvm/types/decimals.py, of which the build puts a copy beside the agent."""

from udfvm.types.decimals import decimal_from_text as decimal_from_text
from udfvm.types.decimals import exact_decimal as exact_decimal
from udfvm.types.decimals import text_from_decimal as text_from_decimal
