"""Scalar and vectorised functions with a parameter ``*args``, which take any number of arguments.

Each number of arguments is a function of its own behind such a function, with an image of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from udfvm.call.dispatch import Calls
from udfvm.errors import Error, OptionError, TypeMappingError, hides_frames
from udfvm.forks import ForkLock
from udfvm.functions.defaults import encoded_defaults
from udfvm.functions.scalar import ScalarFunction, ScalarProgram
from udfvm.texts import counted

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from udfvm.call.pool import Pool
    from udfvm.call.reports import CallReport
    from udfvm.functions.program import Interface, Program
    from udfvm.limits import Limits
    from udfvm.vmm import Image


class VariadicProgram(ScalarProgram):
    """A Python function with a parameter ``*args``; with a number in ``repeated``, the function of
    so many arguments in its place.
    """

    def repeating(self, count: int, arguments: int) -> VariadicProgram:
        """Returns the function of so many arguments for ``*args``, and so many in all. It has the
        sample if that has as many.
        """
        made = copy.copy(self)
        made.repeated = count
        if self.sample is not None and len(self.sample) != arguments:
            made.sample = None
        return made

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Reads the annotations and the declared types. A sample is checked with its number of
        arguments.
        """
        sample = self.sample
        if sample is not None and not isinstance(sample, tuple):
            raise OptionError(
                f"UDF {name!r}: sample= must be a tuple with the arguments of one call, because"
                " the function takes any number of them"
            )
        if self.repeated is not None:
            return super().interface(name, limits, pool)
        self.sample = None
        try:
            return super().interface(name, limits, pool)
        finally:
            self.sample = sample


class VariadicFunction(ScalarFunction):
    """A scalar or vectorised function with a parameter ``*args: T``: any number of values of that
    type. ``udfvm.udf`` makes them.

    >>> @udfvm.udf
    ... def joined(separator: str, *words: str) -> str:
    ...     return separator.join(words)
    >>> joined
    <UDF joined(separator: string, *words: string) -> string>
    >>> joined("-", "to", "be"), joined("-")
    ('to-be', '')
    """

    is_variadic = True

    def __init__(self, program: Program, **options: Any) -> None:
        super().__init__(program, **options)
        self._members: dict[int, ScalarFunction] = {}  # by their number of arguments
        self._guard = ForkLock()
        self._fixed = self._arity - 1
        self._fewest = max(self._fixed, 1) if self.vectorized else self._fixed
        sample = cast(VariadicProgram, program).sample
        if sample is not None:
            self._taking(len(sample))  # which checks it

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Calls the function with values or with arrays, as ``ScalarFunction`` does."""
        try:
            if keywords or len(arguments) < self._fewest:
                arguments = self._bind(arguments, keywords)
            return self._taking(len(arguments))._calls.call(arguments)
        except Error as error:
            error.drop_frames()
            raise

    @property
    def last_call(self) -> CallReport | None:
        """What the last call cost, with whatever number of arguments, as of ``ScalarFunction``."""
        with self._guard.lock:
            members = list(self._members.values())
        found = [each.last_call for each in members]
        return max(
            (each for each in found if each is not None),
            key=lambda each: each.ended,
            default=None,
        )

    @hides_frames
    def expr(self, *arguments: Any, **keywords: Any) -> pc.Expression:
        """Returns a pyarrow expression that calls the function, as ``ScalarFunction`` does."""
        if keywords or len(arguments) < self._fewest:
            arguments = self._bind(arguments, keywords)
        return self._taking(len(arguments)).expr(*arguments)

    @hides_frames
    def map(
        self,
        source: Any,
        *,
        columns: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
        **options: Any,
    ) -> Any:
        """Calls the function with all rows of a source, as ``ScalarFunction`` does.

        Args:
            source: as for ``ScalarFunction``.
            columns: the source's columns, in order; or by parameter, where ``*args`` has a list
                of them.
            options: as for ``ScalarFunction``.

        >>> import pyarrow as pa
        >>> @udfvm.udf
        ... def total(*xs: float) -> float:
        ...     return sum(xs)
        >>> table = pa.table({"a": [1.0, 2.0], "b": [0.5, 0.25], "c": [3.0, 4.0]})
        >>> total.map(table, columns=["a", "c"])["total"].to_pylist()
        [4.0, 6.0]
        """
        chosen, count = self._columns_by_parameter(columns)
        return self._taking(count).map(source, columns=chosen, **options)

    def prepare(self) -> Self:
        """Builds the image for one value of ``*args``, or takes it from the cache. Other numbers of
        arguments have images of their own, which their first calls build.

        Returns:
            The function itself.
        """
        self._usual.prepare()
        return self

    def refresh(self) -> Self:
        """Forgets all images, as ``Function`` does."""
        for member in list(self._members.values()):
            member.refresh()
        return self

    @property
    def image(self) -> Image:
        """The image for one value of ``*args``."""
        return self._usual.image

    @property
    def _usual(self) -> ScalarFunction:
        return self._taking(self._arity)

    def _warm(self, pool: Pool, vms: int) -> int:
        return self._usual._warm(pool, vms)

    def _encoded_defaults(self) -> list[bytes | None]:
        fixed = encoded_defaults(self.name, self.parameters[:-1], self._column_defaults())
        return [*fixed, None]

    def _calls_with(self, count: int) -> Calls:
        return self._taking(count)._calls

    def _taking(self, count: int) -> ScalarFunction:
        """Returns the function of so many arguments."""
        member = self._members.get(count)
        if member is None:
            with self._guard.lock:
                member = self._members.get(count)
                if member is None:
                    member = self._members[count] = self._made(count)
        return member

    def _made(self, count: int) -> ScalarFunction:
        if count < self._fewest:
            raise TypeMappingError(f"UDF {self.name!r}: {self._taken()}; got {count}")
        program = cast(VariadicProgram, self._program)
        options = {**self._options, "name": self.name, "pool": self.pool}
        return ScalarFunction(program.repeating(count - self._fixed, count), **options)

    def _taken(self) -> str:
        """Returns what arguments it takes, for errors."""
        optional = self._column_defaults()
        fewest = max(self._fixed - len(optional), self._fewest - self._fixed)
        names = [each.name + "=" * (each.name in optional) for each in self.parameters]
        return f"it takes at least {counted(fewest, 'argument')} ({', '.join(names)})"

    def _bind(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        try:
            bound = self._python_signature().bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeMappingError(f"UDF {self.name!r}: {error}; {self._taken()}") from None
        bound.apply_defaults()
        return bound.args

    def _columns_by_parameter(
        self, columns: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None
    ) -> tuple[Sequence[str] | dict[str, str], int]:
        """Returns the columns of a source by parameter of the function that takes so many, and
        their number. Raises OptionError.
        """
        from udfvm.pipelines.columns import listed_names

        fixed = [each.name for each in self.parameters[: self._fixed]]
        rest = self.parameters[-1].name.removeprefix("*")
        if columns is None:
            raise OptionError(
                f"UDF {self.name!r}: map() cannot know which columns *{rest} are: pass columns="
            )
        if not isinstance(columns, Mapping):
            listed = listed_names(self.name, "columns", columns)
            return listed, max(len(listed), self._fixed)
        unknown = next((name for name in columns if name not in (*fixed, rest)), None)
        if unknown is not None:
            raise OptionError(
                f"UDF {self.name!r}: columns= names a parameter {unknown!r}; the parameters are"
                f" {', '.join([*fixed, rest])}"
            )
        chosen = {name: columns[name] for name in columns if name != rest}
        repeated = listed_names(self.name, "columns", columns.get(rest, ()))
        chosen.update({f"{rest}[{index}]": name for index, name in enumerate(repeated)})
        return cast(dict[str, str], chosen), len(fixed) + len(repeated)
