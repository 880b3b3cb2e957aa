"""What ``import udfvm.ibis`` imports: the module ``udfvm.engines.ibis``."""

import sys

from udfvm.engines import ibis
from udfvm.engines.ibis import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = ibis
