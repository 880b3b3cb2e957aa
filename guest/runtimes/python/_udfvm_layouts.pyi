"""The host's udfvm/layouts.py, of which the build puts a copy beside the agent."""

from udfvm.layouts import AGGREGATE as AGGREGATE
from udfvm.layouts import FETCH as FETCH
from udfvm.layouts import GUEST_ERROR as GUEST_ERROR
from udfvm.layouts import INTEGER as INTEGER
from udfvm.layouts import REAL as REAL
from udfvm.layouts import ROW as ROW
from udfvm.layouts import VALUE as VALUE
