"""Types of parameters and results: the meaning of annotations and Arrow types, and how their values
are stored.

A type has an Arrow form (batches) and, with few exceptions, a row form (calls of one row). Its
identity is the name that pyarrow prints for it, so that declaring a function imports nothing;
pyarrow is imported when the Arrow form is first needed, and what reads composed names, such as
those of lists and timestamps, when there is one.
"""

from __future__ import annotations

import enum
import functools
import sys

from udfvm import protocol
from udfvm.static_typing import TYPE_CHECKING, Final
from udfvm.tuples import NamedTuple
from udfvm.types.names import CLASSES, CLASSES_OF_MODULES, INTERVAL, JSON_NAME
from udfvm.types.records import Shape
from udfvm.types.unknown_types import unsupported

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.types.nested import Nested


class Kind(enum.Enum):
    """The Python type of a value. A member's value is its spelling in annotations."""

    NULL = "None"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "str"
    BYTES = "bytes"
    DATE = "datetime.date"
    DATETIME = "datetime.datetime"
    TIME = "datetime.time"
    DURATION = "datetime.timedelta"
    INTERVAL = "pyarrow.MonthDayNano"
    DECIMAL = "decimal.Decimal"
    LIST = "list"
    STRUCT = "dict"
    MAP = "dict[K, V]"
    UNION = "a value of one of its types"


class RowType(enum.IntEnum):
    """The type of a value in a call of one row, and in a column batch (``UDFVM_TYPE_x``)."""

    NULL = protocol.TYPE_NULL
    INT64 = protocol.TYPE_INT64
    FLOAT64 = protocol.TYPE_FLOAT64
    TEXT = protocol.TYPE_TEXT
    BLOB = protocol.TYPE_BLOB
    BOOL = protocol.TYPE_BOOL


class Container(enum.Enum):
    """What a vectorised function receives for a column. The guest knows the values."""

    ARROW = "arrow"
    NUMPY = "numpy"
    PANDAS = "pandas"
    POLARS = "polars"

    @property
    def package(self) -> str | None:
        """The package that guests need for it, besides pyarrow and numpy."""
        return self.value if self in (Container.PANDAS, Container.POLARS) else None


class Type(NamedTuple):
    """A type of a parameter, result or column.

    Dates and timestamps are INT64 in a row: days, milliseconds (``date64``) or units of the
    timestamp since 1970; durations are INT64 too, their number of units. Times of day, intervals
    and decimals are TEXT. Lists and structs are TEXT in the rows of SQL: JSON that the guest makes
    and parses. Calls with Python values send them as batches of one row. Elements of lists and
    fields of structs and unions may always be null in the guest.

    Attributes:
        name: the type as pyarrow prints it (``double``, ``timestamp[us, tz=UTC]``).
        kind: the Python type of its values.
        row: the row form; None for types that only batches support.
        exact: the type as it was declared, if that differs: names of fields and what is not null;
            encodings and extension types, which only the host knows (see ``encodings``).
        metadata: that of the field that it was declared as: of an extension type, for example, that
            is not registered.
    """

    name: str
    kind: Kind
    row: RowType | None
    exact: pa.DataType | None = None
    metadata: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def arrow(self) -> pa.DataType:
        """The pyarrow type."""
        from udfvm.types.arrow_names import arrow_type

        return arrow_type(self.name)

    @property
    def as_declared(self) -> pa.DataType:
        """The pyarrow type as it was declared."""
        return self.arrow if self.exact is None else self.exact

    @property
    def as_declared_decoded(self) -> pa.DataType:
        """The pyarrow type as it was declared, without encodings and extension types."""
        if self.exact is None:
            return self.arrow
        from udfvm.types.encodings import decoded

        return decoded(self.exact)

    def field(self, name: str, nullable: bool = True) -> pa.Field:
        """Returns a field of the type as it was declared."""
        import pyarrow as pa

        return pa.field(name, self.as_declared, nullable, dict(self.metadata) or None)

    @property
    def integer_range(self) -> tuple[int, int]:
        """The smallest and largest value of an integer type."""
        from udfvm.types.conversions import integer_range

        return integer_range(self.name)

    @property
    def timezone(self) -> str | None:
        """The time zone of a timestamp; None if it has none, and for other types."""
        from udfvm.types.time_names import timestamp_parts

        parts = timestamp_parts(self.name)
        return parts[1] if parts else None

    @property
    def unit(self) -> str | None:
        """The unit of a timestamp, time of day or duration: ``s``, ``ms``, ``us`` or ``ns``; None
        for other types.
        """
        from udfvm.types.time_names import duration_unit, time_unit, timestamp_parts

        parts = timestamp_parts(self.name)
        return parts[0] if parts else time_unit(self.name) or duration_unit(self.name)

    @property
    def size(self) -> int | None:
        """The bytes of a value of ``fixed_size_binary``; None for other types."""
        if self.name in _KINDS:
            return None
        from udfvm.types.conversions import FIXED_BINARY

        match = FIXED_BINARY.fullmatch(self.name)
        return int(match[1]) if match else None

    @property
    def is_nested(self) -> bool:
        """True if it holds values of other types."""
        return self.kind in (Kind.LIST, Kind.STRUCT, Kind.MAP, Kind.UNION)

    @property
    def needs_pyarrow(self) -> bool:
        """True if guests read and write record batches of it through pyarrow."""
        return (
            self.is_nested
            or self.kind in (Kind.TIME, Kind.INTERVAL, Kind.DECIMAL)
            or self.size is not None
            or self.name == "halffloat"
        )

    @property
    def is_stream(self) -> bool:
        """True if calls of table functions and aggregates from Python carry it as Arrow streams."""
        from udfvm.types.column_types import is_stream

        return is_stream(self.name)

    def __str__(self) -> str:
        return self.name


#: The type of results that are dictionaries or lists: JSON text. The guest makes it, and the host
#: does not parse it in SQL.
JSON: Final = Type(JSON_NAME, Kind.TEXT, RowType.TEXT)


class Parameter(NamedTuple):
    """A parameter of a UDF.

    A null argument for a parameter that is not nullable makes the result null without a call of the
    function. ``position`` counts from 1; 0 if it has none. ``shape`` describes the instances that a
    scalar function gets; see udfvm/types/records.py.
    """

    name: str
    type: Type
    nullable: bool
    container: Container = Container.ARROW
    position: int = 0
    shape: Shape = None


class ResultType(NamedTuple):
    """The type of a UDF's result. ``nullable``: the function may return None."""

    type: Type
    nullable: bool


_KINDS: Final = {
    "null": (Kind.NULL, None),
    "bool": (Kind.BOOL, RowType.BOOL),
    **{f"int{bits}": (Kind.INT, RowType.INT64) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (Kind.INT, RowType.INT64) for bits in (8, 16, 32)},
    "uint64": (Kind.INT, None),
    "halffloat": (Kind.FLOAT, RowType.FLOAT64),
    "float": (Kind.FLOAT, RowType.FLOAT64),
    "double": (Kind.FLOAT, RowType.FLOAT64),
    "string": (Kind.TEXT, RowType.TEXT),
    "large_string": (Kind.TEXT, RowType.TEXT),
    "binary": (Kind.BYTES, RowType.BLOB),
    "large_binary": (Kind.BYTES, RowType.BLOB),
    "date32[day]": (Kind.DATE, RowType.INT64),
    "date64[ms]": (Kind.DATE, RowType.INT64),
    **dict.fromkeys(
        ("time32[s]", "time32[ms]", "time64[us]", "time64[ns]"), (Kind.TIME, RowType.TEXT)
    ),
    **{f"duration[{unit}]": (Kind.DURATION, RowType.INT64) for unit in ("s", "ms", "us", "ns")},
    INTERVAL: (Kind.INTERVAL, RowType.TEXT),
}

_ALIASES: Final = {
    "boolean": "bool",
    "float16": "halffloat",
    "float32": "float",
    "float64": "double",
    "int": "int64",
    "str": "string",
    "utf8": "string",
    "large_utf8": "large_string",
    "bytes": "binary",
    "date": "date32[day]",
    "date32": "date32[day]",
    "date64": "date64[ms]",
    "datetime": "timestamp[us]",
    "time": "time64[us]",
    "timedelta": "duration[us]",
}

_PYTHON_TYPES: Final[dict[object, str]] = {
    each: CLASSES[each.__name__] for each in (bool, int, float, str, bytes)
}

# Types that pyarrow names and has no class of arrays for.
_WITHOUT_CLASSES: Final = frozenset({"month_interval", "day_time_interval"})


@functools.cache
def named(name: str) -> Type:
    """Returns the type of a name or of one of its aliases: ``"double"``, ``"float64"``,
    ``"timestamp[ms, tz=UTC]"``, ``"list<float64>"``. It is the type that travels: what lists hold
    is named ``item`` and may be null, as fields may.

    Raises ValueError for a name that is not a supported type.
    """
    name = name.strip()
    name = _ALIASES.get(name, name)
    return Type(name, *_KINDS[name]) if name in _KINDS else _named_composed(name)


def _named_composed(name: str) -> Type:
    """Returns the type of a name that has parts, or of an unknown one."""
    from udfvm.types.conversions import FIXED_BINARY
    from udfvm.types.encodings import encoding_of
    from udfvm.types.nested import take_apart
    from udfvm.types.time_names import timestamp_parts, with_space

    name = with_space(name)
    if (encoding := encoding_of(name)) is not None:
        return named(encoding.decoded)
    if (nested := take_apart(name)) is not None:
        return _named_nested(nested)
    if timestamp_parts(name):
        return Type(name, Kind.DATETIME, RowType.INT64)
    if FIXED_BINARY.fullmatch(name):
        return Type(name, Kind.BYTES, RowType.BLOB)
    if name.startswith("decimal"):
        from udfvm.types.decimals import decimal_type  # imports decimal, for such types alone

        if type_ := decimal_type(name):
            return Type(str(type_), Kind.DECIMAL, RowType.TEXT)
    if name in _WITHOUT_CLASSES:
        raise ValueError(
            f"{name!r} is not a supported type: pyarrow has no arrays of it; cast it to {INTERVAL}"
            " where it comes from"
        )
    raise unsupported(name, (*_KINDS, *_ALIASES))


_NESTED_KINDS: Final = {
    "struct": Kind.STRUCT,
    "map": Kind.MAP,
    "sparse_union": Kind.UNION,
    "dense_union": Kind.UNION,
}


def _named_nested(nested: Nested) -> Type:
    from udfvm.types.nested import ITEM, KEY, VALUE, Field, take_apart

    if nested.mode is not None or nested.container == "struct":
        names = [field.name for field in nested.fields]
    else:
        names = [KEY, VALUE] if nested.container == "map" else [ITEM]
    fields = tuple(
        Field(name, named(field.type).name)
        for name, field in zip(names, nested.fields, strict=True)
    )
    if nested.container == "map":
        held = take_apart(fields[0].type)
        if fields[0].type == "null" or (held is not None and held.mode is not None):
            raise ValueError(
                f"{str(nested)!r} is not a supported type: the keys of a map are never null, which"
                f" a {fields[0].type} may be"
            )
    kind = _NESTED_KINDS.get(nested.container, Kind.LIST)
    made = nested._replace(fields=fields, keys_sorted=False)
    return Type(str(made), kind, RowType.TEXT)


def declared(specification: object) -> Type:
    """Returns the type of an entry of ``input_types`` or of ``output_type``: a pyarrow type, or
    another object with ``__arrow_c_schema__``; a name; or a Python type.

    Raises ValueError for any other object.
    """
    if isinstance(specification, str):
        return _declared_by_name(specification)
    if specification is None or specification is type(None):
        return named("null")
    if isinstance(specification, type) and specification in _PYTHON_TYPES:
        return named(_PYTHON_TYPES[specification])
    for path, name in CLASSES_OF_MODULES.items():
        module, _, class_ = path.partition(".")
        if module in sys.modules and specification is getattr(sys.modules[module], class_):
            return named(name)
    if is_arrow_type(specification):
        from udfvm.types.encodings import decoded
        from udfvm.types.nested import type_name

        type_ = named(type_name(decoded(specification)))
        is_whole = type_.arrow.equals(specification, check_metadata=True)
        return type_ if is_whole else type_._replace(exact=specification)
    if hasattr(type(specification), "__arrow_c_schema__"):  # of a field, or of another library
        import pyarrow as pa

        # pyarrow reads no runs of runs from a schema that is handed over.
        field = specification if isinstance(specification, pa.Field) else pa.field(specification)
        return declared(field.type)._replace(metadata=tuple((field.metadata or {}).items()))
    raise unsupported(specification, (*_KINDS, *_ALIASES))


def _declared_by_name(name: str) -> Type:
    type_ = named(name)
    if name.strip() in _KINDS or name.strip() in _ALIASES:
        return type_
    from udfvm.types.arrow_names import arrow_type
    from udfvm.types.written_names import as_written

    written = as_written(name, named)
    if written == type_.name:
        return type_
    return type_._replace(exact=arrow_type(written))


def is_arrow_type(value: object) -> bool:
    """Returns True for a type of pyarrow, which is not imported to find that out."""
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(value, pyarrow.DataType)
