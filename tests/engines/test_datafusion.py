"""Functions in DataFusion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_functions import Products, Total, parts, ratio, shown, upto

import udfvm

datafusion = pytest.importorskip("datafusion")


TABLE = pa.table(
    {
        "a": [1.0, 2.0, None, 4.0],
        "b": [1, 0, 3, 4],
        "key": ["x", "x", "y", "y"],
    }
)


@udfvm.udf(deterministic=True)
def answer() -> int:
    return 42


@udfvm.udf(input_types=[pa.uuid(), pa.dictionary(pa.int8(), pa.string())], output_type=pa.uuid())
def same(id, name):  # type: ignore[no-untyped-def]
    return id if name == "a" else None


@pytest.fixture(params=[1, 3])
def context(request: pytest.FixtureRequest) -> Any:
    """A session with the functions, and the table in so many partitions."""
    made = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(2))
    udfvm.datafusion.register(made, ratio, shown, Total, Products, upto, parts, answer, same)
    batches = TABLE.to_batches(max_chunksize=2 if request.param > 1 else None)
    made.register_record_batches("t", [[each] for each in batches])
    return made


def rows(context: Any, query: str) -> list[tuple[Any, ...]]:
    table = context.sql(query).to_arrow_table()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_scalar_functions(context: Any) -> None:
    query = "SELECT ratio(a, b), ratio(b, 2) AS c, shown(key, '?'), answer() FROM t ORDER BY key, b"
    assert rows(context, query) == [
        (None, 0.0, "x?", 42),
        (1.0, 0.5, "x?", 42),
        (None, 1.5, "y?", 42),
        (1.0, 2.0, "y?", 42),
    ]
    assert rows(context, "SELECT shown(NULL, 'a'), ratio(NULL, 1.0)") == [("Nonea", None)]
    assert rows(context, "SELECT ratio(a, 1.0) FROM t WHERE false") == []
    assert rows(context, "SELECT count(*) FROM t WHERE RATIO(a, 1.0) > 1") == [(2,)]


def test_volatility(context: Any) -> None:
    answered = context.sql("SELECT answer() AS x, ratio(1.0, 2.0) AS y FROM t")
    plan = answered.optimized_logical_plan().display_indent()
    assert "Int64(42)" in plan and "ratio(Float64(1), Float64(2))" in plan
    udfvm.datafusion.register(context, ratio.with_options(deterministic=True))
    plan = context.sql("SELECT ratio(1.0, 2.0)").optimized_logical_plan().display_indent()
    assert "Float64(0.5)" in plan


def test_views_of_text_and_encodings(context: Any, tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    context.register_parquet("p", str(tmp_path / "t.parquet"))
    assert context.table("p").schema().field("key").type == pa.string_view()
    assert rows(context, "SELECT shown(key, '!') FROM p LIMIT 1") == [("x!",)]
    ids = pa.array([bytes(range(16)), bytes(16)], pa.uuid())
    names = pa.array(["a", "b"]).dictionary_encode()
    context.register_record_batches("e", [[pa.record_batch({"id": ids, "name": names})]])
    assert rows(context, "SELECT same(id, name) FROM e") == [(bytes(range(16)),), (None,)]


def test_aggregates(context: Any) -> None:
    assert rows(context, "SELECT total(a), products(a, b) FROM t") == [(7.0, 17.0)]
    by_key = "SELECT key, total(a), count(*) FROM t GROUP BY key ORDER BY key"
    assert rows(context, by_key) == [("x", 3.0, 2), ("y", 4.0, 2)]
    assert rows(context, "SELECT total(a) FROM t WHERE b > 100") == [(0.0,)]
    over = "SELECT total(a) OVER (PARTITION BY key) AS s FROM t ORDER BY s"
    assert rows(context, over) == [(3.0,), (3.0,), (4.0,), (4.0,)]
    some = "SELECT total(a) FILTER (WHERE b > 0) FROM t"
    assert rows(context, some) == [(5.0,)]


def test_many_groups(context: Any) -> None:
    query = "SELECT i % 100 AS g, total(i), count(*) FROM upto(1000) GROUP BY g ORDER BY g"
    expected = [(g, float(sum(range(g, 1000, 100))), 10) for g in range(100)]
    assert rows(context, query) == expected


def test_table_functions(context: Any) -> None:
    query = "SELECT text FROM upto(300) WHERE i > 100 AND text <> 'number 102' LIMIT 2"
    assert rows(context, query) == [("number 101",), ("number 103",)]
    assert rows(context, "SELECT count(*), max(i) FROM upto(1 + 299.0)") == [(300, 299)]
    assert rows(context, "SELECT count(*) FROM upto(0)") == [(0,)]
    joined = "SELECT t.key FROM t JOIN upto(2) AS u ON u.i = t.b ORDER BY t.b"
    assert rows(context, joined) == [("x",), ("x",)]
    found = context.sql("SELECT * FROM parts('to be')")
    assert found.schema().names == ["place", "word"]
    assert rows(context, "SELECT * FROM parts('to be')") == [(0, "to"), (1, "be")]
    scan = context.sql("SELECT * FROM upto(5)")  # which fails when it runs
    with pytest.raises(Exception, match="UDFError: UDF 'upto': ValueError: five"):
        scan.collect()


@udfvm.table_function(columns={"i": int})
def forever(start: int):  # type: ignore[no-untyped-def]
    while True:
        yield start
        start += 1


def test_table_functions_run_as_far_as_rows_are_taken(context: Any) -> None:
    udfvm.datafusion.register(context, forever)
    assert rows(context, "SELECT * FROM forever(7) LIMIT 2") == [(7,), (8,)]


def test_errors(context: Any) -> None:
    with pytest.raises(Exception) as caught:
        rows(context, "SELECT ratio(a, b - 3.5) FROM t")
    text = str(caught.value)
    assert "udfvm.errors.UDFError" in text and "of its batch: ValueError: negative\n" in text
    assert 'raise ValueError("negative")' in text and "engine_functions.py" in text
    with pytest.raises(Exception, match=r"'total', row \d of its group: ValueError: negative"):
        rows(context, "SELECT total(-a) FROM t")
    udfvm.datafusion.register(context, ratio.with_options(timeout=0.1), name="slow")
    with pytest.raises(Exception, match=r"CallTimeoutError.*did not end within"):
        rows(context, "SELECT slow(a, 13.0) FROM t")
    with pytest.raises(Exception, match=r"coercion from Utf8, Float64"):
        rows(context, "SELECT ratio(key, 1.0) FROM t")
    with pytest.raises(Exception, match=r"table functions of DataFusion take constants; got"):
        rows(context, "SELECT * FROM upto(b)")
    with pytest.raises(Exception, match=r"missing a required argument: 'count'"):
        rows(context, "SELECT * FROM upto()")
    with pytest.raises(Exception, match=r"declared int64, which takes int; got str"):
        rows(context, "SELECT * FROM upto('two')")
    assert rows(context, "SELECT sum(ratio(a, 1.0)) FROM t") == [(7.0,)]


def test_names(context: Any) -> None:
    register, unregister = udfvm.datafusion.register, udfvm.datafusion.unregister
    register(context, ratio)  # replaces it
    with pytest.raises(udfvm.SignatureError, match="the context has a UDF 'ratio'"):
        register(context, ratio, replace=False)
    for name in ("abs", "sum", "rank"):
        with pytest.raises(udfvm.SignatureError, match=f"DataFusion has a function '{name}'"):
            register(context, ratio, name=name)
    with pytest.raises(udfvm.SignatureError, match="two functions have the name 'ratio'"):
        register(context, ratio, ratio.with_options(timeout=1))
    register(context, ratio, name="Ratio_2")
    assert rows(context, """SELECT "Ratio_2"(1.0, 2.0)""") == [(0.5,)]
    unregister(context, "ratio", "Ratio_2", Total, upto)
    for query in ("SELECT ratio(1.0, 1.0)", "SELECT total(1.0)", "SELECT * FROM upto(1)"):
        with pytest.raises(Exception, match=r"ratio|total|upto"):
            rows(context, query)
    with pytest.raises(udfvm.UnknownUDFError, match="gave the context no function 'ratio'"):
        unregister(context, ratio)
    assert rows(context, "SELECT shown('a', '!')") == [("a!",)]


def test_what_datafusion_cannot_have(context: Any) -> None:
    def refused(match: str, function: Any) -> None:
        with pytest.raises(udfvm.SignatureError, match=match):
            udfvm.datafusion.register(context, function)

    mean = udfvm.udf(
        lambda x: x - x.mean(),
        name="centred",
        vectorized=True,
        input_types=["double"],
        output_type="double",
    )
    refused("declare elementwise=True", mean)
    refused(r"fixed number of parameters", udfvm.udf(_joined))
    refused("declare deterministic=True, or a parameter", udfvm.udf(_chance))
    refused("takes UDFs", max)
    with pytest.raises(udfvm.SignatureError, match=r"takes a datafusion\.SessionContext first"):
        udfvm.datafusion.register(ratio)


def _joined(*texts: str) -> str:
    return "".join(texts)


def _chance() -> float:
    return 0.5


@udfvm.udf(timeout=1000)
def negative(x: float) -> float:
    while x > 0:
        pass
    raise ValueError("negative")


def wait_for_calls(count: int, function: udfvm.ScalarFunction) -> None:
    end = time.monotonic() + 60
    while function.pool.statistics().live - function.pool.statistics().idle != count:
        assert time.monotonic() < end
        time.sleep(0.01)


def run_program(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


DROPPED = """
    import time
    import pyarrow, datafusion, udfvm

    @udfvm.udf(timeout=1000)
    def lasting(x: float) -> float:
        while x > 0:
            pass
        return x

    def wait_for_calls(count):
        while lasting.pool.statistics().live - lasting.pool.statistics().idle != count:
            time.sleep(0.01)

    context = datafusion.SessionContext()
    udfvm.datafusion.register(context, lasting)
    batches = [[pyarrow.record_batch({"x": [x]})] for x in (3.0, -1.0)]
    context.register_record_batches("t", batches)
    frame = context.sql("SELECT lasting(x) AS x FROM t")
    for _ in range(2):  # the session goes on
        stream = frame.execute_stream()
        assert next(stream).to_pyarrow()["x"].to_pylist() == [-1.0]
        wait_for_calls(1)
        del stream
        wait_for_calls(0)
    print("ends")
"""


def test_calls_end_with_a_stream_that_is_dropped() -> None:
    """In a program of its own, where there is no other stream that a call may belong to."""
    done = run_program(DROPPED)
    assert done.stdout == "ends\n" and not done.returncode, done.stderr


LATE = """
    import threading
    from udfvm.engines import datafusion_queries, datafusion_streams

    asked, query = threading.Semaphore(0), datafusion_queries._query
    initialise = datafusion.record_batch.RecordBatchStream.__init__

    def begins_late(self, *arguments):
        for _ in range(2):
            asked.acquire()
        initialise(self, *arguments)

    def is_noted_late():
        found = query()
        asked.release()
        while not datafusion_streams.only_stream():
            time.sleep(0.001)
        return found

    datafusion.record_batch.RecordBatchStream.__init__ = begins_late
    datafusion_queries._query = is_noted_late
    context = datafusion.SessionContext()
"""


def test_calls_that_begin_before_their_stream_end_with_it() -> None:
    """A call is told which query it belongs to, and before it is noted, the stream is made."""
    done = run_program(DROPPED.replace("    context = datafusion.SessionContext()\n", LATE))
    assert done.stdout == "ends\n" and not done.returncode, done.stderr


def test_all_calls_of_a_query_end_when_one_fails() -> None:
    context = datafusion.SessionContext()
    udfvm.datafusion.register(context, negative)
    batches = [[pa.record_batch({"x": [x]})] for x in (3.0, -1.0)]
    context.register_record_batches("t", batches)
    with pytest.raises(Exception, match="ValueError: negative"):
        context.sql("SELECT sum(negative(x)) FROM t").collect()
    wait_for_calls(0, negative)


INTERRUPTED = """
    import os, signal, threading, time
    import pyarrow, datafusion, udfvm

    @udfvm.udf(timeout=1000)
    def endless(x: float) -> float:
        while True:
            pass

    def interrupt():
        while endless.pool.statistics().live - endless.pool.statistics().idle < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    context = datafusion.SessionContext()
    udfvm.datafusion.register(context, endless)
    batch = pyarrow.record_batch({"x": [1.0]})
    context.register_record_batches("t", [[batch], [batch]])
    threading.Thread(target=interrupt).start()
    try:
        context.sql("SELECT sum(endless(x)) FROM t").collect()
    except BaseException as error:
        assert "KeyboardInterrupt" in repr(error)
    print("ends")
"""


def test_a_program_ends_while_calls_end() -> None:
    """The interpreter does not end threads of DataFusion that come back from calls: that would
    abort the process.
    """
    done = run_program(INTERRUPTED)
    assert done.returncode in (0, 1, -signal.SIGINT, 128 + signal.SIGINT), done.stderr
    assert done.stdout == "ends\n" or "KeyboardInterrupt" in done.stderr
