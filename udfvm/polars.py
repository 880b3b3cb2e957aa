"""What ``import udfvm.polars`` imports: the module ``udfvm.engines.polars``."""

import sys

from udfvm.engines import polars
from udfvm.engines.polars import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = polars
