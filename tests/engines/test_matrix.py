"""The same functions give the same in every engine: engine x kind x nulls x type.

The matrix is made of ``ENGINES``, ``KINDS``, ``NULLS`` and ``TYPES``. An engine is added by one
entry: what computes a function of the columns of a table. A function takes a column of each type
and returns all of them, in a struct with the number of its nulls: so a kind needs one image for
each of ``NULLS``, and not for each type.
"""

from __future__ import annotations

import datetime
import functools
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import cloudpickle
import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flight_clients import exchange
from spark_sessions import spark_session

import udfvm
from udfvm.types.arrow_types import named

MOMENT = datetime.datetime(2013, 1, 31, 23, 59, 59, 1)

#: Two values of each type.
TYPES: dict[str, tuple[Any, Any]] = {
    "bool": (True, False),
    "int8": (-128, 127),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "float": (0.5, -(2.0**100)),
    "double": (0.1, -1e300),
    "string": ("", "é\0\U0001f600"),
    "large_string": ("a" * 100, "b"),
    "binary": (b"", b"\0\xff"),
    "date32[day]": (MOMENT.date(), datetime.date(1582, 10, 4)),
    "timestamp[us]": (MOMENT, datetime.datetime(1582, 10, 4)),
    "timestamp[ns]": (MOMENT, datetime.datetime(1970, 1, 1)),
    "timestamp[us, tz=UTC]": (MOMENT.replace(tzinfo=datetime.UTC),) * 2,
    "time64[us]": (MOMENT.time(), datetime.time(0)),
    "duration[us]": (datetime.timedelta(days=-3, microseconds=7), datetime.timedelta(0)),
    "decimal128(4, 1)": (Decimal("-999.9"), Decimal("0.1")),
    "decimal128(38, 10)": (Decimal("1234567890123456789012345678.0000000001"), Decimal(0)),
    "list<int64>": ([], [1, None, 2**62]),
    "list<list<string>>": ([[], ["a", None], None], []),
    "struct<a: int64, b: list<double>>": ({"a": None, "b": [0.5]}, {"a": 1, "b": None}),
}
NAMES = {name: f"x{index}" for index, name in enumerate(TYPES)}
ARROW = {name: named(name).arrow for name in TYPES}
RESULT = pa.struct(
    [*(pa.field(NAMES[name], type_) for name, type_ in ARROW.items()), ("nulls", pa.int64())]
)
#: Both values of each type, a row of nulls, and rows with one null each.
COUNT = 3 + len(TYPES)
TABLE = pa.table(
    {
        NAMES[name]: pa.array(
            [*values, None, *(None if each == name else values[0] for each in TYPES)], ARROW[name]
        )
        for name, values in TYPES.items()
    }
)


def _by_row(*values: Any) -> dict[str, Any]:
    names = [f"x{index}" for index in range(len(values))]
    return {**dict(zip(names, values, strict=True)), "nulls": values.count(None)}


def _by_column(*columns: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    nulls = functools.reduce(pc.add, [pc.cast(each.is_null(), pa.int64()) for each in columns])
    names = [f"x{index}" for index in range(len(columns))]
    return pa.StructArray.from_arrays([*columns, nulls], [*names, "nulls"])


def _declared(body: Callable[..., Any], nullable: bool, **options: Any) -> udfvm.ScalarFunction:
    names = list(NAMES.values())
    annotation = "Any | None" if nullable else "Any"
    parameters = ", ".join(f"{name}: {annotation}" for name in names)
    scope: dict[str, Any] = {"body": body, "Any": Any}
    exec(f"def gather({parameters}): return body({', '.join(names)})", scope)
    types = {"input_types": list(ARROW.values()), "output_type": RESULT}
    return udfvm.udf(scope["gather"], **types, **options)


KINDS: dict[str, Callable[[bool], udfvm.ScalarFunction]] = {
    "python": functools.partial(_declared, _by_row),
    "vectorised": functools.partial(_declared, _by_column, vectorized=True, elementwise=True),
}
NULLS = {"nullable": True, "not nullable": False}


def by_call(function: udfvm.ScalarFunction) -> Any:
    return function(*TABLE.columns)


def by_duckdb(function: udfvm.ScalarFunction) -> Any:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        udfvm.duckdb.register(con, function)
        con.register("rows", TABLE)
        query = f"SELECT gather({', '.join(NAMES.values())}) AS r FROM rows"
        return con.execute(query).to_arrow_table()["r"]


def by_polars(function: udfvm.ScalarFunction) -> Any:
    frame = pl.DataFrame(pl.from_arrow(TABLE))
    return frame.select(r=udfvm.polars.expr(function, *NAMES.values()))["r"].to_arrow()


def by_dask(function: udfvm.ScalarFunction) -> Any:
    dd = pytest.importorskip("dask.dataframe")
    frame = dd.from_pandas(TABLE.to_pandas(types_mapper=pd.ArrowDtype), npartitions=3)
    made = udfvm.dask.map_partitions(function, frame, *NAMES.values())
    return pa.array(made.compute(scheduler="threads"))


def by_datafusion(function: udfvm.ScalarFunction) -> Any:
    context = pytest.importorskip("datafusion").SessionContext()
    udfvm.datafusion.register(context, function)
    context.from_arrow(TABLE, name="rows")
    query = f"SELECT gather({', '.join(NAMES.values())}) AS r FROM rows"
    return context.sql(query).to_arrow_table()["r"]


def by_lazy_polars(function: udfvm.ScalarFunction, engine: pl.EngineType = "in-memory") -> Any:
    frame = pl.DataFrame(pl.from_arrow(TABLE)).lazy()
    query = frame.select(r=udfvm.polars.expr(function, *NAMES.values()))
    found = query.collect(engine=engine)
    assert found.schema == query.collect_schema()
    return found["r"].to_arrow()


def by_pandas(function: udfvm.ScalarFunction) -> Any:
    udfvm.pandas.register()
    index = pd.Index(range(COUNT, 2 * COUNT))
    columns = {
        name: pd.Series(pd.arrays.ArrowExtensionArray(column), index)
        for name, column in zip(TABLE.column_names, TABLE.columns, strict=True)
    }
    found = pd.DataFrame(columns).udfvm.map(function, *NAMES.values())
    assert found.index.equals(index)
    return pa.array(found.array)


def by_ray(function: udfvm.ScalarFunction) -> Any:
    import ray

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors cannot import it
    rows = ray.data.from_arrow(TABLE)
    made = rows.map_batches(
        function.ray(*NAMES.values(), keep=[]),
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    return pa.concat_tables(ray.get(made.to_arrow_refs()))["gather"]


def by_ibis(function: udfvm.ScalarFunction, table: Any) -> Any:
    called = udfvm.ibis.udf(function)(*(table[name] for name in NAMES.values()))
    return table.select(r=called)


def by_ibis_on_duckdb(function: udfvm.ScalarFunction) -> Any:
    con = ibis.duckdb.connect()
    con.con.execute("SET TimeZone = 'UTC'")
    con.con.register("rows", TABLE)
    con.create_table("found", by_ibis(function, con.table("rows")))
    return con.con.table("found").to_arrow_table()["r"]  # Ibis itself reads no intervals of DuckDB


def by_ibis_on_polars(function: udfvm.ScalarFunction) -> Any:
    rows = ibis.polars.connect().create_table("rows", TABLE)
    return by_ibis(function, rows).to_pyarrow()["r"]


def by_flight(function: udfvm.ScalarFunction) -> Any:
    with udfvm.flight.Server(function, listen="127.0.0.1:0") as server:
        (batch,) = TABLE.to_batches()
        return exchange(server.location, "gather", batch)["gather"]


#: Types of columns of Spark that stand for others.
IN_SPARK = {
    "uint64": pa.decimal128(20, 0),
    "large_string": pa.string(),
    "timestamp[ns]": pa.timestamp("us"),
}


def by_spark(function: udfvm.ScalarFunction) -> Any:
    session = spark_session()
    rows = pa.table(
        {NAMES[name]: TABLE[NAMES[name]].cast(IN_SPARK.get(name, ARROW[name])) for name in TYPES}
    )
    frame = session.createDataFrame(rows).coalesce(1)
    result = udfvm.spark.udf(function)(*NAMES.values()).alias("r")
    return frame.select(result).toArrow()["r"]


ENGINES = {
    "call": by_call,
    "dask": by_dask,
    "datafusion": by_datafusion,
    "duckdb": by_duckdb,
    "polars": by_polars,
    "polars, lazy": by_lazy_polars,
    "polars, streaming": functools.partial(by_lazy_polars, engine="streaming"),
    "pandas": by_pandas,
    "ray": by_ray,
    "ibis on duckdb": by_ibis_on_duckdb,
    "ibis on polars": by_ibis_on_polars,
    "flight": by_flight,
    "spark": by_spark,
}


@functools.cache
def function_of(kind: str, nulls: str) -> udfvm.ScalarFunction:
    return KINDS[kind](NULLS[nulls])


def wanted(row: int, nulls: str) -> dict[str, Any] | None:
    """What a row gives, computed without the code under test."""
    values = {name: TABLE[NAMES[name]][row].as_py() for name in TYPES}
    missing = sum(value is None for value in values.values())
    if missing and not NULLS[nulls]:
        return None
    return {**{NAMES[name]: value for name, value in values.items()}, "nulls": missing}


@pytest.mark.parametrize("nulls", NULLS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_results(engine: str, kind: str, nulls: str, request: pytest.FixtureRequest) -> None:
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    found = ENGINES[engine](function_of(kind, nulls)).to_pylist()
    assert len(found) == COUNT == TABLE.num_rows
    for row in range(COUNT):
        expected = wanted(row, nulls)
        if expected is None:
            is_null = found[row] is None or set(found[row].values()) == {None}
            assert is_null, f"row {row}: {found[row]}"
            continue
        for name in (*TYPES, "nulls"):
            field = NAMES.get(name, name)
            value = found[row][field]
            if isinstance(value, pa.MonthDayNano) and value[:2] == (0, 0):  # DuckDB's durations
                value = datetime.timedelta(microseconds=value[2] // 1000)
            assert value == expected[field], f"row {row}, {name}"
