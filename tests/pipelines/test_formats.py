"""Columns of every type in files of every format: read back as they were, as their values where the
format does not have the type, or refused with a way out.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from encoded_values import EXTENSIONS
from every_column import EVERY_LEAF, EveryColumn, every_column
from pipeline_functions import inverse

import udfvm
from udfvm.pipelines.sinks import write_file
from udfvm.types.array_conversions import convert
from udfvm.types.encodings import decoded, restored
from udfvm.types.unions import has_unions

READERS: dict[str, Any] = {
    "parquet": pq.read_table,
    "arrow": lambda path: pa.ipc.open_file(path).read_all(),
}


def write(path: Path, *columns: pa.Array) -> str:
    """Writes batches of a column, and returns why that is refused; nothing if it is not."""
    schema = pa.schema([("row", pa.int64()), ("c", columns[0].type)])

    def batches() -> Generator[pa.RecordBatch]:
        for column in columns:
            yield pa.record_batch([pa.array(range(len(column)), pa.int64()), column], schema)

    try:
        write_file("f", path, schema, batches())
    except udfvm.OutputFileError as error:
        assert not path.exists()
        assert str(error).startswith(f"UDF 'f': map() cannot write {path}: column 'c' ")
        return str(error)
    return ""


def values_of(*columns: pa.Array) -> pa.Array:
    plain = decoded(columns[0].type)
    return pa.concat_arrays([convert(column, plain) for column in columns])


def check_columns(path: Path, *columns: pa.Array) -> str:
    """Writes batches of a column and reads them. Returns why that is refused."""
    refused = write(path, *columns)
    if refused:
        return refused
    made = READERS[path.suffix[1:]](path)["c"]
    made.validate(full=True)
    found, expected = values_of(*made.chunks), values_of(*columns)
    if found.type != expected.type:
        found = found.cast(expected.type)
    assert found.equals(expected)
    path.unlink()
    return ""


#: Types that no file of the format has.
WITHOUT = {"parquet": [pa.month_day_nano_interval(), pa.struct([])], "arrow": []}


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize("type_", [*EVERY_LEAF, *EXTENSIONS], ids=str)
def test_simple_types(type_: pa.DataType, format_: str, tmp_path: Path) -> None:
    columns, path = EveryColumn(random.Random(0)), tmp_path / f"made.{format_}"
    batches = [columns.of(type_, rows + 2).slice(1, rows) for rows in (5, 4)]
    refused = check_columns(path, *batches)
    assert bool(refused) == (type_ in WITHOUT[format_])
    if refused:
        assert "does not have: write .arrow, cast it before, or leave it out by keep=" in refused
    else:
        write(path, *batches)
        found = READERS[format_](path).schema.field("c").type
        assert found == type_ or pa.types.is_temporal(type_)  # Parquet has no seconds


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_types_in_types(seed: int, format_: str, tmp_path: Path) -> None:
    for each in range(seed, seed + 10):
        columns, type_ = every_column(each)
        batches = [columns.of(type_, rows + 2).slice(1, rows) for rows in (5, 4)]
        refused = check_columns(tmp_path / f"made.{format_}", *batches)
        if refused and format_ == "arrow":
            assert "is an ordered dictionary, and its batches have different ones" in refused
        elif refused:
            assert "write .arrow" in refused or "ordered dictionary" in refused
            text = str(type_)
            assert has_unions(type_) or any(
                part in text for part in ("interval", "struct<>", "ordered=1", "[0]")
            )


CSV: dict[str, tuple[pa.Array, list[Any]]] = {
    "views": (pa.array(["a", None, "b,c"], pa.string_view()), ["a", "", "b,c"]),
    "bytes": (pa.array([b"a", None], pa.binary_view()), ["a", ""]),
    "runs": (pa.RunEndEncodedArray.from_arrays([1, 3], ["a", "b"]), ["a", "b", "b"]),
    "dictionary": (
        pa.DictionaryArray.from_arrays([0, None], pa.array(["a"], pa.string_view())), ["a", ""]
    ),
    "uuid": (
        pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16)).cast(pa.uuid()),
        ["00000000-0000-0000-0000-000000000007", ""],
    ),
    "bool8": (pa.bool8().wrap_array(pa.array([1, None, 0], pa.int8())), ["true", "", "false"]),
    "json": (pa.json_().wrap_array(pa.array(['{"a": 1}', None])), ['{"a": 1}', ""]),
    "decimal": (pa.array([1, None], pa.decimal256(50, 4)), ["1.0000", ""]),
    "time": (pa.array([1, None], pa.time64("us")), ["00:00:00.000001", ""]),
}  # fmt: skip


@pytest.mark.parametrize("name", CSV)
def test_csv_has_the_values(name: str, tmp_path: Path) -> None:
    column, texts = CSV[name]
    assert not write(tmp_path / "made.csv", column)
    options = pyarrow.csv.ConvertOptions(column_types={"c": pa.string()})
    made = pyarrow.csv.read_csv(tmp_path / "made.csv", convert_options=options)
    assert made["c"].to_pylist() == texts
    assert made["row"].to_pylist() == list(range(len(texts)))


def test_types_that_csv_does_not_have(tmp_path: Path) -> None:
    for column, way in (
        (pa.array([[1]]), "write .parquet or .arrow, cast"),
        (pa.array([{"a": 1}]), "write .parquet or .arrow, cast"),
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "write .arrow, cast"),
        (pa.array([["a"]], pa.list_(pa.string_view())), "write .parquet or .arrow, cast"),
    ):
        text = write(tmp_path / "made.csv", column)
        assert f"is {column.type}, which CSV does not have: {way} it before, or leave" in text


def test_values_that_parquet_does_not_have(tmp_path: Path) -> None:
    late = pa.array([2**60], pa.timestamp("s"))  # Parquet has milliseconds
    text = write(tmp_path / "made.parquet", late)
    assert "Integer overflow" in text and text.endswith(
        ": write .arrow, cast it before, or leave it out by keep="
    )
    assert not check_columns(tmp_path / "made.arrow", late)
    text = write(tmp_path / "made.csv", pa.array([b"a", b"\xff"]))
    assert "has values that CSV does not have (Invalid UTF8" in text and ": write .arrow" in text


REQUIRED = pa.struct([pa.field("z", pa.int64(), nullable=False), pa.field("y", pa.string())])
REQUIRED_IN_OTHERS = [
    REQUIRED,
    pa.struct([pa.field("s", REQUIRED, nullable=False)]),
    pa.struct([pa.field("l", pa.list_(REQUIRED), nullable=False), ("t", pa.string_view())]),
    pa.list_(REQUIRED),
    pa.list_(pa.field("item", REQUIRED, nullable=False), 2),
    pa.map_(pa.string(), pa.field("value", REQUIRED, nullable=False)),
    pa.dictionary(pa.int8(), REQUIRED),
]


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize("type_", REQUIRED_IN_OTHERS, ids=str)
def test_fields_that_are_never_null(type_: pa.DataType, format_: str, tmp_path: Path) -> None:
    inner: Any = {"z": 1, "y": None}
    others: list[Any] = [
        inner, {"s": inner}, {"l": [inner, None], "t": "a"}, [inner, None], [inner, inner],
        [("k", inner)], inner,
    ]  # fmt: skip
    value = others[REQUIRED_IN_OTHERS.index(type_)]
    column = restored(pa.array([value, None, value, None], decoded(type_)), type_)
    path = tmp_path / f"made.{format_}"
    assert not check_columns(path, column, column.slice(1), column.slice(1, 1), column.slice(0, 1))


# ---- Dictionaries ----


def dictionary(
    values: list[Any], index: pa.DataType | None = None, ordered: bool = False
) -> pa.DictionaryArray:
    indices = pa.array([None, *range(len(values))], index or pa.int8())
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()), ordered=ordered)


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize(
    "batches",
    [
        [["a", "b"], ["b", "c", "a"], ["a"]],
        [["a", "a", "b"], ["b", "b"]],
        [["a", None], [None, "b"], ["a"]],
        [[], [], ["a"], ["b", "a"]],
        [[], []],
    ],
    ids=["others", "twice", "nulls", "empty", "always empty"],
)
def test_dictionaries_that_differ(batches: list[list[Any]], format_: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{format_}"
    assert not check_columns(path, *map(dictionary, batches))
    write(path, *map(dictionary, batches))
    assert READERS[format_](path).schema.field("c").type == pa.dictionary(pa.int8(), pa.string())


def test_dictionaries_in_groups_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group is written at once, and others follow."""
    monkeypatch.setattr("udfvm.pipelines.sinks._GROUP_ROWS", 3)
    batches = [dictionary([f"{batch}", "a", f"{-batch}"]) for batch in range(9)]
    for name in ("made.arrow", "made.parquet"):
        assert not check_columns(tmp_path / name, *batches)
    lists = [
        pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([[batch], [0]]))
        for batch in range(1, 9)
    ]
    assert not check_columns(tmp_path / "made.arrow", *lists)


def test_dictionaries_that_make_none_for_all(tmp_path: Path) -> None:
    batches = [dictionary([f"{batch} {each}" for each in range(100)]) for batch in range(2)]
    text = write(tmp_path / "made.arrow", *batches)
    assert (
        "it has 200 different values in all: cast it to string, or to a dictionary with w" in text
    )
    assert "200 different values in all" in write(tmp_path / "made.parquet", *batches)
    for name in ("made.arrow", "made.parquet"):
        ordered = [dictionary(["b", "c"], ordered=True), dictionary(["a", "b"], ordered=True)]
        text = write(tmp_path / name, *ordered)
        assert "its batches have different ones" in text and "cast it to string, or to a" in text
        empty = dictionary([], ordered=True)
        assert not check_columns(tmp_path / name, ordered[0], empty, ordered[0])


@pytest.mark.parametrize(
    ("batches", "has_one"),
    [
        ([["b", "a"], ["b", "a"]], True),
        ([["b", "a"], ["a", "b"]], False),
        ([["b", "a"], ["a", "c"]], False),
    ],
)
def test_small_batches_with_orders_of_their_own(
    batches: list[list[str]], has_one: bool, tmp_path: Path
) -> None:
    """Batches that are joined keep their order, however large they are."""
    columns = [dictionary(values, ordered=True).drop_null() for values in batches]
    source = [pa.record_batch({"x": pa.array([1, 2]), "s": column}) for column in columns]
    for name in ("made.arrow", "made.parquet"):
        if has_one:
            inverse.map(source, output=tmp_path / name)
            (made,) = READERS[name[5:]](tmp_path / name)["s"].unify_dictionaries().chunks
            assert made.dictionary.to_pylist() == batches[0]
        else:
            with pytest.raises(udfvm.OutputFileError, match="its batches have different ones"):
                inverse.map(source, output=tmp_path / name)
    made = inverse.map(source)["s"]
    assert [chunk.dictionary.to_pylist() for chunk in made.chunks] == batches[: made.num_chunks]
    assert made.to_pylist() == [*batches[0], *batches[1]]
    lists = [pa.ListArray.from_arrays([0, 1, 2], column) for column in columns]
    made = inverse.map([pa.record_batch({"x": [1, 2], "s": each}) for each in lists])["s"]
    orders = [chunk.values.dictionary.to_pylist() for chunk in made.chunks]
    assert orders == batches


def test_frames_of_polars(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "x": [1, 2],
            "text": ["a", "b"],
            "category": pl.Series(["a", "b"], dtype=pl.Categorical),
            "level": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            "bytes": [b"a", b"b"],
        }
    )
    for suffix in ("csv", "parquet", "arrow"):
        path = tmp_path / f"made.{suffix}"
        inverse.map(frame, output=path)
        made = getattr(pl, f"read_{'ipc' if suffix == 'arrow' else suffix}")(path)
        assert made["category"].to_list() == made["level"].to_list() == ["a", "b"]
        assert made["text"].to_list() == ["a", "b"]
        assert made["inverse"].to_list() == [1.0, 0.5]
