"""What ``import udfvm.duckdb`` imports: the module ``udfvm.engines.duckdb``."""

import sys

from udfvm.engines import duckdb
from udfvm.engines.duckdb import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = duckdb
