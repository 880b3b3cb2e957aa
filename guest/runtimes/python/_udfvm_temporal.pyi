"""The host's udfvm/types/temporal.py, of which the build puts a copy beside the agent."""

from udfvm.types.temporal import DAY_MILLISECONDS as DAY_MILLISECONDS
from udfvm.types.temporal import MICROSECONDS as MICROSECONDS
from udfvm.types.temporal import count_from_datetime as count_from_datetime
from udfvm.types.temporal import count_from_timedelta as count_from_timedelta
from udfvm.types.temporal import date_from_days as date_from_days
from udfvm.types.temporal import datetime_reader as datetime_reader
from udfvm.types.temporal import days_from_date as days_from_date
from udfvm.types.temporal import duration_from_text as duration_from_text
from udfvm.types.temporal import in_utc as in_utc
from udfvm.types.temporal import text_from_time as text_from_time
from udfvm.types.temporal import time_from_text as time_from_text
from udfvm.types.temporal import timedelta_from_count as timedelta_from_count
