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

import udfvm
import udfvm.arrow
import udfvm.sqlite
from udfvm import errors
from udfvm.sqlite import Policy

# Aggregates in what C and C++ have in common.
SOURCE = r"""
#include <udfvm.h>
#include <sys/random.h>

struct sums { double sum; int64_t count; };

UDFVM_AGGREGATE(average, struct sums, optional_f64, (f64, value))
{
    if (value < -1000)
        udfvm_fail("%g is too small", value);
    group->sum += value;
    group->count++;
}
UDFVM_INVERSE(average, (f64, value))
{
    group->sum -= value;
    group->count--;
}
UDFVM_MERGE(average)
{
    group->sum += other->sum;
    group->count += other->count;
}
UDFVM_FINISH(average)
{
    if (group->sum == -999)
        udfvm_fail("no such sum");
    return group->count ? udfvm_some_f64(group->sum / (double)group->count) : udfvm_null_f64();
}

/* A text of its own memory, and how many groups there are. */
static int64_t alive;
struct longest { char *word; size_t length; };
UDFVM_AGGREGATE(longest, struct longest, text, (optional_text, word))
{
    const udfvm_text found = word.valid ? word.value : (udfvm_text){ "?", 1 };
    if (found.length <= group->length)
        return;
    free(group->word);
    group->word = (char *)malloc(found.length);
    memcpy(group->word, found.data, found.length);
    group->length = found.length;
}
UDFVM_INIT(longest) { alive++; group->word = NULL; }
UDFVM_FREE(longest) { free(group->word); alive--; }
UDFVM_FINISH(longest)
{
    udfvm_text made = { group->word, group->length };
    return made;
}
UDFVM_MERGE(longest)
{
    if (other->length <= group->length)
        return;
    const struct longest mine = *group;
    *group = *other;
    *other = mine;
}
UDFVM_SAVE(longest)
{
    udfvm_blob made = { udfvm_allocate(group->length), group->length };
    memcpy((char *)made.data, group->word, group->length);
    return made;
}
UDFVM_LOAD(longest)
{
    group->length = state.length;
    group->word = (char *)malloc(state.length + 1);
    memcpy(group->word, state.data, state.length);
}

UDFVM_AGGREGATE(groups_alive, bool, i64, (text, ignored)) { *group = ignored.length > 0; }
UDFVM_INIT(groups_alive) { alive++; }
UDFVM_FREE(groups_alive) { alive--; }
UDFVM_FINISH(groups_alive) { return alive; }

UDFVM_STRUCT(span, (f64, low), (optional_f64, high), (text, name))
UDFVM_AGGREGATE(spanned, udfvm_span, optional_span, (list_f64, values), (span, other))
{
    for (size_t i = 0; i < values.length; i++) {
        group->low = values.data[i] < group->low ? values.data[i] : group->low;
        if (!group->high.valid || values.data[i] > group->high.value)
            group->high = udfvm_some_f64(values.data[i]);
    }
    group->low = other.low < group->low ? other.low : group->low;
}
UDFVM_FINISH(spanned)
{
    group->name = (udfvm_text){ "span", 4 };
    return group->low == 0 && !group->high.valid ? udfvm_null_span() : udfvm_some_span(*group);
}

struct five { int64_t at[5], count; };
UDFVM_AGGREGATE(last_five, struct five, list_i64, (i64, value))
{
    group->at[group->count++ % 5] = value;
}
UDFVM_FINISH(last_five)
{
    const int64_t count = group->count < 5 ? group->count : 5;
    udfvm_i64 *items = udfvm_allocate_items(i64, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        items[i] = group->at[(group->count - count + i) % 5];
    udfvm_list_i64 made = { items, (size_t)count };
    return made;
}

UDFVM_AGGREGATE(bits, uint64_t, u64, (u8, bit)) { *group |= (uint64_t)1 << bit; }
UDFVM_FINISH(bits) { return *group; }
UDFVM_AGGREGATE(any_of, bool, optional_boolean, (optional_boolean, value))
{
    *group |= value.valid && value.value;
}
UDFVM_FINISH(any_of) { return udfvm_some_boolean(*group); }
UDFVM_AGGREGATE(rows, int64_t, i32) { ++*group; }
UDFVM_FINISH(rows) { return (udfvm_i32)*group; }

/* The random number that each row got; -1 if they differ. */
UDFVM_AGGREGATE(chance, int64_t, i64, (i64, ignored))
{
    int64_t number = ignored;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        udfvm_fail("no random numbers");
    number = number < 0 ? ~number : number;
    *group = *group == 0 || *group == number ? number : -1;
}
UDFVM_FINISH(chance) { return *group; }

/* Does something wrong, in one of its parts. */
static volatile int64_t how, going = 1;
struct wrong { double aligned __attribute__((aligned(64))); };
UDFVM_AGGREGATE(wrong, struct wrong, text, (i64, value))
{
    how = value;
    if (value == 1)
        *(volatile char *)(intptr_t)how = 1;
    while (value == 2 && going)
        ;
    udfvm_allocate(100000); /* freed after each row */
}
UDFVM_INIT(wrong)
{
    if ((uintptr_t)group % 64)
        udfvm_fail("not aligned");
    if (how == 3)
        udfvm_fail("no second group");
}
UDFVM_FINISH(wrong)
{
    udfvm_text made = { how == 4 ? "\xff" : how == 5 ? NULL : "good", 1 };
    return made;
}
UDFVM_MERGE(wrong)
{
    if (other->aligned == 0)
        udfvm_fail("no merge");
}

UDFVM_AGGREGATE(no_value, int64_t, i64, (i64, value)) { *group = value; }
UDFVM_AGGREGATE(no_load, int64_t, i64, (i64, value)) { *group = value; }
UDFVM_FINISH(no_load) { return *group; }
UDFVM_MERGE(no_load) { *group += *other; }
UDFVM_SAVE(no_load)
{
    udfvm_blob made = { (const char *)group, sizeof *group };
    return made;
}

UDFVM_MAIN
"""
BUILDS = {
    "C": ["gcc", "-std=gnu17", "-shared", "-fPIC", "-x", "c"],
    "C++": ["g++", "-std=gnu++20", "-shared", "-fPIC", "-x", "c++"],
    "program": ["gcc", "-std=gnu17", "-static", "-no-pie", "-x", "c"],
}
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


@pytest.fixture(scope="module", params=BUILDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("groups"), request.param)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("groups"), "C")


def build(folder: Path, name: str) -> Path:
    made = folder / "made"
    flags = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-I", udfvm.get_include()]
    command = [*BUILDS[name], *flags, "-", "-o", str(made)]
    subprocess.run(command, input=SOURCE, text=True, check=True)
    return made


def aggregate(path: Path, function: str, **options: Any) -> udfvm.AggregateFunction:
    found = udfvm.from_elf(path, function, **options)
    assert isinstance(found, udfvm.AggregateFunction)
    return found


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
    with pytest.raises(errors.SignatureError, match=r"nor UDFVM_AGGREGATE\(absent, \.\.\.\)"):
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


CPP = r"""
#include <udfvm.h>
#include <map>
#include <stdexcept>
#include <string>

using counts = std::map<std::string, int64_t>;

UDFVM_AGGREGATE(most, counts, text, (text, word))
{
    if (word.length == 0)
        throw std::invalid_argument("no word");
    ++(*group)[std::string(word.data, word.length)];
}
UDFVM_INVERSE(most, (text, word)) { --(*group)[std::string(word.data, word.length)]; }
UDFVM_MERGE(most) { for (const auto &[word, count] : *other) (*group)[word] += count; }
UDFVM_SAVE(most)
{
    std::string state;
    for (const auto &[word, count] : *group)
        state += word + '\0' + std::to_string(count) + '\0';
    char *made = udfvm_allocate(state.size());
    memcpy(made, state.data(), state.size());
    return { made, state.size() };
}
UDFVM_LOAD(most)
{
    for (const char *at = state.data; at < state.data + state.length;) {
        const std::string word = at;
        const std::string count = at + word.size() + 1;
        (*group)[word] = std::stoll(count);
        at += word.size() + count.size() + 2;
    }
}
UDFVM_FINISH(most)
{
    const std::pair<const std::string, int64_t> *best = nullptr;
    for (const auto &each : *group)
        if (each.second > 0 && (!best || each.second > best->second))
            best = &each;
    if (!best)
        throw std::out_of_range("no rows");
    return { best->first.data(), best->first.size() };
}

struct pieces { std::string text; ~pieces() { ended++; } static int64_t ended; };
int64_t pieces::ended;
UDFVM_AGGREGATE(glued, pieces, text, (text, piece))
{
    group->text.append(piece.data, piece.length);
}
UDFVM_FINISH(glued)
{
    group->text += std::to_string(pieces::ended);
    return { group->text.data(), group->text.size() };
}
UDFVM_AGGREGATE(unsaved, pieces, i64, (text, piece))
{
    group->text.append(piece.data, piece.length);
}
UDFVM_FINISH(unsaved) { return (int64_t)group->text.size(); }
UDFVM_MERGE(unsaved) { group->text += other->text; }
"""


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
