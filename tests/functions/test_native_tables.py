"""Table functions of ``udfvm_table.h``: rows, how far bodies run, and what they do wrong."""

from __future__ import annotations

import contextlib
import itertools
import pickle
from pathlib import Path

import apsw
import pyarrow as pa
import pytest
from native_aggregates import BUILDS, build
from native_tables import CPP, SOURCE, expected_row, table

import udfvm
import udfvm.sqlite
from udfvm import errors
from udfvm.sqlite import Policy


@pytest.fixture(scope="module", params=BUILDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tables"), request.param, SOURCE)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tables"), "C", SOURCE)


def test_rows_of_all_types(made: Path) -> None:
    rows = table(made, "rows")
    assert repr(rows).startswith("<table UDF rows(count: int64) -> (number: int64, name: string")
    assert list(rows(2000)) == [expected_row(i) for i in range(2000)]
    assert list(rows(0)) == []
    batches = list(rows.batches(200))
    assert [batch.num_rows for batch in batches] == [64, 128, 8]
    assert batches[0].schema.field("big").type == pa.uint64()


def test_rows_that_are_no_structs(made: Path) -> None:
    count_up = table(made, "count_up")
    assert [(column.name, str(column.type)) for column in count_up.columns] == [("value", "int64")]
    assert list(count_up(40_000)) == [(i,) for i in range(40_000)]
    assert list(table(made, "nothing")()) == []


def test_bodies_run_only_as_far_as_rows_are_asked_for(made: Path) -> None:
    assert list(itertools.islice(table(made, "count_up")(-1), 1000)) == [(i,) for i in range(1000)]
    heard: list[int] = []

    def tell(number: int) -> int:
        heard.append(number)
        return 0

    told = table(made, "told", host_functions=[tell])
    with contextlib.closing(told(1000)) as rows:
        assert list(itertools.islice(rows, 3)) == [(0,), (None,), (2,)]
    assert heard == list(range(64))
    heard.clear()
    assert len(list(told(100))) == 100
    assert heard == list(range(100))


def test_parameters_last_as_long_as_the_body(made: Path) -> None:
    echoes = table(made, "echoes")
    numbers = [1.5, None]
    assert list(echoes("é" * 500, numbers, 5000)) == [("é" * 500, 1.5), ("é" * 500, None)] * 5000
    assert list(echoes("", numbers, None)) == [("", 1.5), ("", None)] * 2
    assert list(echoes(None, numbers, 1)) == []


def test_map(made: Path) -> None:
    counts = [3, None, 0, 20_000, 1, 5000] * 20
    source = pa.table({"id": range(len(counts)), "count": pa.array(counts, pa.int64())})
    found = table(made, "count_up").map(source, keep=["id"])
    expected = [(row, i) for row, count in enumerate(counts) for i in range(count or 0)]
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected
    words = {"word": ["a", None, "b"], "numbers": [[1.0], [2.0], [3.0]], "times": [1, 2, None]}
    echoed = table(made, "echoes").map(pa.table(words), keep=[])
    assert echoed.to_pydict() == {"word": ["a", "b", "b"], "number": [1.0, 3.0, 3.0]}


def test_sql(made: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *(table(made, name) for name in ("count_up", "echoes")))
    found = connection.execute("SELECT sum(value), count(*) FROM count_up(100000)").fetchall()
    assert found == [(4999950000, 100_000)]
    sql = "SELECT word, number FROM echoes('w', '[1, null]', 1)"
    assert connection.execute(sql).fetchall() == [("w", 1.0), ("w", None)]
    # Bodies are left in their midst again and again, while another one stands.
    correlated = (
        "SELECT a.value, (SELECT value FROM count_up(-1) WHERE value > 1000 * a.value LIMIT 1)"
        " FROM count_up(50) AS a"
    )
    assert connection.execute(correlated).fetchall() == [(i, 1000 * i + 1) for i in range(50)]
    by_name = "SELECT * FROM vm_table('count_up', 3)"
    assert len(connection.execute(by_name).fetchall()) == 3


@pytest.mark.parametrize("good", [0, 10, 64, 1000])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fails", "RuntimeError: after {} rows"),
        ("returns", "RuntimeError: at last"),
        ("utf8", "RuntimeError: the function returned text that is not valid UTF-8"),
        ("null", "RuntimeError: the function returned a text of length 1 without data"),
    ],
)
def test_rows_before_a_failure_are_there(made: Path, good: int, how: str, message: str) -> None:
    wrong = table(made, "wrong")
    found = []
    with pytest.raises(udfvm.UDFError, match=message.format(good)):
        for row in wrong(good, how):
            found.append(row)
    assert found == [("good",)] * good
    assert list(wrong(2, "-")) == [("good",)] * 2


def test_failures_in_map_and_sql(made: Path) -> None:
    wrong = table(made, "wrong")
    source = pa.table({"good": [3, 100, 5], "how": ["-", "fails", "-"]})
    with pytest.raises(udfvm.UDFError, match=r"row 1: RuntimeError: after 100 rows") as caught:
        wrong.map(source)
    assert caught.value.row == 1
    with pytest.warns(udfvm.FailedRowsWarning):
        assert wrong.map(source, on_error="skip").num_rows == 8
    with pytest.raises(errors.TypeMappingError, match=r"'numbers' .*an array is expected|numbers"):
        list(table(made, "echoes")("a", 3, 1))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, wrong)
    with pytest.raises(apsw.SQLError, match="after 70 rows"):
        connection.execute("SELECT * FROM wrong(70, 'fails')").fetchall()
    assert connection.execute("SELECT count(*) FROM wrong(70, '-')").fetchall() == [(70,)]


def test_crashes_and_endless_bodies(made: Path) -> None:
    wrong = table(made, "wrong", timeout=1)
    with pytest.raises(udfvm.GuestCrashError, match=r"(?s)SIGSEGV.*wrong"):
        list(wrong(100, "crash"))
    with pytest.raises(udfvm.CallTimeoutError):
        list(wrong(100, "endless"))
    assert len(list(wrong(100, "-"))) == 100


def test_large_rows(made: Path) -> None:
    large = table(made, "large", max_output="8MiB")
    sizes = [len(row) for (row,) in large(40, 1 << 20)]
    assert sizes == [1 << 20] * 40
    assert all(batch.num_rows < 8 for batch in large.batches(40, 1 << 20))
    with pytest.raises(udfvm.OutputLimitError):
        list(large(1, 9 << 20))


def test_rows_of_deterministic_calls_have_the_same_chance(shared: Path) -> None:
    source = pa.table({"ignored": range(50)})
    chance = table(shared, "chance", deterministic=True).map(source)["value"].to_pylist()
    assert len(set(chance)) == 1
    assert len(set(table(shared, "chance").map(source)["value"].to_pylist())) == 50


def test_copies_signatures_and_lists(shared: Path) -> None:
    count_up = table(shared, "count_up", signature="(count: i64) ->> i64")
    assert list(pickle.loads(pickle.dumps(count_up))(2)) == [(0,), (1,)]
    assert list(count_up.with_options(timeout=2)(1)) == [(0,)]
    listed = {each.name: each for each in udfvm.wasm.exports(shared)}
    assert (listed["count_up"].kind, listed["count_up"].signature) == (
        "table function",
        "(count: i64) ->> i64",
    )
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True))
    with pytest.raises(apsw.SQLError, match="count_up is a table function, and a database stores"):
        connection.execute(
            "SELECT vm_create('count_up', 'native', ?, '(count int) -> int')",
            (shared.read_bytes(),),
        )


def test_bodies_of_cpp() -> None:
    words = udfvm.from_c(CPP, "words")
    assert isinstance(words, udfvm.TableFunction)
    found = []
    with pytest.raises(udfvm.UDFError, match="std::out_of_range: no more of abc"):
        for (word,) in words("abc!"):
            found.append(word)
    assert found == ["a", "ab", "abc"]
    assert [len(word) for (word,) in itertools.islice(words("xy"), 300)] == list(range(1, 301))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, words)
    left = (
        "SELECT (SELECT value FROM words(CASE WHEN i < 4 THEN 'xy' ELSE '' END) LIMIT 1)"
        " FROM (SELECT 1 AS i UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) ORDER BY i"
    )
    assert connection.execute(left).fetchall() == [("x",), ("x",), ("x",), ("3",)]
