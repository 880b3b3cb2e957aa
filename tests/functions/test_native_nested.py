"""Lists and structs of ``udfvm.h``: values, nulls, columns, SQL, and what a body does wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import apsw
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors

# Functions in what C and C++ have in common.
SOURCE = r"""
#include <udfvm.h>
#include <time.h>

UDFVM_STRUCT(point, (f64, x), (optional_f64, y))
UDFVM_STRUCT(place, (text, name), (point, at), (list_text, tags), (optional_list_point, way))
UDFVM_STRUCT(all, (i8, a), (u16, b), (optional_i32, c), (u64, d), (f32, e), (optional_boolean, f),
             (blob, g), (optional_text, h), (list_boolean, i), (list_optional_u8, j),
             (list_optional_text, k), (optional_point, l))
UDFVM_LIST(list_optional_point)
UDFVM_LIST(list_f64)

UDFVM_SCALAR(norm, f64, (point, p)) { return p.x + (p.y.valid ? p.y.value : 100); }
UDFVM_SCALAR(same_place, optional_place, (optional_place, place)) { return place; }
UDFVM_SCALAR(same_all, all, (all, all)) { return all; }
UDFVM_SCALAR(same_lists, list_list_optional_point, (list_list_optional_point, lists))
{
    return lists;
}
UDFVM_SCALAR(total, f64, (list_list_f64, rows), (optional_list_i32, more))
{
    double sum = more.valid ? (double)more.value.length : -1;
    for (size_t i = 0; i < rows.length; i++)
        for (size_t k = 0; k < rows.data[i].length; k++)
            sum += rows.data[i].data[k];
    return sum;
}
UDFVM_SCALAR(counted, list_i64, (i64, count))
{
    if (count < 0)
        udfvm_fail("no list of %lld", (long long)count);
    udfvm_i64 *items = udfvm_allocate_items(i64, count < 0 ? 0 : (size_t)count);
    for (int64_t i = 0; i < count; i++)
        items[i] = i;
    udfvm_list_i64 made = { items, count < 0 ? 0 : (size_t)count };
    return made;
}
UDFVM_SCALAR(first_word, optional_text, (list_text, words))
{
    udfvm_allocate(100000); /* freed after each row */
    return words.length ? udfvm_some_text(words.data[0]) : udfvm_null_text();
}
UDFVM_SCALAR(ticks, list_i64, (list_i64, unused))
{
    struct timespec now;
    for (int i = 0; i < 100; i++)
        clock_gettime(CLOCK_MONOTONIC, &now);
    udfvm_i64 *items = udfvm_allocate_items(i64, 1);
    *items = now.tv_sec * 1000000000 + now.tv_nsec + (int64_t)unused.length;
    udfvm_list_i64 made = { items, 1 };
    return made;
}
UDFVM_SCALAR(wrong, place, (i64, how))
{
    static const udfvm_text tags[] = { { "\xff", 1 } };
    udfvm_place made;
    memset(&made, 0, sizeof made);
    made.tags.data = how == 1 ? NULL : how == 5 ? (const udfvm_text *)64 : tags;
    made.tags.length = how == 0 ? 0 : how == 2 ? (size_t)1 << 40 : 1;
    made.name.length = how == 4;
    return made;
}
/* The length of each list, as a struct, and the items without the first list's. */
UDFVM_STRUCT(measured, (i32, length), (list_optional_i64, items))
static int32_t lengths[1000];
UDFVM_VECTOR(measure, measured, (list_optional_i64, list), (point, at))
{
    const int32_t *offsets = (const int32_t *)arguments[0].buffers[1];
    const int64_t how = arguments[1].length > 1 ? 0 : *(const double *)arguments[1].children[0]
                                                           ->buffers[1];
    for (int64_t row = 0; row < result->length; row++)
        lengths[row] = offsets[row + 1] - offsets[row];
    result->children[0]->buffers[1] = lengths;
    result->children[1]->buffers[0] = arguments[0].buffers[0];
    result->children[1]->buffers[1] = offsets;
    *result->children[1]->children[0] = *arguments[0].children[0];
    if (how == 1)
        result->children[1]->children[0]->length = 0;
    if (how == 2)
        result->children[0]->buffers[1] = NULL;
    if (how == 3)
        result->n_children = 1;
    if (how == 4)
        result->children[1]->offset = 1;
    if (how == 5)
        result->length++;
    if (how == 6)
        result->children[1]->buffers[1] = NULL;
    if (how == 7)
        result->children[1]->buffers[1] = "\1\0\0\0\0\0\0\0";
    if (how == 8)
        result->children[0]->buffers[0] = "";
}

UDFVM_MAIN
"""
BUILDS = {
    "C": ["gcc", "-std=gnu17", "-shared", "-fPIC", "-x", "c"],
    "C++": ["g++", "-std=gnu++20", "-shared", "-fPIC", "-x", "c++"],
    "program": ["gcc", "-std=gnu17", "-static", "-no-pie", "-x", "c"],
}
PLACES = [
    {"name": "é", "at": {"x": 1.0, "y": None}, "tags": ["a", "", "\0b"], "way": []},
    None,
    {"name": "", "at": {"x": 2.0, "y": 3.0}, "tags": [], "way": None},
    {"name": "z", "at": {"x": 0.5, "y": 0.0}, "tags": ["t"] * 9, "way": [{"x": 1.0, "y": 2.0}] * 3},
]
ALL = [
    {
        "a": -128, "b": 65535, "c": None, "d": 2**64 - 1, "e": 1.5, "f": True, "g": b"\xff\0",
        "h": None, "i": [True, False, True] * 5, "j": [1, None, 255], "k": ["x", None],
        "l": {"x": 1.0, "y": None},
    },
    {
        "a": 127, "b": 0, "c": -5, "d": 0, "e": -0.25, "f": None, "g": b"", "h": "h", "i": [],
        "j": [], "k": [], "l": None,
    },
]  # fmt: skip
POINT = {"x": 1.0, "y": 2.0}
LISTS = [[], [[]], None, [[None, POINT], [], [{"x": 0.0, "y": None}]], [[POINT] * 20]]


@pytest.fixture(scope="module", params=BUILDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nested"), request.param)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nested"), "C")


def build(folder: Path, name: str) -> Path:
    made = folder / "made"
    flags = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-I", udfvm.get_include()]
    subprocess.run(
        [*BUILDS[name], *flags, "-", "-o", str(made)], input=SOURCE, text=True, check=True
    )
    return made


@pytest.mark.parametrize(
    ("function", "values"),
    [("same_place", PLACES), ("same_all", ALL), ("same_lists", LISTS)],
)
def test_values_come_back(made: Path, function: str, values: list[object]) -> None:
    same = udfvm.from_elf(made, function)
    assert [same(value) for value in values] == values
    column = pa.array([*values, *values], same.result.type.arrow)
    assert same(column).to_pylist() == [*values, *values]
    assert same(column[1:4]).to_pylist() == [*values, *values][1:4]
    assert same(column[:0]).to_pylist() == []


def test_nulls_and_columns_of_numbers(made: Path) -> None:
    norm, total = udfvm.from_elf(made, "norm"), udfvm.from_elf(made, "total")
    assert repr(norm) == "<UDF norm(p: struct<x: double, y: double>) -> double>"
    points = pa.array([None, {"x": 1.0, "y": None}, {"x": 2.0, "y": 5.0}])
    assert norm(points).to_pylist() == [None, 101.0, 7.0]
    assert norm(points[2:]).to_pylist() == [7.0]
    assert total([[1.0, 2.0], [], [4.5]], [1, 2, 3]) == 10.5
    assert total([], None) == -1.0
    rows = pa.array([None, [[1.0], [2.0, 3.0]], [], [[]]], pa.list_(pa.list_(pa.float64())))
    more = pa.array([[1], [2], None, [3, 4]], pa.list_(pa.int32()))
    assert total(rows, more).to_pylist() == [None, 7.0, -1.0, 2.0]
    assert total(rows[1:], more[1:]).to_pylist() == [7.0, -1.0, 2.0]


def test_large_lists_and_memory_of_rows(made: Path) -> None:
    counted = udfvm.from_elf(made, "counted")
    assert counted(1_000_000)[-1] == 999_999
    assert counted(pa.array([3, None, 0, 9])).to_pylist() == [[0, 1, 2], None, [], [*range(9)]]
    with pytest.raises(udfvm.UDFError, match="row 1: RuntimeError: no list of -5"):
        counted(pa.array([1, -5]))
    words = pa.array([["first", "second"], []] * 2000)
    assert udfvm.from_elf(made, "first_word")(words).to_pylist() == ["first", None] * 2000


def test_nulls_that_a_type_does_not_take(shared: Path) -> None:
    norm, total = udfvm.from_elf(shared, "norm"), udfvm.from_elf(shared, "total")
    places = udfvm.from_elf(shared, "same_place")
    wrong = r"is not valid: {} is null, and its type is not optional"
    with pytest.raises(errors.TypeMappingError, match=r"row 2: argument 'p'.*" + wrong.format("x")):
        norm(pa.array([None, {"x": 1.0, "y": 0.0}, {"x": None, "y": 0.0}]))
    with pytest.raises(errors.TypeMappingError, match=r"'rows' .*" + wrong.format("an item")):
        total([[1.0], None], None)
    with pytest.raises(errors.TypeMappingError, match=r"'more' .*" + wrong.format("an item")):
        total([[1.0]], [1, None])
    with pytest.raises(errors.TypeMappingError, match=wrong.format("at")):
        places({**PLACES[0], "at": None})  # type: ignore[dict-item]
    columns = [pa.array([[[1.0]], [[2.0]]]), pa.array([None, [1, None]], pa.list_(pa.int32()))]
    with pytest.raises(errors.TypeMappingError, match=r"row 1: argument 'more'"):
        total(*columns)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (1, "returned a list of length 1 without data"),
        (2, "the results of this batch are too large for one column"),
        (3, "returned text that is not valid UTF-8"),
        (4, "returned a text of length 1 without data"),
    ],
)
def test_values_that_are_none(made: Path, how: int, message: str) -> None:
    wrong = udfvm.from_elf(made, "wrong")
    assert wrong(0) == {"name": "", "at": {"x": 0.0, "y": None}, "tags": [], "way": None}
    with pytest.raises(udfvm.UDFError, match=f"row 2: RuntimeError: .*{message}"):
        wrong(pa.array([0, 0, how]))
    with pytest.raises(udfvm.UDFError, match=message):
        wrong(how)


def test_the_backtrace_of_a_wild_pointer_leads_to_the_function(made: Path) -> None:
    wrong = udfvm.from_elf(made, "wrong")
    with pytest.raises(udfvm.GuestCrashError, match=r"(?s)SIGSEGV.*udfvm_run_wrong.*append"):
        wrong(5)


def test_whole_columns(made: Path) -> None:
    measure = udfvm.from_elf(made, "measure")
    lists = pa.array([[1, None], [], None, [3, 4, 5]], pa.list_(pa.int64()))
    points = pa.array([POINT, POINT, POINT, None])
    expected = [
        {"length": 2, "items": [1, None]},
        {"length": 0, "items": []},
        None,
        None,
    ]
    assert measure(lists, points).to_pylist() == expected
    assert measure(lists[1:3], points[1:3]).to_pylist() == expected[1:3]
    assert measure([7], {"x": 0.0, "y": None}) == {"length": 1, "items": [7]}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (1, "offsets to 2 in items, which has 0 items"),
        (2, "has no data in length"),
        (3, "in the result, length 1, offset 0, 1 buffers, 1 children where .* 2 children are"),
        (4, "in items, length 1, offset 1"),
        (5, "has length 2 where length 1 is expected"),
        (6, "has no offsets in items"),
        (7, "has offsets that fall in items"),
        (8, "returned null in length, whose type is not optional"),
    ],
)
def test_columns_that_are_none(shared: Path, how: int, message: str) -> None:
    measure = udfvm.from_elf(shared, "measure")
    with pytest.raises(udfvm.UDFError, match=f"RuntimeError: the function.*{message}"):
        measure([7, 8], {"x": how, "y": None})


def test_sql(shared: Path) -> None:
    connection = apsw.Connection(":memory:")
    names = ("same_place", "total", "counted", "measure")
    udfvm.sqlite.register(connection, *(udfvm.from_elf(shared, name) for name in names))
    place = '{"name":"a","at":{"x":1.0,"y":null},"tags":["b"],"way":[{"x":0.5,"y":2.0}]}'
    found = connection.execute(
        "SELECT same_place(?), same_place(NULL), total('[[1, 2.5], []]', '[7]'), counted(3),"
        """ measure('[1, null]', '{"x": 0, "y": 1}')""",
        (place,),
    ).fetchall()
    assert found == [(place, None, 4.5, "[0,1,2]", '{"length":2,"items":[1,null]}')]
    many = connection.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 50)"
        " SELECT total('[[' || x || ']]', counted(x)) FROM n"
    ).fetchall()
    assert [value for (value,) in many] == [2.0 * x for x in range(1, 51)]
    with pytest.raises(apsw.SQLError, match=r"argument 'rows' .* an array is expected, not 0"):
        connection.execute("SELECT total(counted(1), NULL)").fetchall()
    with pytest.raises(apsw.SQLError, match=r"is not valid: an item is null"):
        connection.execute("SELECT total('[[null]]', NULL)").fetchall()


def test_rows_of_deterministic_calls_have_the_same_clock(shared: Path) -> None:
    ticks = udfvm.from_elf(shared, "ticks", deterministic=True)
    column = pa.array([[], [], None, [], []], pa.list_(pa.int64()))
    first, *others = ticks(column).to_pylist()
    assert others == [first, None, first, first]
    assert ticks([]) == first


def test_declared_types_are_compared(shared: Path) -> None:
    declared = udfvm.from_elf(shared, "norm", signature="(p: struct<x: f64, y: f64>) -> f64")
    assert declared(POINT) == 3.0
    with pytest.raises(errors.SignatureError, match=r"p is declared as struct<x: .*compiled as"):
        udfvm.from_elf(shared, "norm", signature="(p: struct<x: f64>) -> f64")
    with pytest.raises(errors.SignatureError, match="no nulls, lists and structs"):
        udfvm.from_elf(shared, "main", signature="(p: list<f64>) -> i32")


@pytest.mark.parametrize("language", ["C", "C++"])
def test_structs_with_many_fields(tmp_path: Path, language: str) -> None:
    def compiled(count: int) -> str:
        fields = ", ".join(f"(i64, f{number})" for number in range(count))
        source = (
            f"#include <udfvm.h>\nUDFVM_STRUCT(wide, {fields})\n"
            f"UDFVM_SCALAR(last, i64, (wide, wide)) {{ return wide.f{count - 1}; }}\n"
        )
        command = [*BUILDS[language], "-I", udfvm.get_include(), "-", "-o", str(tmp_path / "made")]
        return subprocess.run(command, input=source, text=True, capture_output=True).stderr

    assert compiled(32) == ""
    last = udfvm.from_elf(tmp_path / "made", "last")
    assert last({f"f{number}": number for number in range(32)}) == 31
    for count in (33, 64):
        assert "wide has too many fields: the maximum is 32" in compiled(count)
