"""What ``import udfvm.spark`` imports: the module ``udfvm.engines.spark``."""

import sys

from udfvm.engines import spark
from udfvm.engines.spark import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = spark
