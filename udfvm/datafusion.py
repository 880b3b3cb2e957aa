"""What ``import udfvm.datafusion`` imports: the module ``udfvm.engines.datafusion``."""

import sys

from udfvm.engines import datafusion
from udfvm.engines.datafusion import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = datafusion
