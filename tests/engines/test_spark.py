"""Functions in Spark: on two threads of one machine."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from engine_functions import Products, Total, ratio, shown, upto
from spark_sessions import spark_session

import udfvm
from udfvm.functions.registrations import replace_everywhere


@pytest.fixture(scope="module")
def session() -> Any:
    return spark_session()


@pytest.fixture(scope="module")
def frame(session: Any) -> Any:
    rows = [(1.0, 1, "x"), (2.0, 0, "x"), (None, 3, "y"), (4.0, 4, "y")]
    made = session.createDataFrame(rows, "a double, b int, key string").coalesce(1)
    made.createOrReplaceTempView("rows")
    return made


def rows(frame: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.collect()]


def test_columns_values_and_defaults(frame: Any) -> None:
    from pyspark.sql import functions as fn

    made, text = udfvm.spark.udf(ratio), udfvm.spark.udf(shown)
    found = frame.select(
        made("a", "b").alias("integers"),
        made("a").alias("default"),
        made(fn.lit(6), b=fn.lit(2.5).cast("decimal(3, 1)")).alias("decimals"),
        text(fn.when(fn.col("b") > 0, fn.col("key")), fn.lit("?")).alias("text"),
        text("key").alias("default_text"),
    )
    assert found.dtypes[0] == ("integers", "double") and found.dtypes[3] == ("text", "string")
    assert rows(found) == [
        (1.0, 1.0, 2.4, "x?", "x!"),
        (None, 2.0, 2.4, "None?", "x!"),
        (None, None, 2.4, "y?", "y!"),
        (1.0, 4.0, 2.4, "y?", "y!"),
    ]


def test_aggregates_of_groups_and_windows(frame: Any) -> None:
    from pyspark.sql import Window

    total = udfvm.spark.udf(Total)
    assert sorted(rows(frame.groupBy("key").agg(total("a")))) == [("x", 3.0), ("y", 4.0)]
    products = udfvm.spark.udf(Products)
    assert rows(frame.agg(products("a", "b"))) == [(17.0,)]
    running = Window.partitionBy("key").orderBy("b").rowsBetween(-1, 0)
    found = frame.select("b", total("a").over(running))
    assert sorted(rows(found)) == [(0, 2.0), (1, 3.0), (3, 0.0), (4, 4.0)]


def test_groups_that_come_in_batches(session: Any, frame: Any) -> None:
    apply = udfvm.spark.apply_in_arrow
    assert sorted(rows(apply(frame, Products, "a", "b", by="key"))) == [("x", 1.0), ("y", 16.0)]
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "10")
    try:
        many = session.range(0, 100, 1, 1).selectExpr(
            "CAST(id AS decimal(9, 2)) AS x", "CAST('2020-01-01' AS timestamp) AS day"
        )
        found = rows(apply(many, Total, by=["day"]))
        assert found == [(datetime.datetime(2020, 1, 1), 4950.0)]
        wrong = many.selectExpr("x", "60 - x AS y", "day")
        with pytest.raises(Exception, match=r"'total', row 61 of its group: ValueError: negative"):
            apply(wrong, Total, "y", by="day").collect()
    finally:
        session.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


def test_rows_of_frames(session: Any, frame: Any) -> None:
    call = udfvm.spark.map_in_arrow
    found = call(frame, upto, "b", keep=["key"])
    assert found.columns == ["key", "i", "text"]
    assert rows(found)[:3] == [("x", 0, "number 0"), ("y", 0, "number 0"), ("y", 1, "number 1")]
    found = call(frame, ratio)  # columns with the names of the parameters
    assert rows(found) == [
        (1.0, 1, "x", 1.0),
        (2.0, 0, "x", None),
        (None, 3, "y", None),
        (4.0, 4, "y", 1.0),
    ]
    decimals = frame.selectExpr("CAST(a AS decimal(4, 1)) AS a", "b - 1 AS b")
    found = call(decimals, ratio, on_error="skip")  # decimals are kept as they are
    assert [(str(a), r) for a, _, r in rows(found)] == [
        ("1.0", None),
        ("None", None),
        ("4.0", 4 / 3),
    ]
    assert call(session.range(0).selectExpr("id AS count"), upto).collect() == []


def test_sql(session: Any, frame: Any) -> None:
    udfvm.spark.register(session, ratio, Total, upto)
    query = "SELECT key, max(ratio(a, b => b)), total(a) FROM rows GROUP BY key ORDER BY key"
    with pytest.raises(Exception, match="PLACEMENT"):  # Spark's rule
        session.sql(query).collect()
    query = "SELECT key, sum(ratio(a, b => b)) FROM rows GROUP BY key ORDER BY key"
    assert rows(session.sql(query)) == [("x", 1.0), ("y", 1.0)]
    assert rows(session.sql("SELECT total(a) FROM rows WHERE ratio(a) > 1.5")) == [(6.0,)]
    assert rows(session.sql("SELECT text FROM upto(2)")) == [("number 0",), ("number 1",)]
    assert rows(session.sql("SELECT count(*) FROM upto(TABLE(SELECT b FROM rows))")) == [(8,)]
    with pytest.raises(Exception, match=r"UDFError.*ValueError: five"):
        session.sql("FROM upto(5)").collect()
    with pytest.raises(udfvm.SignatureError, match=r"has a UDF 'ratio'.*replace=True"):
        udfvm.spark.register(session, ratio, replace=False)
    other = ratio.with_options(timeout=1)
    with pytest.raises(udfvm.SignatureError, match=r"two functions have the name 'ratio'"):
        udfvm.spark.register(session, ratio, other)
    with pytest.raises(udfvm.SignatureError, match=r"'ratio' and 'RATIO' are the same name in SQL"):
        udfvm.spark.register(session, ratio, other.with_options(name="RATIO"))
    udfvm.spark.register(session, ratio.with_options(name="upto"))
    assert rows(session.sql("SELECT upto(3)")) == [(3.0,)]
    with pytest.raises(udfvm.SignatureError, match="Spark has a function 'abs'"):
        udfvm.spark.register(session, ratio, name="abs")
    twice = udfvm.from_source("def twice(a: float, b: float) -> float: return 2 * a")
    assert not replace_everywhere(ratio, twice)  # as a cell that is run again does
    assert session.sql("SELECT ratio(3.0D, 1.0D) AS r").collect()[0].r == 6.0
    udfvm.spark.unregister(session, "ratio", upto, Total)
    with pytest.raises(Exception, match="UNRESOLVED_ROUTINE"):
        session.sql("SELECT upto(3)").collect()
    with pytest.raises(udfvm.UnknownUDFError, match="no function 'ratio'"):
        udfvm.spark.unregister(session, ratio)


def test_errors_and_limits(frame: Any) -> None:
    from pyspark.sql import functions as fn

    made = udfvm.spark.udf(ratio)
    with pytest.raises(Exception, match=r"'ratio', row 1 of its batch: ValueError: neg") as caught:
        frame.select(made("a", fn.col("b") - 0.5)).collect()
    text = str(caught.value)
    assert 'raise ValueError("negative")' in text and "engine_functions.py" in text
    assert "spark_workers.py" in text and "dispatch.py" not in text
    slow = udfvm.spark.udf(ratio.with_options(timeout=0.1))
    with pytest.raises(Exception, match=r"CallTimeoutError.*did not end within"):
        frame.select(slow("a", fn.lit(13))).collect()
    with pytest.raises(Exception, match=r"row 1 of its partition: ValueError: negative"):
        udfvm.spark.map_in_arrow(frame.selectExpr("a", "b - 0.5 AS b"), ratio).collect()
    with pytest.raises(Exception, match=r"argument 'a'.*is declared double"):
        frame.select(made("key")).collect()
    assert rows(frame.select(made("a")))[1] == (2.0,)  # the workers are well


def test_functions_by_value(frame: Any) -> None:
    factor = 3.0

    def scaled(x: float) -> float:
        return x * factor

    made = udfvm.spark.udf(udfvm.udf(scaled))
    assert rows(frame.select(made("a"))) == [(3.0,), (6.0,), (None,), (12.0,)]
    halves = udfvm.expression("a / 2", a=float)
    assert rows(frame.select(udfvm.spark.udf(halves)("a")))[3] == (2.0,)


def test_any_number_of_arguments(frame: Any) -> None:
    @udfvm.udf
    def joined(mark: str, *numbers: float) -> str:
        return mark.join(map(str, numbers))

    made = udfvm.spark.udf(joined)
    found = rows(frame.select(made("key", "b", "b"), made("key", "b")))
    assert found[0] == ("1.0x1.0", "1.0")


def test_local_times(session: Any) -> None:
    hour = udfvm.udf(
        lambda moment: moment.hour,
        name="hour",
        input_types=["timestamp[us]"],
        output_type="int64",
    )
    session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        query = (
            "SELECT timestamp'2020-01-01 03:00:00' AS z, timestamp_ntz'2020-01-01 04:00:00' AS n"
        )
        made = udfvm.spark.udf(hour)
        assert rows(session.sql(query).select(made("z"), made("n"))) == [(3, 4)]
    finally:
        session.conf.set("spark.sql.session.timeZone", "UTC")


def test_results_of_runs(frame: Any) -> None:
    runs = pa.run_end_encoded(pa.int32(), pa.string())
    options: dict[str, Any] = {"input_types": ["double"]}
    flat = udfvm.udf(lambda a: "1", name="flat", output_type=runs, **options)
    listed = udfvm.udf(lambda a: ["1"], name="listed", output_type=pa.list_(runs), **options)
    found = frame.select(udfvm.spark.udf(flat)("a"), udfvm.spark.udf(listed)("a"))
    assert rows(found) == [("1", ["1"]), ("1", ["1"]), (None, None), ("1", ["1"])]


def test_what_spark_cannot_have(session: Any, frame: Any) -> None:
    spark = udfvm.spark
    whole = udfvm.udf(
        lambda x: x, name="whole", vectorized=True, input_types=["double"], output_type="double"
    )
    wide = udfvm.udf(
        lambda x: x, name="wide", input_types=["double"], output_type=pa.decimal256(50, 2)
    )
    none = udfvm.udf(lambda: 1, name="none", output_type="int64")
    for wrong, call in {
        r"is a table function: call udfvm\.spark\.map_in_arrow": lambda: spark.udf(upto),
        r"declare elementwise=True": lambda: spark.udf(whole),
        r"at least one parameter": lambda: spark.udf(none),
        r"is an aggregate: call udfvm\.spark\.apply": lambda: spark.map_in_arrow(frame, Total),
        r"takes an aggregate": lambda: spark.apply_in_arrow(frame, ratio, by="key"),
        r"takes a frame of Spark first": lambda: spark.map_in_arrow(TABLE, ratio),
        r"register takes a SparkSession first": lambda: spark.register(ratio),
        r"unregister takes a SparkSession first": lambda: spark.unregister(ratio),
    }.items():
        with pytest.raises(udfvm.SignatureError, match=wrong):
            call()
    with pytest.raises(udfvm.TypeMappingError, match=r"'wide': the result: Spark has no type dec"):
        spark.udf(wide)
    doubled = pa.struct([("a", "double"), ("a", "double")])
    twice = udfvm.udf(lambda x: x, name="twice", input_types=["double"], output_type=doubled)
    with pytest.raises(udfvm.TypeMappingError, match=r"'twice': .* no two fields of one name"):
        spark.udf(twice)
    with pytest.raises(udfvm.TypeMappingError, match=r"argument 'a' .*declared double"):
        spark.map_in_arrow(frame, ratio, "key")
    with pytest.raises(udfvm.OptionError, match="no column of that name"):
        spark.map_in_arrow(frame, ratio, "c")
    with pytest.raises(udfvm.OptionError, match="0 columns named 'c'"):
        spark.map_in_arrow(frame, ratio, keep=["c"])


TABLE = pa.table({"a": [1.0]})
