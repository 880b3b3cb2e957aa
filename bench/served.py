"""The functions of ``bench/engines.py``, for ``udfvm serve``."""

from __future__ import annotations

from engines import functions

percent, percents = functions()
