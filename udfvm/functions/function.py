"""Functions that run in micro-VMs: the base of all forms and languages."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from udfvm.call.dispatch import Calls
from udfvm.call.pool import Pool, pool_of
from udfvm.checks import check_choice
from udfvm.errors import OptionError, hides_frames
from udfvm.functions.documentation import CallSignature, description
from udfvm.functions.function_names import checked_name
from udfvm.functions.given import data_files_of, function_list, host_functions_of, packages_of
from udfvm.functions.options import ELSEWHERE, ScalarPythonOptions, parsed_options
from udfvm.keywords import check_options, option_names, shows_options
from udfvm.limits import Limits
from udfvm.load.declaration import Declaration, DeclaredFunction, Isolation
from udfvm.static_typing import TYPE_CHECKING, Any, Final, Self, Unpack
from udfvm.types.arrow_types import Parameter, ResultType

if TYPE_CHECKING:
    from udfvm.call.reports import CallReport
    from udfvm.functions.explaining import Explanation
    from udfvm.functions.program import Program
    from udfvm.load.data_files import DataFiles
    from udfvm.pipelines.columns import Parameters
    from udfvm.vmm import Image

# Arguments of declaring functions that make the function what it is.
_FIXED: Final = frozenset(
    [
        "args",
        "columns",
        "compiler",
        "elementwise",
        "env",
        "flags",
        "input_types",
        "output_type",
        "root",
        "sample",
        "signature",
        "source",
        "vectorized",
    ]
)


#: What to call for what a form of functions has not, by the form and the attribute.
_ABSENT: Final = {
    ("aggregate", "expr"): ", because Arrow's expressions have no aggregates: call"
    " udfvm.arrow.register() and Table.group_by(...).aggregate(...), or function.map(dataset)",
    ("table", "expr"): ", because an expression has one value for each row: call"
    " function.map(dataset)",
}


#: Methods of functions that are of an engine, by their names. Engines are above functions.
_of_engines: Final[dict[str, Callable[..., Any]]] = {}


def offer_method(name: str, method: Callable[..., Any]) -> None:
    """Says what a method of functions does that belongs to an engine, such as ``ray``."""
    _of_engines[name] = method


class Function(DeclaredFunction):
    """A function that runs in micro-VMs.

    The base of ``ScalarFunction``, ``TableFunction`` and ``AggregateFunction``. The declaring
    functions make them: ``udfvm.udf``, ``table_function``, ``aggregate``, ``from_c``, ``from_elf``,
    ``from_wasm``, ``from_source`` and ``expression``.

    A function may be used from several threads. It can be pickled: by reference where the other
    process can import it, otherwise by value: without its pool, or with one of the same tenant.

    Attributes:
        name: the function's name in SQL, in pyarrow and in errors.
        language: the language of its code: "python", "native" or "wasm".
        form: "scalar", "vectorized", "table" or "aggregate".
        function: the Python function, or the class of an aggregate; None if there is none here.
        vectorized: True if the function takes columns.
        elementwise: True if each row of the result depends on the same row of the arguments alone,
            so that large batches may be cut.
        parameters: names and types of the parameters.
        result: type of the result.
        limits: what a call may use.
        pool: the pool that its VMs come from.
        isolation: what one call is in SQL: an execution of a statement ("statement") or a row
            ("row").
        host_functions: the functions of this process that it may call; None if there are none.
        data: the files that it was given; None if there are none.
        is_variadic: True if a parameter ``*args`` takes any number of arguments.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half
    <UDF half(x: double) -> double>
    >>> half.with_options(name="quick_half", timeout=0.5).limits.timeout_ns
    500000000
    """

    is_variadic = False
    __signature__ = CallSignature()

    def __init__(
        self,
        program: Program,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        isolation: Isolation = "statement",
        packages: Iterable[str] = (),
        pool: Pool | None = None,
        host_functions: Iterable[Callable[..., Any]] = (),
        data: Mapping[str, str | os.PathLike[str]] | DataFiles | None = None,
    ) -> None:
        """Makes a function from its code and options.

        The options are those of ``udfvm.functions.options``; ``limits`` holds those that are
        limits. Raises SignatureError.
        """
        self.name = checked_name(program.default_name if name is None else name)
        offered = function_list(self.name, host_functions)
        check_choice(f"UDF {self.name!r}: isolation", isolation, ("statement", "row"))
        self.function = program.function
        if program.function is not None:
            wrapper: Any = self
            functools.update_wrapper(wrapper, program.function, updated=())
        else:
            self.__name__ = self.name
        self.language = program.language
        self.limits = limits or Limits()
        self.isolation: Isolation = isolation
        self.pool = pool_of(self.name, pool)
        self.host_functions = host_functions_of(self.name, offered)
        packages = packages_of(self.name, packages)
        self.data = data_files_of(self.name, data)
        program = program.offering(self.host_functions).giving(self.data)
        interface = program.interface(self.name, self.limits, self.pool)
        self.form = interface.form
        self.vectorized = interface.vectorized
        if program.function is None or not self.__doc__:
            self.__doc__ = description(self.form, self.language)
        self.elementwise = interface.elementwise
        self.parameters: tuple[Parameter, ...] = interface.signature.parameters
        self.result: ResultType = interface.signature.result
        self._arity = len(self.parameters)
        self._fewest = self._arity  # arguments of a call, defaults included; see ``is_variadic``
        self._python_signature = interface.signature.python
        self._program = program
        self._options: dict[str, Any] = {  # but the pool, which is this process's, or a tenant's
            "name": name,
            "limits": self.limits,
            "isolation": isolation,
            "packages": packages,
            "host_functions": offered,
            "data": self.data,
        }
        if self.pool.tenant is not None:
            self._options["pool"] = self.pool
        self._declaration = Declaration(
            self.name,
            self.language,
            self.form,
            self.vectorized,
            self.elementwise,
            self.parameters,
            self.result,
            interface.columns,
            interface.has_inverse,
            interface.has_merge,
            self.limits,
            isolation,
            packages,
            self.host_functions,
            self.data,
        )
        self._calls = Calls(self._declaration, self.pool, program)
        self._arrow_name: str | None = None  # in pyarrow's registry, for expressions

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raises AttributeError, with what to call for what other kinds of functions have."""
            advice = _ABSENT.get((vars(self).get("form", ""), name), "")
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}{advice}",
                name=name,
                obj=self,
            )

    def __repr__(self) -> str:
        parameters = ", ".join(
            f"{each.name}: {each.type}{' | null' if each.nullable else ''}"
            for each in self.parameters
        )
        prefix = "vectorised " if self.vectorized else ""
        if self.form in ("table", "aggregate"):
            prefix += f"{self.form} "
        return f"<{prefix}UDF {self.name}({parameters}) -> {self._result_text()}>"

    def _repr_html_(self) -> str:
        from udfvm.functions.html import html_of

        return html_of(self, self._calls.image_if_built())

    def _result_text(self) -> str:
        return str(self.result.type)

    def __reduce__(self) -> str | tuple[object, ...]:
        from udfvm.functions.transfer import reduced

        return reduced(self, Function)

    # ---- Copies with other options ----

    @shows_options(ScalarPythonOptions)
    @hides_frames
    def with_options(self, **options: Unpack[ScalarPythonOptions]) -> Self:
        """Returns a copy of the function with other options.

        Args:
            options: any options of the declaring function, such as ``name=``, ``timeout=`` and
                ``pool=``. Options that are not given stay as they are.

        Raises:
            OptionError: an option does not exist, or has a value that it cannot have.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> half.with_options(memory="1GiB", name="large_half")(3.0)
        1.5
        """
        for option in options:
            if option in _FIXED:
                raise OptionError(
                    f"UDF {self.name!r}: {option}= is fixed where the function is declared:"
                    " declare it again"
                )
        known = option_names(self._program.options)
        check_options(f"UDF {self.name!r}: with_options()", options, known, ELSEWHERE)
        changed = parsed_options(self.name, options, self.limits)
        return type(self)(self._program, **{**self._options, "pool": self.pool, **changed})

    # ---- Images ----

    @hides_frames
    def prepare(self) -> Self:
        """Builds the function's image, or takes it from the cache, ahead of the first call.

        Returns:
            The function itself.

        Raises:
            BuildError: the image cannot be built.
            KVMUnavailableError: this host has no KVM that micro-VMs can use.
            SignatureError: the function refers to an object that cannot be sent to a micro-VM.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> half.prepare()(3.0)
        1.5
        """
        self._calls.current()
        return self

    @hides_frames
    def ray(self, *columns: str, keep: Sequence[str] | None = None) -> type[Callable[..., Any]]:
        """Returns ``udfvm.ray.actor(function, ...)`` for Ray Data, with these ``columns`` and
        ``keep``. Raises EngineError if the package ``ray`` is not installed, or too old.
        """
        return _of_engines["ray"](self, *columns, keep=keep)

    def refresh(self) -> Self:
        """Forgets the image, so that the next call captures anew what the function refers to.

        Call this after an object that the function refers to was changed in place. A name that was
        bound to another object needs no refresh: the next call notices it.

        Returns:
            The function itself.

        >>> table = {"a": 1}
        >>> look = udfvm.udf(
        ...     lambda key: table[key], name="look", input_types=["string"], output_type="int64"
        ... )
        >>> look("a")
        1
        >>> table["a"] = 2
        >>> look.refresh()("a")
        2
        """
        self._calls.forget()
        return self

    @property
    @hides_frames
    def image(self) -> Image:
        """The function's image. The first use builds it, or takes it from the cache.

        ``image.base`` is the base image that it is a layer of. Raises what ``prepare`` raises.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> half.image.pages > 0
        True
        """
        return self._calls.ready().image

    @property
    def last_call(self) -> CallReport | None:
        """What the last call of the function cost: times, rows, bytes, exits, memory.

        None if there was none. Of calls in several threads it is the one that ended last; of a
        batch that was cut, or shared between micro-VMs, the part that ended last. A call that
        failed has a report, too, but not one whose arguments were refused before it began.
        A statement of SQL is one call, which ends with the statement.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> half(3.0), half.last_call.rows
        (1.5, 1)
        """
        return self._calls.last_call()

    def explain(self) -> Explanation:
        """Explains what a call of this kind costs and why, with advice: by the last call, and by
        what an exit from a micro-VM takes on this machine, which it measures.

        Raises KVMUnavailableError: this host has no KVM that micro-VMs can use.

        >>> @udfvm.udf
        ... def half(x: float) -> float:
        ...     return x / 2
        >>> half(3.0)
        1.5
        >>> print(half.explain())
        what a call of half costs
          kind       scalar, python: its code runs for each row, in micro-VMs
        ...
        """
        from udfvm.functions.explaining import explanation_of

        return explanation_of(self, imports_late=self._calls.imports_late())

    def _column_defaults(self) -> dict[str, object]:
        """Returns the defaults of the parameters in Python, by name."""
        python = self._python_signature().parameters
        return {
            each.name: python[each.name].default
            for each in self.parameters
            if each.name in python and python[each.name].default is not python[each.name].empty
        }

    def _map_parameters(self) -> Parameters:
        """Returns the parameters, which find their columns in a source of rows."""
        from udfvm.pipelines import columns

        return columns.Parameters(
            self.name, self.parameters, self._column_defaults(), self.vectorized
        )

    def _warm(self, pool: Pool, vms: int) -> int:
        return self._calls.warm(pool, vms)

    # ---- Arguments ----

    def _calls_with(self, count: int) -> Calls:
        """Returns what makes the calls with so many arguments."""
        return self._calls

    def _bind(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        try:
            bound = self._python_signature().bind(*arguments, **keywords)
        except TypeError as error:
            from udfvm.functions.wrong_arguments import not_bound

            names, optional = [each.name for each in self.parameters], self._column_defaults()
            raise not_bound(self.name, names, optional, keywords, str(error)) from None
        bound.apply_defaults()
        return bound.args

    def _encoded_defaults(self) -> list[bytes | None]:
        from udfvm.functions.defaults import encoded_defaults

        return encoded_defaults(self.name, self.parameters, self._column_defaults())
