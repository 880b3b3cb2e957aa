"""Lists, records, tuples, options, enums and flags of components, as Arrow types and as JSON."""

from __future__ import annotations

import json
import random

import apsw
import pyarrow as pa
import pytest
from wit_components import Wit, list_of, option, record, same, simple, tuple_of

import udfvm
from udfvm import errors

NUMBER = simple("f64")
TEXT = simple("string")
HUE = Wit("enum", words=("red", "light-green", "blue"))
MARKS = Wit("flags", words=("a", "b", "c-d"))
POINT = record(x=NUMBER, y=NUMBER)

TYPES = [
    *map(
        simple,
        ("bool", "s8", "s16", "s32", "s64", "u16", "u32", "u64", "f32", "f64", "string", "char"),
    ),
    list_of(simple("u8")),
    HUE,
    MARKS,
    option(simple("s64")),
    option(TEXT),
    list_of(list_of(option(simple("bool")))),
    POINT,
    record(first_name=TEXT, id=simple("u64"), tags=list_of(TEXT), bytes=list_of(simple("u8"))),
    option(record(x=option(NUMBER), hue=HUE, marks=option(MARKS), letter=simple("char"))),
    tuple_of(simple("s16"), option(tuple_of(TEXT, list_of(POINT)))),
    list_of(
        option(
            record(
                path=list_of(tuple_of(simple("u8"), simple("f32"))),
                inner=record(deep=option(list_of(option(TEXT)))),
            )
        )
    ),
]


def function(item: Wit, **options: object) -> udfvm.ScalarFunction:
    return udfvm.from_wasm(same(item), "same", **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_is_larger_than_the_window_is_cut() -> None:
    udf = function(TEXT, memory="512MiB", timeout=300)
    column = pa.array([["x" * 300_000]] * 500, udf.parameters[0].type.arrow)
    assert udf(column).equals(column)


@pytest.mark.parametrize("item", TYPES, ids=lambda item: item.arrow())
def test_lists_come_back_as_they_went(item: Wit) -> None:
    chance = random.Random(item.arrow())
    udf, arrow = function(item), f"list<item: {item.arrow()}>"
    assert repr(udf) == f"<UDF same(the_list: {arrow}) -> {arrow}>"
    rows = [list_of(item).value(chance) for _ in range(70)]
    rows[3] = rows[8] = None
    column = pa.array(rows, udf.parameters[0].type.arrow)
    assert udf(column).equals(column)
    assert udf(column.slice(2, 20)).equals(column.slice(2, 20))
    assert udf(pa.chunked_array([column.slice(60), column.slice(0, 0), column])).to_pylist() == [
        *rows[60:],
        *rows,
    ]
    assert [udf(row) for row in rows[:5]] == rows[:5]


def test_large_batches() -> None:
    udf = function(record(id=simple("s64"), name=option(TEXT)))
    rows = [
        [{"id": number, "name": None if number % 3 else str(number)}] * (number % 4)
        for number in range(50_000)
    ]
    column = pa.array(rows, udf.parameters[0].type.arrow)
    assert udf(column).equals(column)


def test_results_that_are_too_large() -> None:
    udf = function(TEXT, max_output="10KiB")
    assert udf(["a" * 9000]) == ["a" * 9000]
    with pytest.raises(errors.OutputLimitError):
        udf(["a" * 11_000])
    connection = sql(function(TEXT, max_output="10KiB", name="limited"))
    with pytest.raises(apsw.SQLError, match="raise max_output="):
        connection.execute("SELECT limited(json_array(hex(zeroblob(6000))))").fetchall()


def nested(item: Wit, depth: int) -> Wit:
    for _ in range(depth):
        item = list_of(record(inner=item))
    return item


def test_deep_types() -> None:
    udf = function(nested(simple("s32"), 13))
    value: object = -5
    for _ in range(13):
        value = [{"inner": value}]
    assert udf([value]) == [value]
    with pytest.raises(errors.SignatureError, match="the_list has types that are nested too deep"):
        function(nested(simple("s32"), 16))


def test_wide_types() -> None:
    item = record(**{f"field{number}": option(simple("s32")) for number in range(200)})
    udf = function(item)
    value = {f"field{number}": number if number % 2 else None for number in range(200)}
    assert udf([value]) == [value]


def test_nulls_where_there_is_no_option() -> None:
    udf = function(record(x=NUMBER, names=list_of(TEXT)))
    type_ = udf.parameters[0].type.arrow
    good = [{"x": 1.0, "names": ["a"]}]
    for bad, message in (
        ({"x": None, "names": []}, "the field x is null, and its type is not an option"),
        ({"x": 1.0, "names": None}, "the field names is null"),
        ({"x": 1.0, "names": ["a", None]}, "an item is null"),
        (None, "an item is null"),
    ):
        with pytest.raises(
            udfvm.TypeMappingError,
            match=rf"row 1: argument 'the_list' \(position 1\) is not valid: {message}",
        ):
            udf(pa.array([good, [*good, bad], good], type_))
    assert udf(pa.array([None, good], type_)).to_pylist() == [None, good]


def test_words_that_a_type_does_not_have() -> None:
    told, refused = udfvm.UDFError, udfvm.TypeMappingError  # by wasmtime; by what makes arguments
    for item, bad, class_, message in (
        (HUE, "purple", told, "purple"),
        (MARKS, ["a", "z"], told, "z"),
        (MARKS, ["a", None], refused, "null"),
        (simple("char"), "ab", refused, "is 'ab', which is not one character"),
        (simple("char"), "", refused, "is not one character"),
    ):
        udf = function(item)
        with pytest.raises(class_, match=f"row 1: .*{message}"):
            udf(pa.array([[], [bad]], udf.parameters[0].type.arrow))


def sql(*functions: udfvm.ScalarFunction) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *functions, policy=udfvm.sqlite.Policy(allow_create=True))
    return connection


@pytest.mark.parametrize("isolation", ["row", "statement"])
def test_json_in_sql(isolation: str) -> None:
    item = record(
        id=simple("s64"),
        x=option(NUMBER),
        tags=list_of(TEXT),
        data=option(list_of(simple("u8"))),
        on=simple("bool"),
    )
    connection = sql(function(item, isolation=isolation))
    query = """WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
        SELECT same(json_array(json_object('on', i % 2, 'id', i,
            'tags', json_array('a' || i, char(233, 34, 10)), 'data', hex('z')))) FROM n"""
    expected = [
        [{"id": i, "x": None, "tags": [f"a{i}", 'é"\n'], "data": "7A", "on": i % 2 == 1}]
        for i in range(1, 21)
    ]
    assert [json.loads(text) for (text,) in connection.execute(query)] == expected
    assert connection.execute("SELECT same('[]'), same(NULL), same(' null ')").fetchall() == [
        ("[]", None, None)
    ]
    arguments = """'[{"id": -9223372036854775808, "x": 1.5e3, "tags": [], "on": true}]'"""
    assert connection.execute(
        f"SELECT same({arguments}) ->> '$[0].id', json_array(same({arguments}))"
    ).fetchall() == [
        (-(2**63), '[[{"id":-9223372036854775808,"x":1500.0,"tags":[],"data":null,"on":true}]]')
    ]


def test_many_rows_of_sql() -> None:
    connection = sql(function(POINT))
    rows = (
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i, CASE WHEN i"
        " % 5 THEN "
    )
    mapped = (
        f"SELECT key, value FROM vm_map('same', '{rows} json_array(json_object(''x'', i, ''y'', i *"
        " 0.5)) END FROM n')"
    )
    expected = [
        (i, json.dumps([{"x": float(i), "y": i * 0.5}], separators=(",", ":")) if i % 5 else None)
        for i in range(1, 3001)
    ]
    assert connection.execute(mapped).fetchall() == expected
    bad = mapped.replace("i * 0.5", "CASE i WHEN 7 THEN ''half'' ELSE 1 END")
    with pytest.raises(
        apsw.SQLError,
        match=(
            r"row 6: argument 'the_list' \(position 1\) is not valid: at byte 12 of its JSON a"
            ' number is expected, not "half'
        ),
    ):
        connection.execute(bad).fetchall()


BAD_JSON = [
    ("", "its JSON ends where an array is expected"),
    ("{}", r"at byte 0 of its JSON an array is expected, not \{\}"),
    ("[1]", r"at byte 1 of its JSON an object is expected, not 1\]"),
    ('[{"n": 1]', r"at byte 8 of its JSON a comma or the end of an object is expected, not \]"),
    ('[{"n": 1} {}]', r"at byte 10 of its JSON a comma or the end of an array is expected"),
    ('[{"n": 1}] x', "at byte 11 of its JSON the end is expected, not x"),
    ('[{"n": 1,}]', r"at byte 9 of its JSON a key is expected, not \}\]"),
    ('[{"n" 1}]', "at byte 6 of its JSON a colon is expected"),
    (
        '[{"z": 1}]',
        (
            'at byte 2 its JSON has the key "z"; the type is struct<n: int8, t: string, f: float,'
            " u: uint64, b: bool, y: binary>"
        ),
    ),
    ('[{"n": 1, "n": 2}]', 'at byte 10 its JSON has the key "n" again'),
    (
        '[{"n": 128}]',
        r"argument 'the_list' \(position 1\) is not valid: 128, at byte 7 of its JSON, is out of"
        " range of int8",
    ),
    ('[{"n": -129}]', "-129, at byte 7 of its JSON, is out of range"),
    ('[{"n": 1e30}]', "1e30, at byte 7 of its JSON, is out of range"),
    ('[{"n": 0.5}]', "0.5, at byte 7 of its JSON, is out of range of int8"),
    ('[{"n": 01}]', "an integer is expected, not 01"),
    ('[{"n": +1}]', "an integer is expected"),
    ('[{"n": "1"}]', "an integer is expected"),
    ('[{"n": -}]', "an integer is expected"),
    ('[{"f": 1.}]', "a number is expected"),
    ('[{"f": .5}]', "a number is expected"),
    ('[{"f": 1e}]', "a number is expected"),
    ('[{"f": NaN}]', "a number is expected"),
    ('[{"f": 1e39}]', "1e39, at byte 7 of its JSON, is out of range of float"),
    ('[{"u": -1}]', "-1, at byte 7 of its JSON, is out of range of uint64"),
    (
        '[{"u": 18446744073709551616}]',
        "18446744073709551616, at byte 7 of its JSON, is out of range of uint64",
    ),
    ('[{"b": 2}]', "true or false is expected, not 2"),
    ('[{"t": 5}]', "a string is expected, not 5"),
    ('[{"t": "a\nb"}]', "the end of a string is expected"),
    ('[{"t": "a', "its JSON ends where the end of a string is expected"),
    ('[{"t": "\\x"}]', "an escape of JSON"),
    ('[{"t": "\\u12g4"}]', "an escape of JSON"),
    ('[{"t": "\\ud800"}]', "an escape of JSON"),
    ('[{"t": "\\udc00"}]', "an escape of JSON"),
    ('[{"t": "\\ud800\\u0041"}]', "an escape of JSON"),
    ('[{"y": "abc"}]', "a string of hexadecimal digits"),
    ('[{"y": "zz"}]', "a string of hexadecimal digits"),
    ("[" * 10_000, "an object is expected"),
]


def everything() -> udfvm.ScalarFunction:
    fields = {"n": "s8", "t": "string", "f": "f32", "u": "u64", "b": "bool"}
    return function(
        record(
            **{name: option(simple(type_)) for name, type_ in fields.items()},
            y=option(list_of(simple("u8"))),
        )
    )


@pytest.mark.parametrize(("text", "message"), BAD_JSON)
def test_json_that_does_not_fit(text: str, message: str) -> None:
    with pytest.raises(apsw.SQLError, match=message):
        sql(everything()).execute("SELECT same(?)", (text,)).fetchall()


def test_json_that_fits() -> None:
    connection = sql(everything())
    for given, expected in (
        ('[{"t": "\\u00e9\\ud83d\\ude42\\n\\/\\"\\\\\\b\\f\\r\\t"}]', {"t": 'é🙂\n/"\\\b\f\r\t'}),
        ('\t[ { "n" : 1.0e2 ,\r\n"u":18446744073709551615 } ] ', {"n": 100, "u": 2**64 - 1}),
        ('[{"u": 1e19, "n": -128, "f": 16777217}]', {"u": 10**19, "n": -128, "f": 16777216.0}),
        ('[{"y": "00fFA9", "b": false, "f": -0.0}]', {"y": "00FFA9", "b": False, "f": -0.0}),
        ('[{"y": "", "t": "", "b": 1, "f": 0.1}]', {"y": "", "t": "", "b": True, "f": 0.1}),
        ("[{}]", {}),
    ):
        found = json.loads(connection.execute("SELECT same(?)", (given,)).fetchall()[0][0])
        assert found == [dict.fromkeys("ntfuby") | expected]


def test_numbers_in_json_are_exact() -> None:
    connection = sql(function(NUMBER))
    chance = random.Random(5)
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2.0**60, 123456789.125]
    numbers += [chance.random() * 10 ** chance.randint(-20, 20) for _ in range(300)]
    found = json.loads(
        connection.execute("SELECT same(?)", (json.dumps(numbers),)).fetchall()[0][0]
    )
    assert found == numbers
    assert all(isinstance(number, float) for number in found)


def test_a_component_stored_in_a_database() -> None:
    connection = sql()
    connection.execute("SELECT vm_create('same', 'wasm', ?, '(json) -> json')", (same(POINT),))
    query = """SELECT vm_udf('same', '[{"x": 1, "y": 2}]'),
        json_array(vm_udf('same', json_array(json_object('y', 0.5, 'x', 0))))"""
    assert connection.execute(query).fetchall() == [
        ('[{"x":1.0,"y":2.0}]', '[[{"x":0.0,"y":0.5}]]')
    ]
    with pytest.raises(apsw.SQLError, match="is null, and its type is not an option"):
        connection.execute("SELECT vm_udf('same', '[{}]')").fetchall()


def test_declared_types() -> None:
    udf = function(
        POINT, signature="(points: list<struct<x: f64, y: f64>>) -> list<struct<x: f64, y: f64>>"
    )
    assert udf([{"x": 1.0, "y": 2.0}]) == [{"x": 1.0, "y": 2.0}]
    message = (
        "points is declared as list<item: struct<x: double>>, and compiled as list<item: struct<x:"
        " double, y: double>>"
    )
    with pytest.raises(errors.SignatureError, match=message):
        function(POINT, signature="(points: list<struct<x: f64>>) -> list<struct<x: f64, y: f64>>")


def test_arguments_of_another_type() -> None:
    udf = function(POINT)
    with pytest.raises(errors.TypeMappingError, match="'z', which is not a field of"):
        udf([{"x": 1.0, "z": 2.0}])
    with pytest.raises(errors.TypeMappingError):
        udf(pa.array([["a"]]))


def test_plain_functions_take_none() -> None:
    with pytest.raises(errors.SignatureError, match="takes and returns no nulls, lists and struct"):
        udfvm.from_c("double f(void) { return 0; }", "f", signature="(points: list<f64>) -> f64")


def test_modules_of_numbers_take_none() -> None:
    text = '(module (func (export "f") (param f64) (result f64) local.get 0))'
    with pytest.raises(
        errors.SignatureError, match="x is f64 in the module, which the declared type does not fit"
    ):
        udfvm.from_wasm(text, "f", signature="(x: list<f64>) -> f64")
