"""What ``import udfvm.flight`` imports: the module ``udfvm.engines.flight``."""

import sys

from udfvm.engines import flight
from udfvm.engines.flight import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = flight
