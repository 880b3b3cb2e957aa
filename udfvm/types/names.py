"""Names of types that several modules know, and names of classes that stand for types.

The build copies this for guests, so it imports nothing else of udfvm. Files whose text is read in a
guest mean by a class what it means here.
"""

from __future__ import annotations

from udfvm.static_typing import Final

INTERVAL: Final = "month_day_nano_interval"
JSON_NAME: Final = "json"

#: Classes of Python, numbers first, and what annotating one means.
CLASSES: Final = {
    "bool": "bool",
    "int": "int64",
    "float": "double",
    "str": "string",
    "bytes": "binary",
}
#: Classes of modules that only their users import.
CLASSES_OF_MODULES: Final = {
    "datetime.date": "date32[day]",
    "datetime.datetime": "timestamp[us]",
    "datetime.time": "time64[us]",
    "datetime.timedelta": "duration[us]",
    "decimal.Decimal": "decimal128(38, 18)",
    "pyarrow.MonthDayNano": INTERVAL,
}
INTEGERS: Final = {
    name: name
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}
#: Classes of numpy's elements, without an underscore at the end.
NUMPY_CLASSES: Final = {
    "bool": "bool",
    **INTEGERS,
    "float32": "float",
    "float64": "double",
    "str": "string",
    "bytes": "binary",
}
#: Classes of pyarrow's arrays whose elements have one type.
ARRAY_CLASSES: Final = {
    "NullArray": "null",
    "BooleanArray": "bool",
    "Int8Array": "int8",
    "Int16Array": "int16",
    "Int32Array": "int32",
    "Int64Array": "int64",
    "UInt8Array": "uint8",
    "UInt16Array": "uint16",
    "UInt32Array": "uint32",
    "UInt64Array": "uint64",
    "FloatArray": "float",
    "DoubleArray": "double",
    "StringArray": "string",
    "LargeStringArray": "large_string",
    "BinaryArray": "binary",
    "LargeBinaryArray": "large_binary",
    "Date32Array": "date32[day]",
    "Date64Array": "date64[ms]",
    "MonthDayNanoIntervalArray": INTERVAL,
}

#: Libraries by the names that they are imported as.
LIBRARIES: Final = {"np": "numpy", "pa": "pyarrow", "pd": "pandas", "pl": "polars"}
