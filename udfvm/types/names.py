"""Names of types that several modules know.

The build copies this for guests, so it imports nothing else of udfvm.
"""

from __future__ import annotations

from udfvm.static_typing import Final

INTERVAL: Final = "month_day_nano_interval"
JSON_NAME: Final = "json"
