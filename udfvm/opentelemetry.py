"""What ``import udfvm.opentelemetry`` imports: the module ``udfvm.engines.opentelemetry``."""

import sys

from udfvm.engines import opentelemetry
from udfvm.engines.opentelemetry import *  # noqa: F403 - the names for type checkers

sys.modules[__name__] = opentelemetry
