"""The functions of ``bench/engines.py``, for ``udfvm serve``."""

from __future__ import annotations

from bodies import functions

percent, percents = functions()
