"""Batches, values and results that are larger than the windows that VMs usually have: a vectorised
function sees its whole batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite
from udfvm import limits as policy
from udfvm.call import windows
from udfvm.call.windows import call_with_windows
from udfvm.images import base
from udfvm.protocol import INPUT_PAYLOAD, PAGE_SIZE
from udfvm.vmm import Windows

WINDOW = 2 << 20
ROWS = 1_000_000  # 8 MB of numbers: more than such a window holds


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and scratch of 2 MiB, so that a few megabytes are too large."""
    users = [module for name, module in sys.modules.items() if name.startswith("udfvm.")]
    for module in users:
        for name in {"WINDOW", "SCRATCH"} & set(vars(module)):
            monkeypatch.setattr(module, name, WINDOW)
    monkeypatch.setattr(base, "_open_bases", base._OpenBases())


def standardised(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (x - x.mean()) / x.std()


def expected(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (x - x.mean()) / x.std()


def vectorised(
    function: Callable[..., Any], kind: str = "double", result: str | None = None, **options: Any
) -> udfvm.ScalarFunction:
    made: udfvm.ScalarFunction = udfvm.udf(
        function,
        vectorized=True,
        input_types=[kind],
        output_type=result or kind,
        **{"name": "f", **options},
    )
    return made


def count_rows(x: pa.Array) -> pa.Array:
    return pa.array([len(x)] * len(x))


def whole_text(x: pa.Array) -> pa.Array:
    return pa.array([f"{len(x)} {value}" for value in x.to_pylist()])


@pytest.mark.parametrize("form", ["numpy", "array", "chunked", "sliced", "with nulls"])
def test_a_vectorised_function_sees_its_whole_batch(form: str) -> None:
    x = np.random.default_rng(1).normal(size=ROWS)
    function = vectorised(standardised)
    if form == "numpy":
        np.testing.assert_array_equal(function(x), expected(x))
    elif form == "array":
        np.testing.assert_array_equal(function(pa.array(x)).to_numpy(), expected(x))
    elif form == "chunked":
        result = function(pa.chunked_array([x[:10], x[10:700_000], x[700_000:]]))
        np.testing.assert_array_equal(result.to_numpy(), expected(x))
    elif form == "sliced":
        np.testing.assert_array_equal(
            function(pa.array(x).slice(5, ROWS - 10)).to_numpy(), expected(x[5:-5])
        )
    else:
        column = pa.array(x, mask=np.arange(ROWS) % 7 == 3)
        valid = x[np.arange(ROWS) % 7 != 3]
        np.testing.assert_array_equal(function(column).drop_null().to_numpy(), expected(valid))
    np.testing.assert_array_equal(function(x[:100]), expected(x[:100]))  # and small ones go on


@pytest.mark.parametrize("isolated", [1, 4])
def test_batches_of_text(isolated: int) -> None:
    column = pa.array([f"row {number} " + "x" * 90 for number in range(50_000)])
    function = vectorised(whole_text, "string", pool=udfvm.Pool(size=isolated))
    result = function(column)
    assert {value.split()[0] for value in result.to_pylist()} == {"50000"}
    assert result.to_pylist()[-1].startswith("50000 row 49999 ")


def test_an_elementwise_function_may_be_cut() -> None:
    function = vectorised(count_rows, result="int64", elementwise=True)
    result = function(pa.array(np.zeros(ROWS)))
    assert len(result) == ROWS and max(result.to_pylist()) < ROWS
    assert set(vectorised(count_rows, result="int64")(pa.array(np.zeros(ROWS))).to_pylist()) == {
        ROWS
    }


def test_scalar_functions_are_elementwise() -> None:
    @udfvm.udf
    def half(x: float) -> float:
        return x / 2

    assert (
        half.elementwise
        and not vectorised(standardised).elementwise
        and vectorised(standardised, elementwise=True).elementwise
    )
    x = np.arange(float(ROWS))
    np.testing.assert_array_equal(half(x), x / 2)
    with pytest.raises(udfvm.SignatureError, match="elementwise=False"):
        udfvm.udf(elementwise=False)(half.function)


def test_what_the_memory_does_not_allow_is_refused() -> None:
    function = vectorised(standardised, memory="256MiB")
    x = np.zeros(40_000_000)
    with pytest.raises(
        udfvm.InputTooLargeError,
        match=r"305\.2 MiB, more than the 256 MiB .* raise memory=.*elementwise=True",
    ):
        function(x)
    np.testing.assert_array_equal(function(np.arange(5.0)), expected(np.arange(5.0)))


def test_results_larger_than_the_window() -> None:
    def repeated(x: pa.Array) -> pa.Array:
        return pa.array(["y" * value for value in x.to_pylist()])

    function = vectorised(repeated, "int64", "string")
    assert function(pa.array([10, 9_000_000, 20])).to_pylist() == [
        "y" * 10,
        "y" * 9_000_000,
        "y" * 20,
    ]
    limited = vectorised(repeated, "int64", "string", max_output="4MiB")
    assert len(limited(pa.array([4_000_000]))[0].as_py()) == 4_000_000  # more than the window
    with pytest.raises(udfvm.OutputLimitError, match="max_output="):
        limited(pa.array([5_000_000]))
    assert limited(pa.array([3])).to_pylist() == ["yyy"]


def test_single_values() -> None:
    @udfvm.udf
    def doubled(text: str) -> str:
        return text + text

    assert doubled("ab" * 3_000_000) == "ab" * 6_000_000
    assert doubled(pa.array(["a", "b" * 3_000_000])).to_pylist() == ["aa", "b" * 6_000_000]
    assert doubled("ab") == "abab"


def test_larger_windows_are_given_back_at_once() -> None:
    pool = udfvm.Pool(size=3)
    function = vectorised(standardised, pool=pool)
    x = np.arange(float(ROWS))
    function(x[:10])
    before = pool.statistics()
    result = function(x)
    del result
    assert pool.statistics() == before
    for _ in range(5):
        with pytest.raises(udfvm.UDFError):
            vectorised(lambda x: 1 / 0, pool=pool)(x)
    assert pool.statistics().live <= before.live + 1


def test_one_vm_is_enough() -> None:
    """The only VM of the pool makes room for one with larger windows."""
    function = vectorised(standardised, pool=udfvm.Pool(size=1, wait=5.0))
    x = np.arange(float(ROWS))
    for rows in (10, ROWS, 10, ROWS):
        np.testing.assert_array_equal(function(x[:rows]), expected(x[:rows]))


def test_nothing_of_a_large_batch_is_left_for_the_next() -> None:
    secret = 1.2345678901234567e-100
    pool = udfvm.Pool(size=1)
    vectorised(lambda x: x * 1.0, pool=pool)(np.full(ROWS, secret))

    def search(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import ctypes

        needle = np.float64(1.2345678901234567e-100).tobytes()
        window = ctypes.string_at(INPUT_PAYLOAD, (2 << 20) - PAGE_SIZE)
        fresh = np.empty(900_000)
        return np.array([float(needle in window or needle in fresh.tobytes())])

    assert vectorised(search, pool=pool)(np.zeros(1)).tolist() == [0.0]


def test_host_functions_are_not_called_twice() -> None:
    calls = []

    def note(size: int) -> int:
        calls.append(size)
        return size

    def text(size: int) -> str:
        return "x" * note(size)  # type: ignore[name-defined,unused-ignore]

    text.__globals__["note"] = note
    try:
        function = udfvm.udf(text, host_functions=[note])
        with pytest.raises(udfvm.OutputLimitError, match="max_output="):
            function(5_000_000)
        assert calls == [5_000_000]
        roomy = udfvm.udf(text, host_functions=[note], max_output="8MiB")
        assert roomy(5_000_000) == "x" * 5_000_000
        assert calls == [5_000_000, 5_000_000]
    finally:
        del text.__globals__["note"]


def test_compiled_code(tmp_path: Path) -> None:
    function = udfvm.from_c(
        "double f(double x) { return x * 2; }", "f", signature="(double) -> double"
    )
    x = np.arange(float(ROWS))
    assert function.elementwise
    np.testing.assert_array_equal(function(x), x * 2)


def test_a_forked_child_makes_large_calls() -> None:
    import multiprocessing

    function = vectorised(standardised)
    x = np.arange(float(ROWS))
    function(x[:10])
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(False)
    child = context.Process(
        target=lambda: send.send(float(np.abs(function(x) - expected(x)).max()))
    )
    child.start()
    assert receive.poll(120) and receive.recv() == 0.0
    child.join()


# ---- SQL ----


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    made = apsw.Connection(":memory:")
    made.execute(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i"
        f" < {ROWS // 2}) SELECT i FROM n"
    )
    yield made
    made.close()


def mapped(connection: apsw.Connection, name: str, rows: int = ROWS // 2) -> np.ndarray[Any, Any]:
    query = f"SELECT value FROM vm_map('{name}', 'SELECT i, i * 1.0 FROM t WHERE i <= {rows}')"
    return np.array([value for (value,) in connection.execute(query)])


def test_a_vectorised_function_sees_all_rows_of_a_query(connection: apsw.Connection) -> None:
    udfvm.sqlite.register(connection, vectorised(standardised, name="standardised"))
    for rows in (10, 3_000, ROWS // 2, 20):
        np.testing.assert_array_equal(
            mapped(connection, "standardised", rows), expected(np.arange(1.0, rows + 1))
        )
    joined = connection.execute(
        "SELECT v.column1, sum(abs(m.value)) FROM (VALUES (1000), (500000), (2000)) v,"
        " vm_map('standardised', 'SELECT i, i * 1.0 FROM t WHERE i <= ?', v.column1) m GROUP BY"
        " v.column1"
    )
    for rows, total in joined:  # several runs of one cursor, the second of them in larger windows
        assert total == pytest.approx(np.abs(expected(np.arange(1.0, rows + 1))).sum())


def test_elementwise_functions_get_the_rows_of_a_query_in_batches(
    connection: apsw.Connection,
) -> None:
    cut = vectorised(count_rows, result="int64", elementwise=True, name="cut")
    udfvm.sqlite.register(connection, cut, vectorised(count_rows, result="int64", name="whole"))
    assert set(mapped(connection, "whole")) == {ROWS // 2}
    assert max(mapped(connection, "cut")) == 16384


def test_a_query_that_the_memory_does_not_allow_is_refused(connection: apsw.Connection) -> None:
    udfvm.sqlite.register(
        connection, vectorised(whole_text, "string", name="whole_text", memory="256MiB")
    )
    text = "SELECT i, printf(''%.2000c'', ''x'') FROM t WHERE i <= 200000"
    with pytest.raises(
        apsw.SQLError,
        match=(r"do not fit into the input window of 256 MiB: raise memory=.*elementwise=True"),
    ):
        connection.execute(f"SELECT count(*) FROM vm_map('whole_text', '{text}')").fetchall()
    assert connection.execute(
        "SELECT value FROM vm_map('whole_text', 'SELECT 1, char(97)')"
    ).fetchall() == [("1 a",)]


def test_results_in_sql_as_large_as_declared(connection: apsw.Connection) -> None:
    @udfvm.udf(max_output="8MiB")
    def many(count: int) -> str:
        return "x" * count

    udfvm.sqlite.register(connection, many)
    assert connection.execute("SELECT length(many(7000000)), length(many(5))").fetchall() == [
        (7_000_000, 5)
    ]
    with pytest.raises(apsw.SQLError, match="raise max_output="):
        connection.execute("SELECT many(9000000)").fetchall()


def test_sealed_functions_say_so() -> None:
    from udfvm.sqlite import sealed

    for elementwise in (False, True):
        note = sealed.sealed_note(
            vectorised(count_rows, result="int64", elementwise=elementwise, name="rows"), "rows"
        )
        assert note["whole"] == int(not elementwise)


# ---- How large the windows become ----


def limits(memory: int = 1 << 30, max_output: int = 0) -> policy.Limits:
    return policy.Limits(memory=memory, max_output=max_output)


def tried(needed: int, **options: Any) -> list[Windows]:
    """The windows that are tried for a result of so many bytes."""
    seen: list[Windows] = []

    def call(given: Windows) -> None:
        seen.append(given)
        if given.output < needed:
            error = udfvm.OutputLimitError("too large")
            error.size = options.get("says", needed)
            raise error

    call_with_windows(
        "f",
        options.get("limits", limits()),
        options.get("request", 10),
        call,
        failure=options.get("failure"),
    )
    return seen


def test_windows_are_as_large_as_it_takes() -> None:
    (first,) = tried(0, request=5 << 20)
    assert first == Windows(6 << 20, 6 << 20, 1 << 30)
    assert [given.output for given in tried(10 << 20)] == [WINDOW, 10 << 20]
    assert [given.output for given in tried(5 << 20, says=0)] == [WINDOW, 2 * WINDOW, 4 * WINDOW]
    assert [given.output for given in tried(5 << 20, limits=limits(max_output=6 << 20))] == [
        6 << 20
    ]


def test_a_guest_that_lies_about_the_size_gets_no_further() -> None:
    for says in (0, 1, 2**63, 2**64 - 1):
        with pytest.raises(udfvm.OutputLimitError, match="raise memory="):
            tried(2**62, says=says, limits=limits(memory=64 << 20))


def test_windows_end_where_the_addresses_do(monkeypatch: pytest.MonkeyPatch) -> None:
    (given,) = tried(0, request=7 << 30, limits=limits(memory=64 << 30))
    assert given.output + given.scratch == 16 << 30 and given.input > 7 << 30
    with pytest.raises(udfvm.InputTooLargeError, match="a window can have"):
        tried(0, request=9 << 30, limits=limits(memory=64 << 30))
    assert windows.MAX_WINDOW == 16 << 30
