"""Options that give a function something of this process: host functions, packages, files. Each is
checked, in errors that name the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from udfvm.checks import shown
from udfvm.errors import OptionError
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from udfvm.call.host_functions import HostFunctions
    from udfvm.load.data_files import DataFiles


def function_list(name: str, functions: object) -> tuple[Callable[..., Any], ...]:
    """Returns the functions in ``host_functions=``. Raises OptionError unless it is a
    collection.
    """
    if isinstance(functions, (str, Mapping)) or not isinstance(functions, Iterable):
        example = f"[{getattr(functions, '__name__', 'price')}]"
        raise OptionError(
            f"UDF {name!r}: host_functions= must be a list of functions, such as {example}; got"
            f" {shown(functions)}"
        )
    return tuple(functions)


def host_functions_of(name: str, functions: object) -> HostFunctions | None:
    """Returns ``host_functions=`` of a function; None if there are none. Raises OptionError, and
    SignatureError.
    """
    given = function_list(name, functions)
    if not given:
        return None
    from udfvm.call.host_functions import HostFunctions

    return HostFunctions(name, given)


def data_files_of(name: str, data: object) -> DataFiles | None:
    """Returns the files of ``data=`` of a function; None if there are none. Raises OptionError, and
    DataFileError.
    """
    if data is None:
        return None
    from udfvm.load.data_files import DataFiles

    return DataFiles.of(name, data)


def packages_of(name: str, packages: Iterable[str]) -> tuple[str, ...]:
    """Returns ``packages=`` of a function. Raises OptionError."""
    if not packages and isinstance(packages, tuple):
        return ()  # most have none, and need no module for it
    from udfvm.load.libraries import checked_packages

    try:
        return checked_packages(packages)
    except OptionError as error:
        raise OptionError(f"UDF {name!r}: {error}") from None
