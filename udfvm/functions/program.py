"""The code of a function: what every language must provide."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from udfvm.load.declaration import Column, Form, Language
from udfvm.static_typing import TYPE_CHECKING, Any, ClassVar
from udfvm.tuples import NamedTuple
from udfvm.types.signatures import Signature

if TYPE_CHECKING:
    from udfvm.call.codecs import Codecs
    from udfvm.call.host_functions import HostFunctions
    from udfvm.call.pool import Pool
    from udfvm.call.runtime import Loading
    from udfvm.limits import Limits
    from udfvm.load.bindings import Bindings
    from udfvm.load.data_files import DataFiles
    from udfvm.load.declaration import Declaration


class Interface(NamedTuple):
    """What a function takes and returns, and how it is called; see ``Declaration``."""

    form: Form
    signature: Signature
    vectorized: bool = False
    elementwise: bool = True
    columns: tuple[Column, ...] = ()
    has_inverse: bool = False
    has_merge: bool = False


class Program(ABC):
    """The code of a function in some language.

    Attributes:
        language: the language.
        options: the ``TypedDict`` of the options that functions of it take.
        function: the Python function, or the class of an aggregate; None for other languages.
    """

    language: Language
    options: ClassVar[type]
    function: Callable[..., Any] | None = None

    @property
    @abstractmethod
    def default_name(self) -> object:
        """The function's name if no option sets it."""

    def offering(self, host_functions: HostFunctions | None) -> Program:
        """Returns the program with host functions that it may call. Most look them up by name when
        they call them, and are the same with any.
        """
        return self

    def giving(self, data: DataFiles | None) -> Program:
        """Returns the program with the files that it finds wherever it runs."""
        return self

    @abstractmethod
    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Returns what the function takes and returns. Raises SignatureError if the code cannot be
        such a function.
        """

    @abstractmethod
    def capture(self, declaration: Declaration) -> Bindings:
        """Captures what names in the code mean now. Empty if it refers to no objects."""

    @abstractmethod
    def loading(self, declaration: Declaration, codecs: Codecs, pool: Pool) -> Loading:
        """Returns what an image of the function is built from. ``pool`` has VMs, if one is needed
        for that.
        """
