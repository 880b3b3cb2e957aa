"""What ``import udfvm.prometheus`` imports: the module ``udfvm.engines.prometheus``."""

import sys

from udfvm.engines import prometheus
from udfvm.engines.prometheus import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = prometheus
