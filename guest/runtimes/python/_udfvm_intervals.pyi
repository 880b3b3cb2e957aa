"""The host's udfvm/types/intervals.py, of which the build puts a copy beside the agent."""

from udfvm.types.intervals import checked_interval as checked_interval
from udfvm.types.intervals import interval_from_text as interval_from_text
from udfvm.types.intervals import is_interval as is_interval
from udfvm.types.intervals import pickle_intervals as pickle_intervals
from udfvm.types.intervals import text_from_interval as text_from_interval
