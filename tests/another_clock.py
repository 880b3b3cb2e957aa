"""A plugin for pytest: the time of day is a year later while tests are collected."""

from __future__ import annotations

import time

_SECONDS = 366 * 24 * 3600
_time = time.time
_time_ns = time.time_ns

time.time = lambda: _time() + _SECONDS
time.time_ns = lambda: _time_ns() + _SECONDS * 10**9
