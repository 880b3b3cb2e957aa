"""Types that travel as others, and are restored outside of guests: dictionaries and runs travel as
their values, list views as lists, string and binary views as text and bytes, and extension types as
their storage. So guests see the values alone, and images do not depend on the encoding.

A type without these is its *decoded* type. It has the same names, nullability and metadata of
fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from udfvm.static_typing import TYPE_CHECKING, Any, Final
from udfvm.tuples import NamedTuple
from udfvm.types.conversions import Loss
from udfvm.types.nested import at_colon, split_at_commas
from udfvm.types.unions import has_unions

if TYPE_CHECKING:
    import pyarrow as pa

# A pattern, which is compiled when it is first used; so ``.*`` is any text.
_FORM: Final = r"(?s)(dictionary|run_end_encoded|list_view|large_list_view|extension)<(.*)>"
_VIEWS: Final = {"string_view": "large_string", "binary_view": "large_binary"}
_EXTENSIONS: Final = {
    "arrow.uuid": "fixed_size_binary[16]",
    "arrow.json": "string",
    "arrow.bool8": "int8",
}
_INDICES: Final = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_RUN_ENDS: Final = ("int16", "int32", "int64")


class Encoding(NamedTuple):
    """The name of an encoded type, parsed by one level.

    Attributes:
        form: what pyarrow's name begins with.
        decoded: the name of the type that travels.
        narrow: the type of indices or run ends.
        ordered: for dictionaries.
    """

    form: str
    decoded: str
    narrow: str = ""
    ordered: bool = False

    def __str__(self) -> str:
        if self.form == "dictionary":
            ordered = int(self.ordered)
            return f"dictionary<values={self.decoded}, indices={self.narrow}, ordered={ordered}>"
        if self.form == "run_end_encoded":
            return f"run_end_encoded<run_ends: {self.narrow}, values: {self.decoded}>"
        if self.form in ("list_view", "large_list_view"):
            return f"{self.form}<{self.decoded.partition('<')[2]}"
        return self.form


# ---- Names ----


def encoding_of(name: str) -> Encoding | None:
    """Parses the name of a type; returns None for one that is not encoded.

    Besides pyarrow's names there are shorter ones: ``dictionary<int8, string>``,
    ``run_end_encoded<int32, double>``. Raises ValueError for a name that is no type.

    >>> encoding_of("dictionary<values=string, indices=int8, ordered=1>")
    Encoding(form='dictionary', decoded='string', narrow='int8', ordered=True)
    >>> encoding_of("large_list_view<item: int8>").decoded
    'large_list<item: int8>'
    """
    if name in _VIEWS:
        return Encoding(name, _VIEWS[name])
    match = re.fullmatch(_FORM, name) if "<" in name else None  # plain names need no pattern
    if match is None:
        return None
    form, inner = match.groups()
    if form == "extension":
        if inner not in _EXTENSIONS:
            raise ValueError(
                f"{name!r} cannot be declared by its name: pass the type itself; names are those of"
                f" {', '.join(_EXTENSIONS)}"
            )
        return Encoding(f"extension<{inner}>", _EXTENSIONS[inner])
    if form in ("list_view", "large_list_view"):
        return Encoding(form, f"{form.removesuffix('_view')}<{inner}>")
    parts = [part.strip() for part in split_at_commas(inner)]
    return (_dictionary if form == "dictionary" else _runs)(name, parts)


def _dictionary(name: str, parts: list[str]) -> Encoding:
    if all("=" in part for part in parts):
        given = dict(part.split("=", 1) for part in parts)
        if set(given) >= {"values", "indices"}:
            index = _checked(name, given["indices"], _INDICES)
            return Encoding("dictionary", given["values"], index, given.get("ordered", "0") == "1")
    if len(parts) == 2:
        return Encoding("dictionary", parts[1], _checked(name, parts[0], _INDICES))
    raise ValueError(f"{name!r} is not a type: write a dictionary as dictionary<int32, string>")


def _runs(name: str, parts: list[str]) -> Encoding:
    if len(parts) != 2:
        raise ValueError(f"{name!r} is not a type: write runs as run_end_encoded<int32, double>")
    ends, values = (at_colon(part)[2].strip() for part in parts)
    return Encoding("run_end_encoded", values, _checked(name, ends, _RUN_ENDS))


def _checked(name: str, index: str, allowed: tuple[str, ...]) -> str:
    if index not in allowed:
        raise ValueError(f"{name!r} is not a type: {index!r} is none of {', '.join(allowed)}")
    return index


def encoded_type(encoding: Encoding, arrow_type: Callable[[str], pa.DataType]) -> pa.DataType:
    """Returns the pyarrow type of a name. ``arrow_type`` returns that of the names in it."""
    import pyarrow as pa

    form, name = encoding.form, encoding.decoded
    if form in ("list_view", "large_list_view"):
        field = arrow_type(name).field(0)
        return pa.list_view(field) if form == "list_view" else pa.large_list_view(field)
    if form == "dictionary":
        index = pa.type_for_alias(encoding.narrow)
        return pa.dictionary(index, arrow_type(name), encoding.ordered)
    if form == "run_end_encoded":
        return pa.run_end_encoded(pa.type_for_alias(encoding.narrow), arrow_type(name))
    makers: dict[str, Callable[[], pa.DataType]] = {
        "extension<arrow.uuid>": pa.uuid,
        "extension<arrow.json>": pa.json_,
        "extension<arrow.bool8>": pa.bool8,
        "string_view": pa.string_view,
        "binary_view": pa.binary_view,
    }
    return makers[form]()


# ---- Types ----


def decoded(type_: Any) -> pa.DataType:
    """Returns a type without encodings and extension types.

    >>> import pyarrow as pa
    >>> decoded(pa.list_(pa.dictionary(pa.int8(), pa.uuid())))
    ListType(list<item: fixed_size_binary[16]>)
    """
    import pyarrow as pa

    if isinstance(type_, pa.BaseExtensionType):
        return decoded(type_.storage_type)
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return decoded(type_.value_type)
    if str(type_) in _VIEWS:
        return pa.type_for_alias(_VIEWS[str(type_)])
    is_view = pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_)
    fields = [type_.field(index) for index in range(type_.num_fields)]
    held = [field.with_type(decoded(field.type)) for field in fields]
    if not is_view and all(one.type is other.type for one, other in zip(fields, held, strict=True)):
        return type_
    from udfvm.types.nested_conversions import with_fields  # for such types alone

    return with_fields(type_, held)


def has_order(type_: Any) -> bool:
    """Whether a type is, or holds, an ordered dictionary. Arrow joins arrays of these, and puts the
    values of one behind those of the other, whatever their order was.
    """
    import pyarrow as pa

    if isinstance(type_, pa.BaseExtensionType):
        return has_order(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return bool(type_.ordered) or has_order(type_.value_type)
    if pa.types.is_run_end_encoded(type_):
        return has_order(type_.value_type)
    return any(has_order(type_.field(index).type) for index in range(type_.num_fields))


def are_joined_in_order(arrays: Sequence[Any], type_: Any) -> bool:
    """Whether arrays of a type, joined by Arrow, have the order that each of them has."""
    import pyarrow as pa

    if not has_order(type_):
        return True
    if not pa.types.is_dictionary(type_) or has_order(type_.value_type):
        return False
    return all(each.dictionary.equals(arrays[0].dictionary) for each in arrays[1:])


# ---- Arrays ----


def restored(array: Any, type_: Any) -> Any:
    """Returns an array of the decoded type of a type as that type. Raises Loss where the type does
    not have so many values: indices and run ends may be narrow.

    >>> import pyarrow as pa
    >>> restored(pa.array(["a", "b", "a"]), pa.dictionary(pa.int8(), pa.string())).indices.tolist()
    [0, 1, 0]
    """
    import pyarrow as pa

    if array.type.equals(type_, check_metadata=True):
        return array
    if isinstance(type_, pa.BaseExtensionType):
        return type_.wrap_array(restored(array, type_.storage_type))
    if pa.types.is_dictionary(type_):
        return _as_dictionary(array, type_)
    if pa.types.is_run_end_encoded(type_):
        return _as_runs(array, type_)
    if not type_.num_fields:
        return array.cast(type_)
    return _as_container(array, type_)


def _as_container(array: Any, type_: Any) -> Any:
    """Returns a list, struct, map or union with what it holds restored."""
    import pyarrow as pa

    array = at_start(array)
    fields = [type_.field(index) for index in range(type_.num_fields)]
    held = [
        restored(child, field.type) for child, field in zip(children(array), fields, strict=True)
    ]
    own = array.buffers()[: array.type.num_buffers]
    if pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_):
        own.append(_sizes(array))
    return pa.Array.from_buffers(type_, len(array), own, array.null_count, 0, held)


def at_start(array: Any) -> Any:
    """Returns an array whose buffers begin with its values."""
    import pyarrow as pa

    return pa.concat_arrays([array, array.slice(0, 0)]) if array.offset else array


def children(array: Any) -> list[Any]:
    """Returns the arrays that an array at its start holds, one for each field of its type."""
    import pyarrow as pa

    type_ = array.type
    if pa.types.is_map(type_):
        return [
            pa.StructArray.from_arrays([array.keys, array.items], fields=list(type_.field(0).type))
        ]
    if pa.types.is_struct(type_) or pa.types.is_union(type_):
        return [array.field(index) for index in range(type_.num_fields)]
    return [array.values] if type_.num_fields else []


def _sizes(array: Any) -> Any:
    import pyarrow.compute as pc

    return pc.fill_null(pc.list_value_length(array), 0).buffers()[1]


def _as_dictionary(array: Any, type_: Any) -> Any:
    """Values are in the order in which they occur; in an ordered dictionary they ascend."""
    import pyarrow as pa

    indices, values = _distinct(array)
    if type_.ordered:
        indices, values = _ascending(indices, values)
    if len(values) > _most_values(type_):
        raise Loss(f"cannot be {type_}: it has {len(values):,} different values")
    return pa.DictionaryArray.from_arrays(
        indices.cast(type_.index_type), restored(values, type_.value_type), ordered=type_.ordered
    )


def with_values_of(array: Any, type_: Any, dictionary: Any) -> Any:
    """Returns an array of the decoded type of a dictionary as one with these values, in their
    order; None where it has others, where there are more than indices, or where Arrow compares
    none.

    >>> import pyarrow as pa
    >>> type_ = pa.dictionary(pa.int8(), pa.string(), ordered=True)
    >>> low_first = pa.array(["low", "middle", "high"])
    >>> with_values_of(pa.array(["high", None, "low"]), type_, low_first).indices.to_pylist()
    [2, None, 0]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(dictionary) > _most_values(type_):
        return None
    try:
        indices = pc.index_in(array, value_set=dictionary, skip_nulls=True)
    except (NotImplementedError, pa.ArrowInvalid):
        return None
    if indices.null_count != array.null_count:
        return None
    values = restored(dictionary, type_.value_type)
    return pa.DictionaryArray.from_arrays(
        indices.cast(type_.index_type), values, ordered=type_.ordered
    )


def _most_values(type_: Any) -> int:
    """Returns how many values the indices of a dictionary have."""
    import pyarrow as pa

    bits: int = type_.index_type.bit_width - pa.types.is_signed_integer(type_.index_type)
    return 1 << bits


def _distinct(array: Any) -> tuple[Any, Any]:
    """Returns the different values of an array, and which of them each row has."""
    import pyarrow as pa

    try:
        made = array.dictionary_encode()
    except NotImplementedError:
        rows: list[int] = []
        found: dict[Any, int] = {}
        indices = [_index_of(each, row, found, rows) for row, each in enumerate(array)]
        return pa.array(indices, pa.int64()), array.take(pa.array(rows, pa.int64()))
    return made.indices, made.dictionary


def _index_of(value: Any, row: int, found: dict[Any, int], rows: list[int]) -> int | None:
    """Returns the index of a value of a row, which is new where it is not in ``found``."""
    if not value.is_valid:
        return None
    index = found.setdefault(value, len(rows))
    if index == len(rows):
        rows.append(row)
    return index


def _ascending(indices: Any, values: Any) -> tuple[Any, Any]:
    """Sorts the values of a dictionary, where they have an order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if has_unions(values.type):  # pyarrow ends the process where it sorts them
        return indices, values
    try:
        order = pc.sort_indices(values)
    except (NotImplementedError, pa.ArrowInvalid):
        return indices, values
    places = pc.sort_indices(order)
    return places.take(indices).cast(pa.int64()), values.take(order)


def _as_runs(array: Any, type_: Any) -> Any:
    import pyarrow as pa

    end_type = type_.run_end_type
    if len(array) >= 2 ** (end_type.bit_width - 1):
        raise Loss(f"cannot be {type_}: it has {len(array):,} rows")
    first = _first_of_runs(array)
    ends = pa.concat_arrays(
        [first.slice(1), pa.array([len(array)] if len(array) else [], pa.int64())]
    )
    return pa.RunEndEncodedArray.from_arrays(
        ends.cast(end_type), restored(array.take(first), type_.value_type), type_
    )


def _first_of_runs(array: Any) -> Any:
    """Returns the rows whose value differs from that of the row before."""
    import pyarrow as pa
    import pyarrow.compute as pc

    indices, _ = _distinct(array)
    indices = pc.fill_null(indices, -1).cast(pa.int64())
    if not len(indices):
        return indices
    rest = pc.indices_nonzero(pc.not_equal(indices.slice(1), indices.slice(0, len(indices) - 1)))
    return pa.concat_arrays([pa.array([0], pa.int64()), pc.add(rest.cast(pa.int64()), 1)])
