"""What ``import udfvm.dask`` imports: the module ``udfvm.engines.dask``."""

import sys

from udfvm.engines import dask
from udfvm.engines.dask import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = dask
