"""The host's udfvm/types/nested.py, of which the build puts a copy beside the agent."""

from udfvm.types.nested import Nested as Nested
from udfvm.types.nested import holds_others as holds_others
from udfvm.types.nested import pairs_of as pairs_of
from udfvm.types.nested import quoted as quoted
from udfvm.types.nested import take_apart as take_apart
from udfvm.types.nested import type_name as type_name
from udfvm.types.nested import values_in_pairs as values_in_pairs
