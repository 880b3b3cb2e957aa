"""The host's udfvm/types/unions.py, of which the build puts a copy beside the agent."""

from udfvm.types.unions import Chosen as Chosen
from udfvm.types.unions import array_of as array_of
from udfvm.types.unions import choose as choose
from udfvm.types.unions import null_count as null_count
