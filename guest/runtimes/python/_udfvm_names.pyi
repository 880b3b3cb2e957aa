"""The host's udfvm/types/names.py, of which the build puts a copy beside the agent."""

from udfvm.types.names import ARRAY_CLASSES as ARRAY_CLASSES
from udfvm.types.names import CLASSES as CLASSES
from udfvm.types.names import CLASSES_OF_MODULES as CLASSES_OF_MODULES
from udfvm.types.names import INTEGERS as INTEGERS
from udfvm.types.names import INTERVAL as INTERVAL
from udfvm.types.names import JSON_NAME as JSON_NAME
from udfvm.types.names import LIBRARIES as LIBRARIES
from udfvm.types.names import NUMPY_CLASSES as NUMPY_CLASSES
