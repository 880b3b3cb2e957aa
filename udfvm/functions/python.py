"""Functions in Python: what is sent to their images."""

from __future__ import annotations

import functools
from collections.abc import Callable

from udfvm.call.runtime import Loading
from udfvm.errors import SignatureError
from udfvm.functions.options import PythonOptions
from udfvm.functions.program import Program
from udfvm.limits import WINDOW
from udfvm.static_typing import TYPE_CHECKING, Any
from udfvm.texts import counted
from udfvm.types.hints import annotated_function, hints_of

if TYPE_CHECKING:
    from udfvm.call.codecs import Codecs
    from udfvm.call.pool import Pool
    from udfvm.load.bindings import Bindings
    from udfvm.load.declaration import Declaration
    from udfvm.load.pickling import PickledFunction


class PythonProgram(Program):
    """A Python function, or a class."""

    language = "python"
    options = PythonOptions
    function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any], sample: Any) -> None:
        """``sample``: arguments of a call that runs while the image is built, as users write them;
        as ``load_request`` takes them once ``interface`` has checked them.
        """
        self.function = function
        self.sample = sample
        self._hints: dict[str, dict[str, object]] = {}  # of functions, by name, that travel with it

    def hints(self, function: Callable[..., Any], name: str) -> dict[str, object]:
        """Returns the evaluated annotations of the function, or of a method of the class. Raises
        SignatureError.

        Those that are text are evaluated once, and kept: where the function arrives in another
        process, nothing may have the names in them.
        """
        method = getattr(function, "__name__", "")
        if method in self._hints:
            return self._hints[method]
        found = hints_of(function, name)
        annotations = getattr(annotated_function(function), "__annotations__", None) or {}
        if any(isinstance(each, str) for each in annotations.values()):
            self._hints[method] = found
        return found

    @property
    def default_name(self) -> object:
        """The name of the Python function; of a ``functools.partial``, that of its function."""
        function = self.function
        while isinstance(function, functools.partial):
            function = function.func
        return getattr(function, "__name__", None)

    def capture(self, declaration: Declaration) -> Bindings:
        """Captures what the names in the function, and in user code that it refers to, mean now."""
        from udfvm.load.bindings import capture

        offered = declaration.host_functions
        referring: object = self.function
        if any(each.shape for each in declaration.parameters):
            from udfvm.load.records import referred_to

            referring = referred_to(self.function, declaration.parameters)
        return capture(referring, offered.functions() if offered else ())

    def loading(self, declaration: Declaration, codecs: Codecs, pool: Pool) -> Loading:
        """Returns what the image is built from.

        The function is pickled only if it refers to more than builtins, or when it is loaded.
        """
        from udfvm.images.spec import BaseSpec
        from udfvm.load.identity import of_pickled, of_self_contained
        from udfvm.load.libraries import packages_of

        function = self.function
        if any(each.shape for each in declaration.parameters):
            from udfvm.load.records import with_records

            function = with_records(self.function, declaration.parameters)

        @functools.cache
        def pickled() -> PickledFunction:
            from udfvm.load.pickling import pickle_function

            return pickle_function(declaration.name, function, declaration.host_functions)

        def request() -> bytes:
            from udfvm.load.request import load_request

            return load_request(declaration, self.sample, pickled(), codecs.rows, codecs.batches)

        identity = of_self_contained(declaration, function, self.sample)
        series = filter(None, (each.container.package for each in declaration.parameters))
        packages = packages_of(
            pickled().modules if identity is None else (),
            (*declaration.packages, *series),
            arrow=declaration.needs_pyarrow,
        )
        if declaration.form == "table" and "polars" in packages:
            packages = packages_of((), packages, arrow=True)  # it may yield DataFrames
        base = BaseSpec(memory=declaration.limits.memory, packages=packages, window=WINDOW)
        return Loading(
            base,
            identity or of_pickled(declaration, self.sample, pickled()),
            request,
            imports_late=self.sample is None,
            is_own=True,
        )


def check_init(name: str, cls: type[Any]) -> None:
    """Raises SignatureError if an instance cannot be made without arguments."""
    import inspect

    made = getattr(cls, "__init__", None)
    if not inspect.isfunction(made):
        return
    _, *parameters = inspect.signature(made).parameters.values()
    for each in parameters:
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise SignatureError(
                f"UDF {name!r}: __init__() takes no arguments but self: give"
                f" {each.name!r} a default"
            )


def check_method(name: str, cls: type[Any], method: str, count: int) -> None:
    """Raises SignatureError if a method, where the class has it, takes another number of
    arguments.
    """
    import inspect

    function = getattr(cls, method, None)
    if function is None:
        return
    if not inspect.isfunction(function) or len(inspect.signature(function).parameters) != count + 1:
        raise SignatureError(
            f"UDF {name!r}: {method}() must be a method with {counted(count, 'argument')} besides"
            " self"
        )
