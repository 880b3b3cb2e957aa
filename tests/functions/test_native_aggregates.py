"""Aggregates of ``udfvm_groups.h``: uses, values, states, nulls, and what a body does wrong."""

from __future__ import annotations

import pickle
import statistics
import subprocess
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest
from native_aggregates import BUILDS, CPP, aggregate, build

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm import errors
from udfvm.sqlite import Policy

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


@pytest.fixture(scope="module", params=BUILDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("groups"), request.param)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("groups"), "C")


def test_columns(made: Path) -> None:
    average = aggregate(made, "average")
    assert repr(average) == "<aggregate UDF average(value: double) -> double>"
    assert (average.has_inverse, average.has_merge) == (True, True)
    assert average(pa.array([1.0, None, 5.0])) == 3.0
    assert average(pa.array([], pa.float64())) is None
    longest = aggregate(made, "longest")
    assert (longest.has_inverse, longest.has_merge) == (False, True)
    assert longest(pa.array(["a", "longest", None, "b"])) == "longest"
    assert longest(pa.array([None], pa.string())) == "?"
    assert longest(pa.array([], pa.string())) == ""
    bits = aggregate(made, "bits")
    assert bits(pa.array([0, 63, None], pa.uint8())) == 2**63 + 1
    assert aggregate(made, "any_of")(pa.array([None, False, True])) is True
    assert aggregate(made, "last_five")(pa.array([*range(7)])) == [2, 3, 4, 5, 6]


def test_lists_and_structs(made: Path) -> None:
    spanned = aggregate(made, "spanned")
    other = {"low": -2.0, "high": None, "name": "x"}
    lists = pa.array([[3.0, -1.0], [], None, [9.0]], pa.list_(pa.float64()))
    expected = {"low": -2.0, "high": 9.0, "name": "span"}
    assert spanned(lists, pa.array([other] * 4, spanned.parameters[1].type.arrow)) == expected
    assert spanned(lists[:0], pa.array([], spanned.parameters[1].type.arrow)) is None
    wrong = pa.array([[1.0], [2.0, None], [0.5]])
    message = r"row 1: argument 'values' .*an item is null"
    with pytest.raises(errors.TypeMappingError, match=message):
        spanned(wrong, pa.array([other] * 3, spanned.parameters[1].type.arrow))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, spanned, aggregate(made, "last_five"))
    sql = """SELECT spanned('[1, 4]', '{"low": 0, "high": 1, "name": "é"}'), last_five(7)"""
    assert connection.execute(sql).fetchall() == [('{"low":0.0,"high":4.0,"name":"span"}', "[7]")]


def test_sql(made: Path) -> None:
    connection = apsw.Connection(":memory:")
    names = ("average", "longest", "rows", "groups_alive")
    udfvm.sqlite.register(connection, *(aggregate(made, name) for name in names))

    def query(sql: str) -> list[Any]:
        return connection.execute(sql).fetchall()

    found = query(
        NUMBERS.format(1000)
        + "SELECT i % 7 AS g, average(i), longest(CAST(i % 7 AS TEXT)), rows(),"
        " vm_agg('average', i) FROM n GROUP BY g ORDER BY g"
    )
    groups = {g: [i for i in range(1, 1001) if i % 7 == g] for g in range(7)}
    assert found == [
        (g, statistics.mean(of), str(g), len(of), statistics.mean(of)) for g, of in groups.items()
    ]
    assert query("SELECT average(1), rows(), longest('a') WHERE 0") == [(None, 0, "")]
    assert query("SELECT average(NULL), average(DISTINCT 2)") == [(None, 2.0)]
    windows = (
        "SELECT average(i) OVER (ORDER BY i ROWS 2 PRECEDING), rows() OVER (ORDER BY i) FROM n"
    )
    assert query(NUMBERS.format(5) + windows) == [
        (1.0, 1),
        (1.5, 2),
        (2.0, 3),
        (3.0, 4),
        (4.0, 5),
    ]
    with pytest.raises(apsw.SQLError, match=r"rows.* has no inverse\(\)"):
        query(NUMBERS.format(5) + "SELECT rows() OVER (ORDER BY i ROWS 1 PRECEDING) FROM n")
    for _ in range(2):  # a group that ends is freed, and so is all when the statement ends
        assert query(
            NUMBERS.format(50) + "SELECT max(x) FROM"
            " (SELECT groups_alive('g') AS x FROM n GROUP BY i)"
        ) == [(1,)]


def test_many_groups_at_once(made: Path) -> None:
    average = aggregate(made, "average", name="average_of_c")
    udfvm.arrow.register(None, average)
    try:
        groups = np.random.default_rng(1).integers(0, 5000, 100_000)
        table = pa.table({"g": groups, "x": np.arange(100_000.0)})
        found = table.group_by("g").aggregate([("x", "average_of_c"), ("x", "mean")])
        assert found["x_average_of_c"].to_pylist() == pytest.approx(found["x_mean"].to_pylist())
    finally:
        udfvm.arrow.unregister(None, average)


def test_states(made: Path) -> None:
    numbers = np.arange(300_000.0)
    average, longest = aggregate(made, "average"), aggregate(made, "longest")
    assert average(numbers) == numbers.mean()
    assert average.map(pa.table({"value": numbers}), threads=2) == numbers.mean()
    words = pa.table({"word": pa.array(["word"] * 299_999 + ["the longest"])})
    assert longest(words["word"]) == "the longest"
    assert longest.map(words, threads=2) == "the longest"
    with average._begin(average._calls) as group:
        group.feed([pa.array([1.0])])
        with pytest.raises(udfvm.UDFError, match="a group has 3 bytes where it has 16"):
            group.merge(b"abc")
    with aggregate(made, "wrong")._begin(aggregate(made, "wrong")._calls) as group:
        group.feed([pa.array([0])])
        with pytest.raises(udfvm.UDFError, match="no merge"):
            group.merge(bytes(64))


def test_failures_have_their_row(made: Path) -> None:
    average = aggregate(made, "average")
    with pytest.raises(udfvm.UDFError, match=r"row 3: RuntimeError: -2000 is too small") as caught:
        average(pa.array([1.0, None, 2.0, -2000.0, 3.0]))
    assert caught.value.row == 3
    with pytest.raises(udfvm.UDFError, match="RuntimeError: no such sum"):
        average(np.array([-999.0]))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, average)
    with pytest.raises(apsw.SQLError, match="-5000 is too small"):
        connection.execute("SELECT average(x) FROM (SELECT 1 AS x UNION SELECT -5000)").fetchall()
    with pytest.raises(udfvm.UDFError, match="-1001 is too small"):
        average.map(pa.table({"value": [1.0, -1001.0]}))
    assert average(np.ones(12)) == 1.0


def test_what_a_body_does_wrong(made: Path) -> None:
    wrong = aggregate(made, "wrong", timeout=1)
    assert wrong(np.zeros(3000, np.int64)) == "g"
    with pytest.raises(udfvm.GuestCrashError, match=r"(?s)SIGSEGV.*udfvm_take_wrong"):
        wrong(np.array([0, 1]))
    with pytest.raises(udfvm.CallTimeoutError):
        wrong(np.array([2]))
    with pytest.raises(udfvm.UDFError, match="returned text that is not valid UTF-8"):
        wrong(np.array([4]))
    with pytest.raises(udfvm.UDFError, match="returned a text or blob without data"):
        wrong(np.array([5]))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, wrong)
    with pytest.raises(apsw.SQLError, match="no second group"):
        connection.execute(
            "SELECT wrong(x) OVER (PARTITION BY g) FROM (SELECT 1 AS g, 3 AS x UNION SELECT 2, 0)"
        ).fetchall()
    assert wrong(np.array([0])) == "g"


def test_parts_that_are_missing(shared: Path) -> None:
    with pytest.raises(errors.SignatureError, match=r"has no value: define it with UDFVM_FINISH"):
        udfvm.from_elf(shared, "no_value")
    with pytest.raises(errors.SignatureError, match=r"UDFVM_SAVE and UDFVM_LOAD"):
        udfvm.from_elf(shared, "no_load")
    with pytest.raises(errors.SignatureError, match="UDFVM_AGGREGATE or UDFVM_TABLE defines it"):
        udfvm.from_elf(shared, "absent")


@pytest.mark.parametrize("language", ["C", "C++"])
def test_an_inverse_of_other_parameters(tmp_path: Path, language: str) -> None:
    source = (
        "#include <udfvm.h>\nUDFVM_AGGREGATE(f, int64_t, i64, (i64, x)) { *group += x; }\n"
        "UDFVM_FINISH(f) { return *group; }\nUDFVM_INVERSE(f, (i32, x)) { *group -= x; }\n"
    )
    command = [*BUILDS[language], "-I", udfvm.get_include(), "-", "-o", str(tmp_path / "made")]
    done = subprocess.run(command, input=source, text=True, capture_output=True)
    assert done.returncode != 0
    assert ("f does not have these parameters" if language == "C" else "conversion") in done.stderr


def test_groups_of_cpp() -> None:
    most = udfvm.from_c(CPP, "most")
    assert isinstance(most, udfvm.AggregateFunction)
    words = pa.array(["to", "be", "or", "not", "to", "be", "to"])
    assert most(words) == "to"
    many = pa.array(["b"] * 200_000 + ["a"] * 100_000)
    assert (most(many), most.map(pa.table({"word": many}))) == ("b", "b")
    with pytest.raises(udfvm.UDFError, match="row 1: std::invalid_argument: no word") as caught:
        most(pa.array(["a", ""]))
    assert caught.value.guest_type == "std::invalid_argument"
    with pytest.raises(udfvm.UDFError, match="std::out_of_range: no rows"):
        most(pa.array([], pa.string()))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, most, udfvm.from_c(CPP, "glued"))
    sql = "SELECT most(v) OVER (ORDER BY i ROWS 1 PRECEDING) FROM (SELECT 1 AS i, 'b' AS v" + (
        " UNION SELECT 2, 'a' UNION SELECT 3, 'c')"
    )
    assert [value for (value,) in connection.execute(sql)] == ["b", "a", "a"]
    ended = "SELECT glued(v) FROM (SELECT 1 AS i, 'b' AS v UNION SELECT 2, 'a') GROUP BY i"
    assert connection.execute(ended).fetchall() == [("b0",), ("a1",)]
    with pytest.raises(errors.SignatureError, match=r"more than its bytes.*UDFVM_SAVE"):
        udfvm.from_c(CPP, "unsaved")


def test_rows_of_deterministic_calls_have_the_same_chance(shared: Path) -> None:
    chance = aggregate(shared, "chance", deterministic=True)
    assert chance(np.zeros(50, np.int64)) == chance(np.zeros(9, np.int64)) > 0
    assert aggregate(shared, "chance")(np.zeros(50, np.int64)) == -1


def test_copies_signatures_and_lists(shared: Path) -> None:
    average = aggregate(shared, "average", signature="(value: f64) -> f64?")
    assert pickle.loads(pickle.dumps(average))(np.ones(2)) == 1.0
    assert average.with_options(timeout=2)(np.ones(2)) == 1.0
    with pytest.raises(errors.SignatureError, match="declared as f64, and compiled as f64 or null"):
        udfvm.from_elf(shared, "average", signature="(value: f64) -> f64")
    with pytest.raises(errors.TypeMappingError, match="called with columns"):
        average(1.0)
    listed = {each.name: each for each in udfvm.wasm.exports(shared)}
    assert (listed["average"].kind, listed["average"].signature) == (
        "aggregate",
        "(value: f64) -> f64?",
    )
    assert not listed["no_value"].usable


def test_a_database_does_not_store_them(shared: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True))
    with pytest.raises(apsw.SQLError, match="average is an aggregate, and a database stores"):
        connection.execute(
            "SELECT vm_create('average', 'native', ?, '(value double) -> double')",
            (shared.read_bytes(),),
        )


PRICED = r"""
#include <udfvm.h>
UDFVM_AGGREGATE(priced, double, f64, (text, article))
{
    struct udfvm_any argument = udfvm_any_text(article), found;
    if (udfvm_call_host("price", &argument, 1, &found))
        *group += found.real;
}
UDFVM_FINISH(priced) { return *group; }
"""


def test_host_functions() -> None:
    def price(article: str) -> float:
        return float(len(article))

    priced = udfvm.from_c(PRICED, "priced", host_functions=[price])
    assert priced(pa.array(["a", None, "abc"])) == 4.0
    with pytest.raises(udfvm.UDFError, match=r"row 0: RuntimeError: price: "):
        udfvm.from_c(PRICED, "priced")(pa.array(["a"]))
