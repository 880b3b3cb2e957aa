"""Columns of a type that does not convert to the declared one: what casts them, in the words of the
library that they are of.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from udfvm.codec.argument_errors import MASKED, wrong_type
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Kind
from udfvm.types.conversions import Rule, family, rule

if TYPE_CHECKING:
    from udfvm.types.arrow_types import Parameter, Type

_TIMES: Final = ("time", "time with a zone")
#: What makes columns of one family ones of another, by library and the two; ``{0}`` is the column,
#: ``{1}`` the declared unit of time, and ``{2}`` the time zone.
_CASTS: Final = {
    ("numpy", "bytes", "text"): "numpy.char.decode({0})",
    ("numpy", "text", "bytes"): "numpy.char.encode({0})",
    ("numpy", "time", "date"): "{0}.astype('datetime64[D]')",
    ("numpy", "date", "time"): "{0}.astype('datetime64[{1}]')",
    ("numpy", "date", "time with a zone"): "{0}.astype('datetime64[{1}]')",
    ("numpy", "text", "date"): "{0}.astype('datetime64[D]')",
    ("numpy", "text", "time"): "{0}.astype('datetime64[{1}]')",
    ("numpy", "integer", "time"): "{0}.astype('datetime64[{1}]')",
    ("numpy", "integer", "duration"): "{0}.astype('timedelta64[{1}]')",
    ("pandas", "bytes", "text"): "{0}.astype(pandas.ArrowDtype(pyarrow.string()))",
    ("pandas", "text", "bytes"): "{0}.str.encode('utf-8')",
    ("pandas", "time", "date"): "{0}.dt.date",
    ("pandas", "time with a zone", "date"): "{0}.dt.date",
    ("pandas", "time with a zone", "time"): "{0}.dt.tz_localize(None)",
    ("pandas", "time", "time with a zone"): "{0}.dt.tz_localize('{2}')",
    ("pandas", "text", "integer"): "pandas.to_numeric({0})",
    ("pandas", "text", "float"): "pandas.to_numeric({0})",
    ("pandas", "text", "date"): "pandas.to_datetime({0}).dt.date",
    ("pandas", "text", "time"): "pandas.to_datetime({0})",
    ("pandas", "text", "duration"): "pandas.to_timedelta({0})",
    ("pandas", "integer", "time"): "pandas.to_datetime({0}, unit='{1}')",
    ("pandas", "integer", "duration"): "pandas.to_timedelta({0}, unit='{1}')",
    ("polars", "time with a zone", "time"): "{0}.dt.replace_time_zone(None)",
    ("polars", "time", "time with a zone"): "{0}.dt.replace_time_zone('{2}')",
    ("polars", "text", "date"): "{0}.str.to_date()",
    ("polars", "text", "time"): "{0}.str.to_datetime()",
    ("pyarrow", "time", "time with a zone"): "pyarrow.compute.assume_timezone({0}, '{2}')",
}
_NUMPY: Final = {"bool": "'bool'", "float": "'float32'", "double": "'float64'", "string": "str"}
_POLARS: Final = {
    **{f"int{bits}": f"Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UInt{bits}" for bits in (8, 16, 32, 64)},
    "bool": "Boolean",
    "float": "Float32",
    "double": "Float64",
    "string": "String",
    "binary": "Binary",
    "date32[day]": "Date",
}
#: Which of pandas' conversions by ``astype`` succeed, but for those to text.
_OF_PANDAS: Final = (
    ("bool", "integer"),
    ("bool", "float"),
    ("integer", "bool"),
    ("float", "integer"),
)
_BUFFERS: Final = ("array", "memoryview")
_LISTS: Final = {"polars": "to_list", "pyarrow": "to_pylist"}


class _Given(NamedTuple):
    """What a caller gave: the library, and what to write for the column."""

    library: str
    column: str


def refuse_others(
    function: str,
    parameter: Parameter,
    found: pa.DataType,
    given: object,
    column: str | None = None,
) -> None:
    """Raises TypeMappingError where no value of a type converts to the type of a parameter, and
    says what casts what the caller gave. ``column``: what to write for it, where it is a part.
    """
    found = plain(found)
    if rule(str(found), str(parameter.type.arrow)) is not Rule.REFUSED:
        return
    remedy = remedy_of(found, parameter.type, given, column)
    got = f"{'a scalar' if _is_scalar(given) else 'an array'} of {found}"
    raise wrong_type(function, parameter, f"{got}; {remedy}" if remedy else got)


def remedy_of(found: pa.DataType, declared: Type, given: object, column: str | None = None) -> str:
    """Returns what to pass in place of what a caller gave, of a type that does not convert; empty
    if nobody knows.
    """
    library, word = _given(given)
    column = column or word
    found = plain(found)
    if declared.kind is Kind.BYTES and type(given).__name__ in _BUFFERS:
        return f"a buffer of numbers is a column: pass {word}.tobytes() for one value"
    if _is_scalar(given) and (declared.kind is Kind.LIST or library == "numpy"):
        return ""
    if declared.kind is Kind.LIST and not pa.types.is_nested(found):
        if rule(str(found), str(declared.arrow.value_type)) is Rule.REFUSED:
            return ""
        one = f"{column}.{_LISTS.get(library, 'tolist')}()"
        return f"an array is a column, with a value for each row: pass {one} for one list"
    cast = _cast(library, column, found, declared)
    return f"cast it first if that is meant: {cast}" if cast else ""


def _cast(library: str, column: str, found: pa.DataType, declared: Type) -> str:
    families = family(str(found)), family(str(declared.arrow))
    written = _CASTS.get((library, *families))
    if written is not None:
        return written.format(column, declared.unit or "us", declared.timezone)
    if not _has_cast(found, declared.arrow):
        return ""
    call = _calls(str(declared.arrow), *families).get(library)
    if call is None and library == "pyarrow":
        call = f"cast({_written(declared.arrow)})" if _written(declared.arrow) else None
    return f"{column}.{call}" if call else ""


def _calls(declared: str, found: str, wanted: str) -> dict[str, str]:
    """Returns the methods that cast a column to a type, by library, with the families of the two
    types.
    """
    calls = {}
    if declared in _POLARS:
        calls["polars"] = f"cast(polars.{_POLARS[declared]})"
    if declared in _NUMPY or wanted == "integer":
        calls["numpy"] = f"astype({_NUMPY.get(declared) or repr(declared)})"
    if declared in MASKED and (wanted == "text" or (found, wanted) in _OF_PANDAS):
        kept = ", which keeps missing values" if found == "float" else ""
        calls["pandas"] = f"astype({MASKED[declared]!r}){kept}"
    return calls


def _has_cast(found: pa.DataType, declared: pa.DataType) -> bool:
    try:
        pa.array([], found).cast(declared)
    except (pa.ArrowException, NotImplementedError):
        return False
    return True


def _written(type_: pa.DataType) -> str:
    """Returns how a program names a type of pyarrow; empty if that is long."""
    if pa.types.is_decimal(type_):
        return f"pyarrow.decimal{type_.bit_width}({type_.precision}, {type_.scale})"
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        return f"pyarrow.timestamp({type_.unit!r}, {type_.tz!r})"
    try:
        pa.type_for_alias(str(type_))
    except ValueError:
        return ""
    return repr(str(type_))


def plain(type_: pa.DataType) -> pa.DataType:
    """Returns the type of the values of one that is encoded, or an extension of one."""
    if isinstance(type_, pa.BaseExtensionType):
        return plain(type_.storage_type)
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return plain(type_.value_type)
    return type_


def _is_scalar(value: object) -> bool:
    numpy: Any = sys.modules.get("numpy")
    is_numpy = numpy is not None and isinstance(value, numpy.generic)
    return is_numpy or isinstance(value, pa.Scalar)


def _given(value: Any) -> _Given:
    library, name = type(value).__module__.partition(".")[0], type(value).__name__
    if library == "pandas":
        words = {"Series": "series", "DataFrame": "frame.iloc[:, 0]"}
        other = "index" if name.endswith("Index") else "array"
        return _Given(library, words.get(name, f"pandas.Series({other})"))
    if library == "polars":
        return _Given(library, "series" if name == "Series" else "frame.to_series()")
    if library == "pyarrow":
        words = {"Table": "table.column(0)", "RecordBatch": "batch.column(0)"}
        return _Given(library, words.get(name, "scalar" if _is_scalar(value) else "array"))
    if library == "numpy":
        return _Given(library, "array")
    if name in _BUFFERS:
        return _Given("numpy", "numpy.asarray(buffer)")
    return _Given("pyarrow", "pyarrow.chunked_array(column)")
