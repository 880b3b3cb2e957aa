"""Functions that clients of Arrow Flight call: pyarrow's client, and Databend's."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from engine_functions import Products, Total, parts, ratio, shown, upto
from flight_clients import LONG, Background, batch_of, busy, exchange_with, running_call, wait_until

import udfvm

HALF = "double half(double x) { return x / 2; }"
WASM = """(module
  (func (export "area") (param f64 f64) (result f64) local.get 0 local.get 1 f64.mul))"""


@udfvm.udf
def answer() -> int:
    return 42


@udfvm.udf
def words(text: str) -> list[str]:
    return text.split()


@udfvm.udf(
    vectorized=True,
    input_types=["dictionary<int32, string>"],
    output_type="dictionary<int8, string>",
)
def marked(text: Any) -> Any:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(text, "!", "")


@pytest.fixture(scope="module")
def location() -> Iterator[str]:
    area = udfvm.from_wasm(WASM, "area")
    half = udfvm.from_c(
        "double half(double x) { return x / 2; }", "half", signature="(double) -> double"
    )
    functions = [ratio, shown, answer, words, marked, area, half, upto, parts, Total, Products]
    with udfvm.flight.Server(*functions, listen="127.0.0.1:0") as server:
        yield server.location


@pytest.fixture
def client(location: str) -> Iterator[Any]:
    with fl.connect(location) as connected:
        yield connected


def call(client: Any, name: str, *columns: pa.Array) -> Any:
    return exchange_with(client, name, batch_of(*columns))[name].to_pylist()


def test_scalar_functions_and_nulls(client: Any) -> None:
    a, b = pa.array([1.0, 2.0, None]), pa.array([2.0, 0.0, 1.0])
    assert call(client, "ratio", a, b) == [0.5, None, None]
    text = pa.array(["a", None])
    assert call(client, "shown", text, text.fill_null("?")) == ["aa", "None?"]
    assert call(client, "words", pa.array(["to be", ""])) == [["to", "be"], []]


def test_native_and_wasm_functions(client: Any) -> None:
    x = pa.array([1.0, None, 3.0])
    assert call(client, "half", x) == [0.5, None, 1.5]
    assert call(client, "area", x, x) == [1.0, None, 9.0]


def test_encoded_types_travel_as_their_values(client: Any) -> None:
    found = exchange_with(client, "marked", batch_of(pa.array(["a", "b", "a"])))
    assert found.schema.types == [pa.string()]
    assert found["marked"].to_pylist() == ["a!", "b!", "a!"]


def test_columns_of_other_layouts(client: Any) -> None:
    assert call(client, "words", pa.array(["to be"], pa.large_string())) == [["to", "be"]]
    views = pa.array(["to be or not to be", None, "to"], pa.string_view())
    found = [["to", "be", "or", "not", "to", "be"], None, ["to"]]
    assert call(client, "words", views) == found
    assert call(client, "words", views.slice(1)) == found[1:]
    assert call(client, "words", views.slice(3)) == []
    assert call(client, "half", pa.array([1, 3], pa.int32())) == [0.5, 1.5]
    assert call(client, "half", pa.nulls(2)) == [None, None]
    assert call(client, "half", pa.array([9.0, 1.0, 3.0]).slice(1)) == [0.5, 1.5]
    assert call(client, "words", pa.array(["to be", "or not"]).slice(1)) == [["or", "not"]]


def test_no_rows_and_no_columns(client: Any) -> None:
    empty = pa.array([], pa.float64())
    assert call(client, "half", empty) == []
    schema = pa.schema([("x", pa.float64())])
    assert exchange_with(client, "half", schema=schema).num_rows == 0
    rows = pa.RecordBatch.from_struct_array(pa.array([{}] * 3, pa.struct([])))
    assert exchange_with(client, "answer", rows)["answer"].to_pylist() == [42, 42, 42]


def test_each_batch_is_answered_in_turn(client: Any) -> None:
    batches = [batch_of(pa.array([float(each)] * (each + 1))) for each in range(5)]
    found = exchange_with(client, "half", *batches)["half"]
    assert [len(chunk) for chunk in found.chunks] == [1, 2, 3, 4, 5]
    assert found.to_pylist() == [each / 2 for each in range(5) for _ in range(each + 1)]


def test_a_batch_is_answered_before_the_next_is_sent(client: Any) -> None:
    writer, reader = client.do_exchange(fl.FlightDescriptor.for_path("half"))
    with writer:
        writer.begin(pa.schema([("x", pa.float64())]))
        for value in (1.0, 3.0):
            writer.write_with_metadata(batch_of(pa.array([value])).rename_columns(["x"]), b"no")
            assert reader.read_chunk().data["half"].to_pylist() == [value / 2]


def test_table_functions(client: Any) -> None:
    found = exchange_with(client, "upto", batch_of(pa.array([2, 0, None, 1])))
    assert found["row"].to_pylist() == [0, 0, 3]
    assert found["upto"].to_pylist() == [
        {"i": 0, "text": "number 0"},
        {"i": 1, "text": "number 1"},
        {"i": 0, "text": "number 0"},
    ]
    with pytest.raises(fl.FlightServerError, match=r"'upto', row 2 of its batch: ValueError: five"):
        exchange_with(client, "upto", batch_of(pa.array([2, None, 5, 1])))
    many = exchange_with(client, "upto", batch_of(pa.array([40_000])))
    assert many.num_rows == 40_000 and many["upto"].num_chunks > 1


def test_aggregates_take_lists(client: Any) -> None:
    lists = pa.array([[1.0, 2.0], [], None, [4.0]])
    assert call(client, "total", lists) == [3.0, 0.0, 0.0, 4.0]
    assert call(client, "products", lists, lists.cast(pa.large_list(pa.float64()))) == [
        5.0,
        0.0,
        0.0,
        16.0,
    ]
    with pytest.raises(pa.ArrowInvalid, match="differ in length"):
        call(client, "products", lists, pa.array([[1.0], [], [], [4.0]]))
    with pytest.raises(pa.ArrowInvalid, match="'x' takes lists of values, got double"):
        call(client, "total", pa.array([1.0]))


def test_what_clients_are_told(client: Any) -> None:
    flights = {each.descriptor.path[0].decode(): each for each in client.list_flights()}
    assert len(flights) == 11
    told = client.get_flight_info(fl.FlightDescriptor.for_path("ratio"))
    assert told.total_records == 2 and told.descriptor.path == [b"ratio"]
    assert told.schema.names == ["a", "b", "ratio"]
    assert told.schema.metadata == {b"x-databend-udf-input-count": b"2"}
    assert told.schema == client.get_schema(fl.FlightDescriptor.for_path("ratio")).schema
    assert flights["upto"].total_records == 1
    assert flights["upto"].schema.field("row").type == pa.int32()
    assert flights["parts"].schema.field("parts").type.names == ["place", "word"]
    assert flights["total"].schema.field("x").type == pa.list_(pa.float64())
    (version,) = client.do_action("protocol_version")
    assert version.body.to_pybytes() == b"\x02"
    assert [each.type for each in client.list_actions()] == ["protocol_version"]


def test_errors_have_type_message_row_and_line(client: Any) -> None:
    with pytest.raises(fl.FlightServerError) as caught:
        call(client, "ratio", pa.array([1.0, 1.0]), pa.array([1.0, -1.0]))
    text = str(caught.value)
    assert "UDF 'ratio', row 1 of its batch: ValueError: negative" in text
    assert 'raise ValueError("negative")' in text
    told = json.loads(caught.value.extra_info)
    traceback = told.pop("guest_traceback")
    assert "engine_functions.py" in traceback and ", in ratio" in traceback
    assert told == {
        "type": "UDFError",
        "udf": "ratio",
        "row": 1,
        "guest_type": "ValueError",
        "guest_message": "negative",
    }
    assert call(client, "ratio", pa.array([1.0]), pa.array([1.0])) == [1.0]


def test_results_before_an_error_arrive(client: Any) -> None:
    writer, reader = client.do_exchange(fl.FlightDescriptor.for_path("half"))
    writer.begin(pa.schema([("x", pa.float64())]))
    writer.write_batch(pa.record_batch({"x": [1.0]}))
    assert reader.read_chunk().data["half"].to_pylist() == [0.5]
    with contextlib.suppress(pa.ArrowException):
        writer.write_batch(pa.record_batch({"x": [1.0] * (2 << 20)}))
    with pytest.raises(pa.ArrowInvalid, match="at most 1048576 are allowed"):
        reader.read_chunk()
    with contextlib.suppress(pa.ArrowException):
        writer.close()


def test_a_long_error_is_cut() -> None:
    @udfvm.udf(packages=[])
    def fails(x: int) -> int:
        raise ValueError("\u20ac" * 100_000)

    with udfvm.flight.Server(fails, listen="127.0.0.1:0") as server:
        with fl.connect(server.location) as client:
            with pytest.raises(fl.FlightServerError, match="ValueError: \u20ac"):
                call(client, "fails", pa.array([1]))


def test_what_a_host_function_raises_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def price(x: float) -> float:
        raise KeyError("a secret of the host")

    @udfvm.udf(packages=[], host_functions=[price])
    def cost(x: float) -> float:
        return price(x)

    with udfvm.flight.Server(cost, listen="127.0.0.1:0") as server:
        with fl.connect(server.location) as client:
            with pytest.raises(fl.FlightServerError, match="a host function failed") as caught:
                call(client, "cost", pa.array([1.0]))
    assert "secret" not in str(caught.value) and "secret" in caplog.text


def test_failures_of_the_server_go_to_the_log(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: Any) -> bytes:
        raise OSError("a secret of the host")

    monkeypatch.setattr("udfvm.serving.service.batch_data", failing)
    with pytest.raises(fl.FlightInternalError, match="its log says why") as caught:
        call(client, "half", pa.array([1.0]))
    assert "secret" not in str(caught.value) and "secret" in caplog.text


def test_a_timeout_is_one_for_clients() -> None:
    short = ratio.with_options(timeout=0.2)
    with udfvm.flight.Server(short, listen="127.0.0.1:0") as server:
        with fl.connect(server.location) as client:
            with pytest.raises(fl.FlightTimedOutError, match=r"did not end within 0\.2 s"):
                call(client, "ratio", pa.array([1.0]), pa.array([13.0]))


def test_many_clients_at_once(location: str) -> None:
    def calls(number: int) -> list[Any]:
        with fl.connect(location) as client:
            column = pa.array([float(number)] * 100)
            return [call(client, "half", column) for _ in range(5)]

    running = [Background(lambda number=number: calls(number)) for number in range(12)]
    for number, each in enumerate(running):
        assert each.outcome() == [[number / 2] * 100] * 5


@pytest.fixture(scope="module")
def patient() -> Iterator[str]:
    """Where a function is served that never returns for 13, and has no timeout."""
    with udfvm.flight.Server(ratio.with_options(timeout=None), listen="127.0.0.1:0") as server:
        yield server.location


ENDLESS = batch_of(pa.array([1.0]), pa.array([13.0]))


def test_a_client_that_cancels_ends_its_call(patient: str) -> None:
    with running_call(patient, "ratio", ENDLESS) as reader:
        wait_until(lambda: busy(ratio) == 1)
        reader.cancel()
        wait_until(lambda: busy(ratio) == 0)


CLIENT = """
import sys
import pyarrow as pa
import pyarrow.flight as fl

client = fl.connect(sys.argv[1])
writer, reader = client.do_exchange(fl.FlightDescriptor.for_path("ratio"))
batch = pa.record_batch({"a": [1.0], "b": [13.0]})
writer.begin(batch.schema)
writer.write_batch(batch)
reader.read_chunk()
"""


def test_a_client_that_goes_away_ends_its_call(patient: str) -> None:
    client = subprocess.Popen([sys.executable, "-c", CLIENT, patient])
    try:
        wait_until(lambda: busy(ratio) == 1)
    finally:
        client.kill()
        client.wait()
    wait_until(lambda: busy(ratio) == 0)


def test_a_deadline_of_a_client_ends_its_call(patient: str) -> None:
    options = fl.FlightCallOptions(timeout=0.5)
    with fl.connect(patient) as client:
        with contextlib.suppress(fl.FlightTimedOutError):
            writer, reader = client.do_exchange(fl.FlightDescriptor.for_path("ratio"), options)
            writer.begin(ENDLESS.schema)
            writer.write_batch(ENDLESS)
            with pytest.raises(fl.FlightTimedOutError):
                reader.read_all()
    wait_until(lambda: busy(ratio) == 0)


def test_functions_that_clients_cannot_have() -> None:
    @udfvm.udf
    def most(*xs: float) -> float:
        return max(xs)

    @udfvm.aggregate
    class Count:
        def __init__(self) -> None:
            self.count = 0

        def step(self) -> None:
            self.count += 1

        def finish(self) -> int:
            return self.count

    serve = udfvm.flight.Server
    for functions, text in [
        ([most], r"\*args takes any number"),
        ([Count], "it has none"),
        ([ratio, ratio], "two functions have the name 'ratio'"),
        ([], "at least one function"),
        ([len], "takes UDFs"),
    ]:
        with pytest.raises(udfvm.SignatureError, match=text):
            serve(*functions, listen="127.0.0.1:0")


def test_the_client_of_databend(location: str) -> None:
    databend_udf = pytest.importorskip("databend_udf")
    port = int(location.rpartition(":")[2])
    client = databend_udf.UDFClient("127.0.0.1", port)
    assert client.call_function("ratio", 1.0, 2.0) == [0.5]
    assert client.call_function_batch("ratio", a=[1.0, None], b=[2.0, 1.0]) == [0.5, None]
    assert client.call_function("answer") == [42]
    with pytest.raises(fl.FlightServerError, match="negative"):
        client.call_function("ratio", 1.0, -2.0)


def test_the_same_protocol_as_servers_of_arrow_udf(client: Any) -> None:
    arrow_udf = pytest.importorskip("arrow_udf")

    def half(x: float) -> float | None:
        return None if x is None else x / 2

    def upto(count: int) -> Iterator[Any]:
        for i in range(count):
            yield i, f"number {i}"

    other = arrow_udf.UdfServer("127.0.0.1:0")
    other.add_function(arrow_udf.udf(input_types="DOUBLE PRECISION", result_type="FLOAT64")(half))
    other.add_function(arrow_udf.udtf(input_types="INT64", result_types=["INT64", "STRING"])(upto))
    try:
        with fl.connect(("127.0.0.1", other.port)) as another:
            for name in ("half", "upto"):
                path = fl.FlightDescriptor.for_path(name)
                told = [each.get_flight_info(path) for each in (client, another)]
                assert told[0].total_records == told[1].total_records
                assert told[0].descriptor == told[1].descriptor
                assert told[0].schema.names[1:] == told[1].schema.names[1:]
                assert told[0].schema.types[:2] == told[1].schema.types[:2]
            halves = [call(each, "half", pa.array([1.0, None])) for each in (client, another)]
            assert halves[0] == halves[1]
            batch = batch_of(pa.array([2, 0, 1]))
            tables = [exchange_with(each, "upto", batch) for each in (client, another)]
            assert tables[0]["row"] == tables[1]["row"]
            structs = [table["upto"].combine_chunks().flatten() for table in tables]
            assert structs[0] == structs[1]
            versions = [next(each.do_action("protocol_version")) for each in (client, another)]
            assert versions[0].body == versions[1].body
    finally:
        Background(other.shutdown).outcome()


def test_a_server_is_there_until_it_stops() -> None:
    server = udfvm.flight.Server(answer, listen="[::1]:0")
    assert server.location == f"grpc://[::1]:{server.port}" and str(server.port) in repr(server)
    assert not server.wait(0.01)
    server.stop()
    assert server.wait(LONG)
    server.stop()
    with fl.connect(server.location) as client, pytest.raises(fl.FlightUnavailableError):
        client.get_flight_info(fl.FlightDescriptor.for_path("answer"))
