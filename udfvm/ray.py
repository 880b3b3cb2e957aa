"""What ``import udfvm.ray`` imports: the module ``udfvm.engines.ray``."""

import sys

from udfvm.engines import ray
from udfvm.engines.ray import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = ray
