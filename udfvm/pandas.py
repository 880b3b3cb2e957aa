"""What ``import udfvm.pandas`` imports: the module ``udfvm.engines.pandas``."""

import sys

from udfvm.engines import pandas
from udfvm.engines.pandas import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = pandas
