"""The host's udfvm/types/conversions.py. The build copies it beside the agent."""

from udfvm.types.conversions import FIXED_BINARY as FIXED_BINARY
from udfvm.types.conversions import Loss as Loss
from udfvm.types.conversions import Refused as Refused
from udfvm.types.conversions import exact_float as exact_float
from udfvm.types.conversions import family as family
from udfvm.types.conversions import integer_range as integer_range
from udfvm.types.conversions import is_missing as is_missing
from udfvm.types.conversions import short as short
from udfvm.types.conversions import surrogate_of as surrogate_of
from udfvm.types.conversions import without_missing as without_missing
