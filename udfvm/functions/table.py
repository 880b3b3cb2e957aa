"""Table functions: functions that yield rows, run in micro-VMs."""

from __future__ import annotations

import collections.abc
import inspect
import struct
import typing
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Unpack, overload

from udfvm.errors import SignatureError
from udfvm.functions.function import UDF, guest_exception
from udfvm.functions.options import Options, limits_of
from udfvm.types.arrow_types import ResultType, Type, declared, named
from udfvm.types.signatures import Signature, annotation_of, hints_of, signature_of

if TYPE_CHECKING:
    import pyarrow as pa

_REQUEST_TABLE: Final = 6
_REQUEST_FETCH: Final = 7
_FETCH: Final = struct.Struct("<QQ")
_FIRST_FETCH: Final = 64  # rows; each fetch asks for twice as many as the one before
_LARGEST_FETCH: Final = 1 << 14
_MOST_COLUMNS: Final = 100

_Columns = Mapping[str, object]


class Column(NamedTuple):
    """A column of a table function. Nullable: the function may yield None for it."""

    name: str
    type: Type
    nullable: bool


class TableFunction(UDF):
    """A function that yields rows. Made by ``udfvm.table_function``.

    Called with values it returns an iterator of the rows, as tuples; ``batches`` iterates over
    ``pyarrow.RecordBatch``. Rows are made as they are asked for, some at a time; the micro-VM is
    held until the last row, or until the iterator is closed.

    Attributes:
        columns: names and types.
    """

    def __init__(
        self, function: Callable[..., Any], *, columns: _Columns | None = None, **options: Any
    ) -> None:
        self._given_columns = columns
        super().__init__(function, **options)
        self._options = {
            **{key: value for key, value in self._options.items() if key not in _NOT_OPTIONS},
            "columns": columns,
        }

    def __repr__(self) -> str:
        parameters = ", ".join(
            f"{each.name}: {each.type}{' | null' if each.nullable else ''}"
            for each in self.parameters
        )
        return (
            f"<table UDF {self.name}({parameters}) ->"
            f" ({', '.join(f'{each.name}: {each.type}' for each in self.columns)})>"
        )

    @property
    def kind(self) -> str:
        """What runs in the guest."""
        return "table"

    def _signature(
        self, input_types: Sequence[object] | Mapping[str, object] | None, output_type: object
    ) -> Signature:
        from udfvm.codec.column_batches import row_type

        self.columns: tuple[Column, ...] = _columns_of(
            self.function, self.name, self._given_columns
        )
        signature = signature_of(
            self.function,
            self.name,
            vectorized=False,
            input_types=input_types,
            output_type="bool",
            output_only=True,
        )
        for parameter in signature.parameters:
            row_type(self.name, f"parameter {parameter.name!r}", parameter.type)
        for column in self.columns:
            row_type(self.name, f"column {column.name!r}", column.type)
        return signature._replace(result=ResultType(self.columns[0].type, self.columns[0].nullable))

    def __call__(self, *arguments: Any, **keywords: Any) -> Generator[tuple[Any, ...]]:
        """The rows for some arguments."""
        from udfvm.codec.python_values import python_values

        for batch in self.batches(*arguments, **keywords):
            columns = zip(self.columns, batch.columns, strict=True)
            yield from zip(
                *(
                    python_values(self.name, values, f"column {each.name!r}")
                    for each, values in columns
                ),
                strict=True,
            )

    def batches(self, *arguments: Any, **keywords: Any) -> Generator[pa.RecordBatch]:
        """The rows for some arguments, as record batches of at most 16,384 rows."""
        import pyarrow as pa

        from udfvm.codec.column_batches import decode, encode, widened
        from udfvm.codec.columns import Form, columns_of, form_of

        self.follow()
        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        if any(form_of(argument) is not Form.SCALAR for argument in arguments):
            raise TypeError(f"UDF {self.name!r}: a table function takes values, not arrays")
        columns, _ = columns_of(self.name, self.parameters, arguments, vectorized=False)
        types = [named("int64"), *(column.type for column in self.columns)]
        names = [column.name for column in self.columns]
        request, limit = _REQUEST_TABLE, _FIRST_FETCH
        payload = encode([widened(column) for column in columns], 1)
        runtime, vm = self.take_vm()
        try:
            more = True
            while more:
                reply = vm.call(request, _FETCH.pack(limit, 0) + payload, runtime.limits, self.name)
                data = bytes(reply.data)
                if reply.status:
                    raise guest_exception(data, self.name)
                batch, more = decode(self.name, data, types, limit)
                if batch.num_rows:
                    yield pa.RecordBatch.from_arrays(batch.columns[1:], names=names)
                request, payload, limit = _REQUEST_FETCH, b"", min(2 * limit, _LARGEST_FETCH)
        finally:
            runtime.pool.give(vm)


_NOT_OPTIONS: Final = frozenset({"vectorized", "output_type", "isolation"})


def _columns_of(
    function: Callable[..., object], name: str, given: _Columns | None
) -> tuple[Column, ...]:
    if given is not None:
        columns = [_given_column(name, key, value) for key, value in given.items()]
    else:
        columns = _annotated_columns(name, hints_of(function, name).get("return"))
    if not columns or len(columns) > _MOST_COLUMNS:
        raise SignatureError(
            f"UDF {name!r}: a table function has 1 to {_MOST_COLUMNS} columns, not {len(columns)}"
        )
    lowered = [column.name.lower() for column in columns]
    doubled = next((column for column in lowered if lowered.count(column) > 1), None)
    if doubled is not None:
        raise SignatureError(
            f"UDF {name!r}: there are two columns {doubled!r} (case does not count in SQL)"
        )
    return tuple(columns)


def _given_column(name: str, column: str, specification: object) -> Column:
    if not isinstance(column, str) or not column or "\0" in column:
        raise SignatureError(f"UDF {name!r}: columns= has {column!r} for the name of a column")
    try:
        return Column(column, annotation_of(specification).type or declared(specification), True)
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: columns=, {column!r}: {error}") from error


def _annotated_columns(name: str, returned: object) -> list[Column]:
    arguments = typing.get_args(returned)
    origin = typing.get_origin(returned)
    row = (
        arguments[0]
        if arguments and isinstance(origin, type) and issubclass(origin, collections.abc.Iterable)
        else None
    )
    if not (isinstance(row, type) and issubclass(row, tuple) and hasattr(row, "_fields")):
        raise SignatureError(
            f"UDF {name!r}: the columns are not declared: pass columns={{'name': type, ...}}, or"
            " annotate the result Iterator[Row], where Row is a NamedTuple"
        )
    hints = typing.get_type_hints(row, include_extras=True)
    columns = []
    for field in row._fields:
        try:
            annotation = annotation_of(hints.get(field, object))
        except ValueError as error:
            raise SignatureError(
                f"UDF {name!r}: field {field!r} of {row.__name__}: annotation {error}"
            ) from error
        if annotation.type is None:
            raise SignatureError(f"UDF {name!r}: field {field!r} of {row.__name__} has no type")
        columns.append(Column(field, annotation.type, annotation.nullable))
    return columns


@overload
def table_function(function: Callable[..., Iterable[Any]], /) -> TableFunction: ...
@overload
def table_function(
    function: None = None,
    /,
    *,
    columns: _Columns | None = None,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    sample: tuple[object, ...] | None = None,
    **options: Unpack[Options],
) -> Callable[[Callable[..., Any]], TableFunction]: ...
def table_function(
    function: Callable[..., Any] | None = None,
    /,
    *,
    columns: _Columns | None = None,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    sample: tuple[object, ...] | None = None,
    **options: Unpack[Options],
) -> TableFunction | Callable[[Callable[..., Any]], TableFunction]:
    """Makes a function that yields rows a table function, in SQL and in Python. A call is one
    micro-VM, until the last row is taken.

    Rows are tuples (or lists, or mappings by column; with one column the value itself). A function
    may also yield whole ``pyarrow.RecordBatch`` or ``pyarrow.Table`` objects, or return a list of
    rows. It runs only as far as rows are asked for: when the caller has enough, its micro-VM is put
    back in mid-function, so nothing behind a ``yield`` is certain to run, ``finally`` included.
    Rows before an exception are yielded; it is raised behind them.

    Args:
        columns: a type for each column by name (Python types, pyarrow types, names of types); any
            value may be None. Left out where the result is annotated ``Iterator[Row]`` with a
            ``typing.NamedTuple``.
        input_types: as for ``udfvm.udf``.
        sample: the arguments of a call that runs while the image is built.
        options: ``name``, ``memory``, ``timeout`` (seconds for each piece of the result that is
            fetched), ``max_output``, ``max_log``, ``log``, ``files``, ``deterministic``,
            ``packages``, ``pool``, ``host_functions``, ``host_calls``, ``build_timeout``: as for
            ``udfvm.udf``.

    Raises SignatureError.

    >>> @udfvm.table_function(columns={"word": str, "at": int})
    ... def words(text: str):
    ...     position = 0
    ...     for word in text.split():
    ...         position = text.index(word, position)
    ...         yield word, position
    >>> list(words("to be or"))
    [('to', 0), ('be', 3), ('or', 6)]
    """

    def decorate(target: Callable[..., Any]) -> TableFunction:
        if not inspect.isroutine(target):
            raise SignatureError(
                f"@udfvm.table_function decorates functions, not {type(target).__name__}"
            )
        return TableFunction(
            target,
            columns=columns,
            input_types=input_types,
            sample=sample,
            limits=limits_of(target, options),
            name=options.get("name"),
            packages=options.get("packages", ()),
            pool=options.get("pool"),
            host_functions=options.get("host_functions", ()),
        )

    return decorate if function is None else decorate(function)
