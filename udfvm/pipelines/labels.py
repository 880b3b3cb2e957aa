"""What pandas knows of results: the labels of their rows (the index), and dtypes.

The schema of a table that pandas made has metadata that say both. A range of labels is nowhere
else, and is of no use where rows are left out or repeated: it becomes a column there. The metadata
of a file may be anybody's: what pandas would not write is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from udfvm.codec.argument_errors import MASKED
from udfvm.tuples import NamedTuple

_KEY: Final = b"pandas"
_OF_ARROW: Final = "[pyarrow]"
_SURROGATES: Final = re.compile("[\ud800-\udfff]")  # not in names of Arrow, which are UTF-8
_INT64: Final = range(-(2**63), 2**63)
#: Dtypes of Arrow that pandas finds by their names.
_NAMED: Final = re.compile(r"\w+(\[[a-z]+(, tz=[^\]]+)?\])?\[pyarrow\]")
#: An index of column names that are text. Others would be made of all names, and the function's
#: column has a text.
_TEXTS: Final = {
    "name": None,
    "field_name": None,
    "pandas_type": "unicode",
    "numpy_type": "object",
    "metadata": {"encoding": "UTF-8"},
}


def index_columns(schema: pa.Schema) -> list[str]:
    """Returns the columns of a table that are the index of its frame in pandas.

    >>> import pandas
    >>> frame = pandas.DataFrame({"x": [1]}, pandas.Index(["a"], name="key"))
    >>> index_columns(pa.Table.from_pandas(frame).schema)
    ['key']
    """
    listed = _metadata(schema).get("index_columns", [])
    return [each for each in listed if isinstance(each, str) and each in schema.names]


class Labels(NamedTuple):
    """The index of results, and their dtypes.

    Attributes:
        column: the column that a range becomes; None if there is none.
        start, step: the label of the source's first row, and from one row to the next.
        others: the metadata of the results' schema, without those of pandas; None if there are
            none at all.
        metadata: what pandas wrote, as far as it concerns the results; None if it wrote nothing.
        dtypes: the dtype of each of the function's columns that has one.
        for_nulls: those of these columns that need the dtype only if they have nulls.
    """

    column: pa.Field | None
    start: int
    step: int
    others: dict[bytes, bytes] | None
    metadata: Mapping[str, Any] | None
    dtypes: dict[str, tuple[pa.DataType, str]]
    for_nulls: frozenset[str]

    def of_rows(self, first_row: int, count: int, rows: Sequence[int] | None) -> list[pa.Array]:
        """Returns the column of labels, if there is one, of a batch of so many rows.

        ``first_row`` is the index of its first row in the source; ``rows`` are those of its rows
        that results have, None for all.
        """
        if self.column is None:
            return []
        import pyarrow.compute as pc

        chosen = pa.array(range(count) if rows is None else rows, pa.int64())
        # In int64, as Arrow calculates: metadata may describe fewer rows than a reader has.
        first_label = (self.start + self.step * first_row - _INT64.start) % 2**64 + _INT64.start
        return [pc.add(pc.multiply(chosen, self.step), first_label)]

    def schema_metadata(self, without_nulls: Collection[str] = ()) -> dict[bytes, bytes] | None:
        """Returns the metadata of results. ``without_nulls`` are columns of the function that are
        known to have no nulls.
        """
        if self.metadata is None:
            return self.others
        entries = [
            _entry(name, name, type_, dtype)
            for name, (type_, dtype) in self.dtypes.items()
            if not (name in without_nulls and name in self.for_nulls)
        ]
        made = {**self.metadata, "columns": [*self.metadata["columns"], *entries]}
        return {**(self.others or {}), _KEY: json.dumps(made).encode()}

    def of_table(self, table: pa.Table) -> pa.Table:
        """Returns a table of all results, as pandas should see it."""
        without = [name for name in self.for_nulls if not table.column(name).null_count]
        return table.replace_schema_metadata(self.schema_metadata(without)) if without else table


def labels_of(
    schema: pa.Schema,
    rows: int | None,
    kept: Sequence[str],
    made: Sequence[pa.Field],
    argument: str,
    *,
    all_columns: bool,
    has_index: bool,
    as_column: bool,
) -> Labels:
    """Returns the index and dtypes of results.

    Args:
        schema: the columns of the source.
        rows: how many rows it has; None if that is not known.
        kept: those of its columns that results have.
        made: the columns of the function.
        argument: the column of the first argument: the function's columns have dtypes like its.
        all_columns: True if results have all columns of the source, and so its metadata.
        has_index: True if results have the source's index.
        as_column: True if a range of labels has to be a column.
    """
    found = _metadata(schema)
    others = {key: value for key, value in (schema.metadata or {}).items() if key != _KEY}
    if not all_columns:
        others = {}
    if not found:
        return Labels(None, 0, 1, schema.metadata if all_columns else None, None, {}, frozenset())
    columns = [_readable(each) for each in found["columns"] if _field_of(each) in kept]
    index: list[Any] = []
    field, start, step = None, 0, 1
    for each in found["index_columns"]:
        if isinstance(each, str) and each in kept:
            index.append(each)
        labels = _range_of(each, rows)
        if labels is None or (as_column and not has_index):
            continue
        if as_column:
            name = _free_name(each.get("name"), [*kept, *(one.name for one in made)])
            field, start, step = pa.field(name, pa.int64()), labels.start, labels.step
            columns.append(_entry(each.get("name"), name, field.type, "int64"))
            each = name  # noqa: PLW2901
        index.append(each)
    metadata = {
        **found,
        "index_columns": index,
        "columns": columns,
        "column_indexes": _texts(found.get("column_indexes")),
    }
    like: Mapping[str, Any] = next(
        (each for each in found["columns"] if _field_of(each) == argument), {}
    )
    like_dtype = str(like.get("numpy_type"))
    dtypes = {one.name: (one.type, _dtype(one, like_dtype)) for one in made}
    known = {name: (type_, dtype) for name, (type_, dtype) in dtypes.items() if dtype}
    is_of_numpy = not like_dtype.endswith(_OF_ARROW) and like_dtype not in MASKED.values()
    return Labels(
        field, start, step, others, metadata, known, frozenset(known if is_of_numpy else ())
    )


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    """Returns what pandas wrote about a schema; nothing for what it did not write."""
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    parts = [found.get(name) for name in ("columns", "index_columns")] if _is_map(found) else []
    return found if parts and all(isinstance(part, list) for part in parts) else {}


def _is_map(found: object) -> bool:
    return isinstance(found, dict)


def _field_of(entry: Any) -> Any:
    """Returns which column an entry of the metadata is about."""
    return entry.get("field_name", entry.get("name")) if _is_map(entry) else None


def _readable(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns an entry without a dtype that pandas does not find by its name: it would raise."""
    dtype = str(entry.get("numpy_type"))
    if dtype.endswith(_OF_ARROW) and not _NAMED.fullmatch(dtype):
        return {**entry, "numpy_type": "object"}
    return entry


def _texts(found: Any) -> list[Any]:
    """Returns what the metadata say of the names of columns, if these are text."""
    if isinstance(found, list) and len(found) == 1 and _is_map(found[0]):
        is_text = found[0].get("pandas_type") in ("unicode", "string", "empty")
        if is_text and found[0].get("numpy_type") in ("object", "str", "string"):
            return found
    return [_TEXTS]


def _range_of(described: Any, rows: int | None) -> range | None:
    """Returns a range of labels; None for what describes none, or none of so many rows."""
    if not _is_map(described) or described.get("kind") != "range":
        return None
    numbers = [described.get(name) for name in ("start", "stop", "step")]
    if not all(isinstance(each, int) and each in _INT64 for each in numbers) or not numbers[2]:
        return None
    found = range(*numbers)
    return found if rows is None or len(found[: rows + 1]) == rows else None


def _free_name(name: object, taken: Sequence[str]) -> str:
    """Returns a name for a column of labels, as pandas gives it."""
    if isinstance(name, str) and name not in taken and not _SURROGATES.search(name):
        return name
    level = 0
    while f"__index_level_{level}__" in taken:
        level += 1
    return f"__index_level_{level}__"


def _dtype(field: pa.Field, like: str) -> str:
    """Returns the dtype of a column of the function, where pandas would not find a good one: that
    which a call with a Series of the dtype ``like`` returns.
    """
    type_ = field.type
    if like.endswith(_OF_ARROW) and _NAMED.fullmatch(f"{type_}{_OF_ARROW}"):
        return f"{type_}{_OF_ARROW}"
    is_whole = pa.types.is_integer(type_) or pa.types.is_boolean(type_)
    if is_whole or like in MASKED.values():
        return MASKED.get(str(type_), "")
    return ""


def _entry(name: object, field: str, type_: pa.DataType, dtype: str) -> dict[str, Any]:
    from pyarrow.pandas_compat import get_logical_type

    return {
        "name": name,
        "field_name": field,
        "pandas_type": get_logical_type(type_),
        "numpy_type": dtype,
        "metadata": None,
    }
