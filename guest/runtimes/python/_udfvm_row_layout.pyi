"""The host's udfvm/codec/row_layout.py, of which the build puts a copy beside the agent."""

from udfvm.codec.row_layout import INTEGER as INTEGER
from udfvm.codec.row_layout import REAL as REAL
from udfvm.codec.row_layout import ROW as ROW
from udfvm.codec.row_layout import VALUE as VALUE
