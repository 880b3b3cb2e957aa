"""Results become values of the declared type without loss, or the call fails."""

from __future__ import annotations

import datetime
import functools
import pickle
from fractions import Fraction
from typing import Any

import apsw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conversion_cases import Case, array_of, by_type, cases, python_of, stored_values

import udfvm
import udfvm.sqlite
from udfvm.errors import SignatureError, TypeMappingError, UDFError
from udfvm.types.arrow_types import named
from udfvm.types.conversions import (
    family,
)

STRICT = [
    pa.list_(pa.field("element", pa.float32(), nullable=False)),
    pa.large_list(pa.field("item", pa.string(), nullable=False)),
    pa.list_(pa.field("item", pa.int8(), nullable=False), 2),
    pa.struct([pa.field("a", pa.int8(), nullable=False), pa.field("b", pa.string())]),
    pa.list_(
        pa.struct(
            [pa.field("a", pa.list_(pa.field("item", pa.int64(), nullable=False)), nullable=False)]
        )
    ),
]
HELD = [
    ([[1.0], None, []], [[1.0], [2.0, None]]),
    ([["a"], None], [["a", None]]),
    ([[1, 2], None], [[1, 2], [None, 1]]),
    ([{"a": 1, "b": None}, None], [None, {"a": None, "b": "x"}]),
    ([[{"a": [1]}, None], None], [[{"a": [1]}], [{"a": [None]}]]),
]


@pytest.mark.parametrize(
    ("type_", "values"), list(zip(STRICT, HELD, strict=True)), ids=[str(type_) for type_ in STRICT]
)
def test_types_are_as_they_were_declared(
    type_: pa.DataType, values: tuple[list[Any], list[Any]]
) -> None:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    canonical = named(str(type_)).arrow
    good, bad = values
    function = udfvm.udf(
        same,
        name=f"strict_{STRICT.index(type_)}",
        vectorized=True,
        input_types=[type_],
        output_type=type_,
    )
    for array in (pa.array(good, type_), pa.array(good, canonical)):
        result = function(array)
        result.validate(full=True)
        assert result.type == type_ and result.to_pylist() == good
    assert function(pa.chunked_array([pa.array(good, type_)])).type == type_
    udfvm.arrow.register(None, function)
    assert pc.call_function(function.name, [pa.array(good, type_)]).type == type_
    with pytest.raises(
        TypeMappingError,
        match=r"row 1: argument 'x' \(position 1\) is .*, which holds a null where there is none",
    ):
        function(pa.array(bad if len(bad) > 1 else [None, *bad], canonical))
    loose = udfvm.udf(
        same, name="loose", vectorized=True, input_types=[canonical], output_type=type_
    )
    with pytest.raises(
        TypeMappingError,
        match=r"', row . of its batch: the result is .*, which holds a null where there is none",
    ):
        loose(pa.array(bad, canonical))


def _load(data):  # type: ignore[no-untyped-def]
    return pa.ipc.open_stream(data[0].as_py()).read_all().column(0).combine_chunks()


def stream(array: pa.Array) -> pa.Array:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("c", array.type)])) as writer:
        writer.write_batch(pa.record_batch([array], names=["c"]))
    return pa.array([sink.getvalue().to_pybytes()] * len(array), pa.binary())


@pytest.mark.parametrize(
    "name",
    [
        "bool",
        "int8",
        "uint64",
        "float",
        "double",
        "large_string",
        "binary",
        "date32[day]",
        "date64[ms]",
        "timestamp[s]",
        "timestamp[ns, tz=UTC]",
    ],
)
def test_results_of_vectorised_functions(name: str) -> None:
    function = udfvm.udf(
        _load, name="results", vectorized=True, input_types=["binary"], output_type=name
    )
    for found, good, bad in by_type(name):
        if good:
            array = array_of(found, [case.value for case in good])
            assert stored_values(function(stream(array))) == [case.stored[1] for case in good], (
                found
            )
        for case in bad[:3]:
            with pytest.raises(
                UDFError, match=f"the function returned an array of .*declared .*{name[:3]}"
            ):
                function(stream(array_of(found, [case.value])))


def _value(data):  # type: ignore[no-untyped-def]
    return pickle.loads(data)


def pickled(case: Case) -> Any:
    """A case's value as a Python object; None if Python has none, or none that can be pickled."""
    return None if family(str(case.found)) == "interval" else python_of(case)


@functools.cache
def returning(name: str) -> udfvm.ScalarFunction:
    return udfvm.udf(_value, name="returning", input_types=["binary"], output_type=name)


RESULTS = [
    "bool",
    "int8",
    "uint32",
    "int64",
    "float",
    "double",
    "string",
    "binary",
    "date32[day]",
    "date64[ms]",
    "timestamp[s]",
    "timestamp[us]",
    "timestamp[ns, tz=UTC]",
]


@pytest.mark.parametrize("name", RESULTS)
def test_results_that_are_values(name: str) -> None:
    """Results of a row and of a batch, also inside a list."""
    function = returning(name)
    held = returning(f"list<{name}>")
    for case in cases(name):
        value = pickled(case)
        if value is None:
            continue
        data = pickle.dumps(value)
        batch, lists = pa.array([data], pa.binary()), pa.array([pickle.dumps([value])], pa.binary())
        if case.stored:
            assert stored_values(function(batch)) == [case.stored[1]], case
            assert stored_values(held(lists).flatten()) == [case.stored[1]], case
            function(data)
        else:
            for call, argument in (
                (function, data),
                (function, batch),
                (held, lists),
                (held, pickle.dumps([value])),
            ):
                with pytest.raises(UDFError):
                    call(argument)


@pytest.mark.parametrize("name", RESULTS)
def test_intervals_are_no_other_values(name: str) -> None:
    def interval(x: int):  # type: ignore[no-untyped-def]
        return pa.MonthDayNano([1, -2, x])

    function = udfvm.udf(interval, output_type=name)
    for argument in (3, pa.array([3])):
        with pytest.raises(UDFError):
            function(argument)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (pd.Timestamp(1), "timestamp[us]"),
        (np.int64(2**53 + 1), "double"),
        (np.float64(1e300), "float"),
        (2**24 + 1, "float"),
        (np.int64(200), "int8"),
        (Fraction(1, 3), "double"),
        (pd.Timestamp("2020-01-01"), "date32[day]"),
        (np.datetime64(1, "s"), "int64"),
    ],
    ids=str,
)
def test_other_results_that_are_refused(value: Any, name: str) -> None:
    for argument in (pickle.dumps(value), pa.array([pickle.dumps(value)], pa.binary())):
        with pytest.raises(UDFError):
            udfvm.udf(
                _value, name="other", input_types=["binary"], output_type=name, packages=["pandas"]
            )(argument)


@pytest.mark.parametrize("dtype", ["M8[ns]", "m8[ns]", "m8[s]", "M8[as]"])
def test_times_of_numpy_in_lists_are_no_integers(dtype: str) -> None:
    values = np.array([1], dtype)
    held = returning("list<int64>")
    for argument in (pickle.dumps(values), pa.array([pickle.dumps(values)], pa.binary())):
        with pytest.raises(UDFError, match="64"):
            held(argument)


def test_times_of_numpy_are_times() -> None:
    """In UTC where there is a zone; those that Python has not are exact where it need not."""
    every = {
        "day": (pa.date32(), np.datetime64("2024-05-01"), datetime.date(2024, 5, 1)),
        "at": (pa.timestamp("ns"), np.datetime64(1, "ns"), pd.Timestamp(1)),
        "zoned": (
            pa.timestamp("us", "Europe/Berlin"),
            np.datetime64(1, "s"),
            datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC),
        ),
        "long": (pa.duration("us"), np.timedelta64(-5, "ms"), datetime.timedelta(milliseconds=-5)),
        "none": (pa.duration("us"), np.timedelta64("NaT", "s"), None),
    }
    type_ = pa.struct([(name, pa.list_(each)) for name, (each, _, _) in every.items()])
    given = {name: [value] for name, (_, value, _) in every.items()}
    expected = {name: [value] for name, (_, _, value) in every.items()}
    held = udfvm.udf(_value, name="times", input_types=["binary"], output_type=type_)
    assert held(pa.array([pickle.dumps(given)], pa.binary())).to_pylist() == [expected]
    assert held(pickle.dumps(given)) == expected
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, held)
    with pytest.raises(apsw.SQLError, match=r"field 'at', item 0: .*microseconds"):  # in JSON
        connection.execute("SELECT times(?)", (pickle.dumps(given),)).fetchall()

    moments = returning("timestamp[ns, tz=UTC]")
    for value, count in ((np.datetime64(5, "us"), 5000), (np.datetime64(7, "ns"), 7)):
        column = moments(pa.array([pickle.dumps(value)], pa.binary()))
        assert column.cast(pa.int64()).to_pylist() == [count]
    for value in (np.datetime64("2024-05"), np.datetime64(1, "10s"), np.datetime64("2024-05-01")):
        with pytest.raises(UDFError, match="datetime64, but its result is declared"):
            moments(pickle.dumps(value))
    with pytest.raises(UDFError, match="not a whole number of us"):
        returning("timestamp[us]")(pickle.dumps(np.datetime64(1, "ns")))


def test_other_results_that_are_taken() -> None:
    def nothing(x: int) -> datetime.datetime | None:
        return pd.NaT  # type: ignore[return-value]

    def moment(x):  # type: ignore[no-untyped-def]
        return pd.Timestamp(1)

    assert udfvm.udf(nothing)(1) is None
    assert (
        udfvm.udf(moment, input_types=["int64"], output_type="timestamp[ns]")(pa.array([1]))[
            0
        ].value
        == 1
    )
    assert (
        returning("int64")(pickle.dumps(np.bool_(True))) == 1
        and returning("double")(pickle.dumps(np.float32(0.5))) == 0.5
    )


@pytest.mark.parametrize("name", ["int8", "float", "double", "date64[ms]", "timestamp[s]"])
def test_table_functions_and_aggregates(name: str) -> None:
    def rows(data: bytes):  # type: ignore[no-untyped-def]
        yield (pickle.loads(data),)

    def batches(data: bytes):  # type: ignore[no-untyped-def]
        table = pa.ipc.open_stream(data).read_all()
        yield table.rename_columns(["x"])

    class Last:
        def step(self, data: bytes) -> None:
            self.value = pickle.loads(data)

        def finish(self):  # type: ignore[no-untyped-def]
            return self.value

    table = udfvm.table_function(rows, name="table_rows", columns={"x": name})
    arrow = udfvm.table_function(
        batches, name="table_batches", columns={"x": name}, packages=["pyarrow"]
    )
    last = udfvm.aggregate(Last, name="last", output_type=name)
    for case in cases(name):
        if family(str(case.found)) in ("list", "struct", "other") or pa.types.is_float16(
            case.found
        ):
            continue
        array = array_of(case.found, [case.value])
        data = stream(array)[0].as_py()
        if case.stored:
            assert stored_values(
                pa.concat_arrays([batch.column(0) for batch in arrow.batches(data)])
            ) == [case.stored[1]], case
        else:
            with pytest.raises(UDFError):
                list(arrow.batches(data))
        value = pickled(case)
        if value is None:
            continue
        if case.stored:
            columns = [batch.column(0) for batch in table.batches(pickle.dumps(value))]
            assert stored_values(pa.concat_arrays(columns)) == [case.stored[1]], case
            last(pa.array([pickle.dumps(value)], pa.binary()))
        else:
            with pytest.raises(UDFError):
                list(table(pickle.dumps(value)))
            with pytest.raises(UDFError):
                last(pa.array([pickle.dumps(value)], pa.binary()))


@pytest.mark.parametrize(
    ("name", "sample"),
    [("float", [1e300]), ("double", [2**53 + 1]), ("list<int8>", [[300]]), ("int64", [1.5])],
)
def test_samples(name: str, sample: list[Any]) -> None:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    function = udfvm.udf(
        same,
        name="sampled",
        vectorized=True,
        input_types=[name],
        output_type=name,
        sample=(sample,),
    )
    with pytest.raises(SignatureError, match=r"sample= for 'x': .*row 0"):
        function.prepare()


def test_host_functions() -> None:
    def host(x: float) -> float:
        return {0.0: 2**53 + 1, 1.0: 2**53, 2.0: 1e300}[x]

    @udfvm.udf(host_functions=[host])
    def calls(x: int) -> float:
        return host(x)

    assert calls(1) == 2.0**53 and calls(2) == 1e300
    with pytest.raises(udfvm.Error, match="without loss"):
        calls(0)
