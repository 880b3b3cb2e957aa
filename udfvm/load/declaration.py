"""Declarations of functions: what images, calls and integrations need to know of a function in any
language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udfvm.limits import Limits
from udfvm.static_typing import TYPE_CHECKING, Any, Literal, Protocol
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Parameter, ResultType, Type

if TYPE_CHECKING:
    from udfvm.load.data_files import DataFiles

    class OfferedFunctions(Protocol):
        """The host functions of a declaration."""

        def descriptions(self) -> list[dict[str, Any]]:
            """Returns what the guest knows of each function."""

        @property
        def needs_pyarrow(self) -> bool:
            """True if guests of Python need pyarrow for a value."""

        def functions(self) -> list[Callable[..., Any]]:
            """Returns the functions themselves."""

        def name_of(self, function: object) -> str | None:
            """Returns the name of one of the functions; None for other objects."""

        def call(self, name: bytes, arguments: bytes) -> bytes | None:
            """Calls a function with arguments that the guest wrote. Returns the reply; None if
            there is no such function.
            """


Language = Literal["python", "native", "wasm"]
Form = Literal["scalar", "vectorized", "table", "aggregate"]
Isolation = Literal["statement", "row"]


class Column(NamedTuple):
    """A column of a table function. ``nullable``: the function may yield None for it."""

    name: str
    type: Type
    nullable: bool


class Declaration(NamedTuple):
    """A declared function.

    Attributes:
        form: how it is called: row by row, with columns, for a table, or for groups of rows.
        vectorized: True if it takes columns, as an aggregate may do, too.
        elementwise: True if each row of the result depends on the same row of the arguments alone.
        columns: the columns of a table function; empty for others.
        has_inverse: True for an aggregate that can take rows out again.
        has_merge: True for an aggregate whose groups can join others.
        packages: modules to import into the base image.
        host_functions: the functions of this process that it may call; None if there are none.
        data: the files that it was given; None if there are none.
    """

    name: str
    language: Language
    form: Form
    vectorized: bool
    elementwise: bool
    parameters: tuple[Parameter, ...]
    result: ResultType
    columns: tuple[Column, ...]
    has_inverse: bool
    has_merge: bool
    limits: Limits
    isolation: Isolation
    packages: tuple[str, ...]
    host_functions: OfferedFunctions | None
    data: DataFiles | None

    @property
    def made(self) -> tuple[Column, ...]:
        """What it makes: the columns of a table function; of others the result, as a column."""
        return self.columns or (Column("result", *self.result),)

    @property
    def needs_pyarrow(self) -> bool:
        """True if its guests need pyarrow, whatever the function itself uses."""
        if self.vectorized or any(each.needs_pyarrow for each in self.types):
            return True
        if self.host_functions is not None and self.host_functions.needs_pyarrow:
            return True
        if self.form not in ("table", "aggregate"):
            return False
        made = (each.type for each in self.made)
        return any(each.is_stream for each in (*self.types, *made))

    @property
    def types(self) -> Sequence[Type]:
        """The types of the parameters and, last, of the result."""
        return [*(parameter.type for parameter in self.parameters), self.result.type]


class DeclaredFunction:
    """The base of every function that runs in micro-VMs.

    In the guest, user code that refers to one refers to the Python function itself.
    """

    name: str
    language: Language
    function: Callable[..., Any] | None  # None in other languages
