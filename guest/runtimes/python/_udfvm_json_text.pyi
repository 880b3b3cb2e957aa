"""The host's udfvm/types/json_text.py, of which the build puts a copy beside the agent."""

from udfvm.types.json_text import check_keys as check_keys
from udfvm.types.json_text import from_json as from_json
from udfvm.types.json_text import stand_in as stand_in
from udfvm.types.json_text import to_json as to_json
