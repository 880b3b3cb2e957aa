"""One set of options for every kind of function; what table functions yield before an error; host
functions' declarations.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import pickle
from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import apsw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors
from udfvm.sqlite import Policy

# ---- Options ----


def test_options_that_do_not_exist() -> None:
    decorators: list[tuple[Callable[..., Any], object]] = [
        (udfvm.table_function, len),
        (udfvm.aggregate, dict),
    ]
    for decorate, target in decorators:
        for wrong in ("timeot", "vectorised", "isolation", "limits"):
            with pytest.raises(
                TypeError, match=f"no option {wrong}=; there are name, memory, timeout"
            ):
                decorate(**{wrong: 1})(target)


def test_what_was_probably_meant() -> None:
    def f(x: int) -> int:
        return x

    code, connection = "long long f(long long x) { return x; }", apsw.Connection(":memory:")
    cases: list[tuple[Callable[..., Any], tuple[object, ...], str, str]] = [
        (udfvm.udf, (), "timeot", "timeout"),
        (udfvm.udf, (f,), "vectorised", "vectorized"),
        (udfvm.from_c, (code, "f"), "memroy", "memory"),
        (udfvm.from_elf, ("/bin/true", "f"), "signatur", "signature"),
        (udfvm.from_wasm, ("(module)", "f"), "memry", "memory"),
        (udfvm.sqlite.register, (connection,), "polcy", "policy"),
        (udfvm.Pool, (), "sze", "size"),
        (Policy, (), "row_timeot", "row_timeout"),
    ]
    for function, arguments, wrong, meant in cases:
        with pytest.raises(
            errors.SignatureError, match=f"no option {wrong}=; there are .*; did you mean {meant}="
        ) as raised:
            function(*arguments, **{wrong: 1})
        assert isinstance(raised.value, TypeError)
    with pytest.raises(errors.SignatureError, match="did you mean memory="):
        udfvm.table_function(columns={"x": int}, memroy=1)(f)  # type: ignore[call-arg]


def test_pools_of_table_functions_and_aggregates() -> None:
    with udfvm.Pool(size=1) as pool:

        @udfvm.table_function(columns={"i": int}, pool=pool)
        def numbers(count: int) -> Iterator[int]:
            yield from range(count)

        @udfvm.aggregate(pool=pool)
        class Total:
            def __init__(self) -> None:
                self.total = 0

            def step(self, value: int) -> None:
                self.total += value

            def finish(self) -> int:
                return self.total

        assert list(numbers(3)) == [(0,), (1,), (2,)]
        assert Total(np.array([1, 2, 3])) == 6
        assert pool.statistics().live > 0
    with pytest.raises(errors.PoolClosedError):
        list(numbers(3))


def price(name: str) -> float:
    return {"tea": 2.0, "coffee": 3.0}[name]


@udfvm.table_function(columns={"name": str, "price": float}, host_functions=[price], host_calls=3)
def prices(names: str) -> Iterator[tuple[str, float]]:
    for name in names.split():
        yield name, price(name)


@udfvm.aggregate(host_functions=[price])
class Bill:
    def __init__(self) -> None:
        self.total = 0.0

    def step(self, name: str) -> None:
        self.total += price(name)

    def finish(self) -> float:
        return self.total


def test_host_functions_of_table_functions_and_aggregates() -> None:
    assert list(prices("tea coffee")) == [("tea", 2.0), ("coffee", 3.0)]
    assert Bill(pa.array(["tea", "coffee", "tea"])) == 7.0
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, prices, Bill)
    assert connection.execute("SELECT sum(price) FROM prices('tea coffee')").fetchall() == [(5.0,)]
    assert connection.execute("SELECT bill(name) FROM prices('tea coffee')").fetchall() == [(5.0,)]
    with pytest.raises(errors.HostCallLimitError, match="host_calls="):
        list(prices("tea tea tea tea"))


# ---- Copies with other options ----


class Most:
    def __init__(self) -> None:
        self.most = 0

    def step(self, value: int) -> None:
        self.most = max(self.most, value)

    def finish(self) -> int:
        return self.most


def counted(count: int) -> Iterator[int]:
    yield from range(count)


def doubled(x: int) -> int:
    return 2 * x


def doubled_arrays(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return x * 2


MODULE = '(module (func (export "f") (param i64) (result i64) local.get 0 i64.const 2 i64.mul))'
SOURCE = "long long f(long long x) { return 2 * x; }"
FORMS: dict[str, tuple[Callable[..., udfvm.Function], Callable[[Any], Any], Any]] = {
    "scalar": (lambda **o: udfvm.udf(**o)(doubled), lambda f: f(2), 4),
    "vectorised": (
        lambda **o: udfvm.udf(vectorized=True, **o)(doubled_arrays),
        lambda f: f(np.array([2])).tolist(),
        [4],
    ),
    "table": (
        lambda **o: udfvm.table_function(columns={"i": int}, **o)(counted),
        lambda f: list(f(2)),
        [(0,), (1,)],
    ),
    "aggregate": (lambda **o: udfvm.aggregate(**o)(Most), lambda f: f(np.array([2, 1])), 2),
    "native": (
        lambda **o: udfvm.from_c(SOURCE, "f", signature="(x: i64) -> i64", **o),
        lambda f: f(2),
        4,
    ),
    "wasm": (lambda **o: udfvm.from_wasm(MODULE, "f", **o), lambda f: f(2), 4),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_with_other_options(form: str) -> None:
    declare, call, result = FORMS[form]
    original = declare(memory="256MiB", timeout=7)
    with udfvm.Pool(size=1) as pool:
        copy = original.with_options(name="copy", timeout=None, max_log=5, log="drop", pool=pool)
        assert call(copy) == call(original) == result
        assert pool.statistics().live == 1
    assert (copy.name, copy.pool) == ("copy", pool) and original.name != "copy"
    assert copy.limits == original.limits._replace(timeout_ns=0, max_log=5, log="drop")
    assert type(copy) is type(original)
    assert (copy.parameters, copy.result) == (original.parameters, original.result)
    assert repr(copy) == repr(original).replace(original.name, "copy", 1)
    again = copy.with_options(pool=None)
    assert again.name == "copy" and again.pool is udfvm.Pool.default()
    assert again.limits == copy.limits and call(again.prepare()) == result


@pytest.mark.parametrize("form", FORMS)
def test_copies_travel(form: str) -> None:
    declare, call, result = FORMS[form]
    copy = declare().with_options(name="copy", max_output=1000)
    arrived = pickle.loads(pickle.dumps(copy))
    assert type(arrived) is type(copy) and repr(arrived) == repr(copy)
    assert arrived.limits == copy.limits and call(arrived) == result


@pytest.mark.parametrize("form", FORMS)
def test_options_that_a_copy_cannot_have(form: str) -> None:
    original = FORMS[form][0]()
    with pytest.raises(errors.SignatureError, match=r"no option timeot=.*did you mean timeout="):
        original.with_options(timeot=1)  # type: ignore[call-arg]
    with pytest.raises(errors.SignatureError, match="timeout= takes seconds as a number"):
        original.with_options(timeout="1s")  # type: ignore[arg-type]
    with pytest.raises(errors.SignatureError, match="is no name for a UDF"):
        original.with_options(name="no name")
    for option in {
        "table": ["isolation"],
        "wasm": ["files", "packages"],
        "native": ["packages"],
    }.get(form, ["vectorized"]):
        with pytest.raises(errors.SignatureError, match=f"no option {option}="):
            original.with_options(**{option: "row"})  # type: ignore[arg-type]
    assert original.with_options() is not original


# ---- Rows before an error ----


@udfvm.table_function(columns={"i": int, "text": str})
def until(count: int, stop: int, how: str) -> Iterator[Any]:
    for i in range(count):
        if i == stop:
            if how == "raises":
                raise ValueError(f"at {i}")
            yield {"type": (i, b"bytes"), "width": (i, "a", "b"), "value": ("x", "a"), "none": 7}[
                how
            ]
        yield i, "x" * (i % 7)


@pytest.mark.parametrize("how", ["raises", "type", "width", "value", "none"])
@pytest.mark.parametrize("stop", [0, 1, 5, 63, 64, 65, 500, 5000])
def test_rows_before_an_error_are_yielded(how: str, stop: int) -> None:
    seen = []
    with pytest.raises(udfvm.UDFError):
        for row in until(10_000, stop, how):
            seen.append(row)
    assert seen == [(i, "x" * (i % 7)) for i in range(stop)]


@pytest.mark.parametrize("how", ["raises", "type", "width"])
def test_rows_before_an_error_in_sql(how: str) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, until)
    rows: list[Any] = []
    assert connection.execute("SELECT i FROM until(10, 5, ?) LIMIT 5", (how,)).fetchall() == [
        (i,) for i in range(5)
    ]
    with pytest.raises(apsw.SQLError):
        rows.extend(connection.execute("SELECT i FROM until(10, 5, ?)", (how,)))
    assert rows == [(i,) for i in range(5)]


def test_batches_before_an_error_are_yielded() -> None:
    @udfvm.table_function(columns={"i": int}, packages=["pyarrow"])
    def batches(wrong: bool) -> Iterator[Any]:
        import pyarrow as pa

        yield 1
        yield pa.table({"i": [2, 3]})
        yield 4
        if wrong:
            yield pa.table({"i": ["x"]})
        raise ValueError("end")

    for wrong in (False, True):
        seen: list[Any] = []
        with pytest.raises(udfvm.UDFError):
            for row in batches(wrong):
                seen.append(row)
        assert seen == [(1,), (2,), (3,), (4,)]


# ---- Host functions ----


def call(function: Callable[..., Any], body: str) -> Any:
    made = udfvm.udf(
        eval(f"lambda k: {body}", {function.__name__: function}),
        name="u",
        input_types=["string"],
        output_type="string",
        host_functions=[function],
    )
    return made("z")


def test_a_host_function_that_returns_nothing() -> None:
    told = []

    def tell(text: str) -> None:
        told.append(text)

    assert call(tell, "str(tell(k))") == "None"
    assert told == ["z"]

    def lies(text: str) -> None:
        return 5  # type: ignore[return-value]

    with pytest.raises(
        errors.HostFunctionError, match="returned int, and is annotated to return None"
    ):
        call(lies, "str(lies(k))")


def test_defaults_of_host_functions() -> None:
    def several(
        a: str,
        b: int = 5,
        c: float = 0.5,
        d: str = "é",
        e: bytes = b"\0x",
        f: bool = True,
        g: int | None = None,
    ) -> str:
        return repr((a, b, c, d, e, f, g))

    whole = ("z", 5, 0.5, "é", b"\0x", True, None)
    assert call(several, "several(k)") == repr(whole)
    assert call(several, "several(k, 6, g=7)") == repr((whole[0], 6, *whole[2:6], 7))
    assert call(several, "several(a=k, d='d')") == repr((*whole[:3], "d", *whole[4:]))
    with pytest.raises(udfvm.UDFError, match=r"several\(\) takes the arguments \(a, b=5, c=0\.5"):
        call(several, "several()")
    with pytest.raises(udfvm.UDFError, match=r"several\(\) takes the arguments"):
        call(several, "several(k, x=1)")


class Point(TypedDict):
    x: float


def _cases() -> list[tuple[Any, str]]:
    async def waits(k: str) -> int:
        return 1

    async def yields(k: str) -> Any:
        yield 1

    class Waits:
        __name__ = "waits"

        async def __call__(self, k: str) -> int:
            return 1

    def dictionary(k: str) -> dict:  # type: ignore[type-arg]
        return {}

    def structure(k: str) -> Point:
        return {"x": 1.0}

    def listed(k: list[int]) -> int:
        return len(k)

    def odd(k: str, n: int = "five") -> int:  # type: ignore[assignment]
        return n

    def nothing(k: str, n: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
        return n

    return [
        (waits, "is async: give an ordinary function"),
        (yields, "is async"),
        (Waits(), "is async"),
        (dictionary, "the result is a dict or list, which do not cross: use str, of which json"),
        (structure, "the result is a dict or list"),
        (listed, "parameter 'k' is a dict or list"),
        (odd, "the default of 'n' is 'five', which is not of its type, int"),
        (nothing, r"the default of 'n' is None: annotate it int \| None"),
    ]


@pytest.mark.parametrize(("function", "message"), _cases())
def test_host_functions_that_cannot_be(function: Any, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.udf(
            lambda k: 1,
            name="u",
            input_types=["string"],
            output_type="int64",
            host_functions=[function],
        )


def test_asynchronous_functions_are_refused() -> None:
    async def waits(x: int) -> int:
        await asyncio.sleep(0)
        return x

    async def rows(x: int) -> Any:
        yield x

    for decorate, function in (
        (udfvm.udf, waits),
        (udfvm.table_function(columns={"i": int}), rows),
    ):
        with pytest.raises(errors.SignatureError, match="async"):
            decorate(function)
    with pytest.raises(errors.SignatureError, match="async"):
        udfvm.udf(functools.wraps(waits)(waits))


# ---- SQL ----


@pytest.mark.parametrize(
    "source", [b"\xef\xbb\xbfdef f(x): return x + 1\n", "\ufeffdef f(x): return x + 1\n"]
)
def test_a_byte_order_mark_is_no_part_of_a_source(source: bytes | str) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=Policy(allow_create=True))
    connection.execute("SELECT vm_create('f', 'python', ?, '(int) -> int')", (source,))
    assert connection.execute("SELECT vm_udf('f', 1)").fetchall() == [(2,)]


def test_names_that_differ_by_case() -> None:
    one, two = (
        udfvm.udf(lambda: 1, name="twice", output_type="int64"),
        udfvm.udf(lambda: 2, name="Twice", output_type="int64"),
    )
    again = udfvm.udf(lambda: 3, name="twice", output_type="int64")
    connection = apsw.Connection(":memory:")
    for pair in ((one, two), (one, again)):
        with pytest.raises(errors.Error, match="are one name in SQL, where case does not count"):
            udfvm.sqlite.register(connection, *pair)
    udfvm.sqlite.register(connection, one, one)
    with pytest.raises(apsw.Error, match="differs from it by case alone"):
        udfvm.sqlite.register(connection, two)
    assert connection.execute("SELECT twice()").fetchall() == [(1,)]
    udfvm.sqlite.register(connection, again)
    assert connection.execute("SELECT TWICE()").fetchall() == [(3,)]


@udfvm.udf
def several(
    a: int, b: float = 0.5, c: str = "é'x", d: bytes = b"\0y", e: bool = True, f: int | None = None
) -> str:
    return repr((a, b, c, d, e, f))


WHOLE = (1, 0.5, "é'x", b"\0y", True, None)


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_defaults_in_sql(isolation: Any) -> None:
    made = udfvm.udf(isolation=isolation)(several.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, made)
    for query in ("several(1)", "vm_udf('several', 1)"):
        assert (
            connection.execute(f"SELECT {query} FROM (VALUES (1), (2))").fetchall()
            == [(repr(WHOLE),)] * 2
        )
    assert connection.execute("SELECT several(1, 2.5, 'z')").fetchall() == [
        (repr((1, 2.5, "z", *WHOLE[3:])),)
    ]
    assert connection.execute("SELECT value FROM vm_map('several', 'SELECT 0, 1')").fetchall() == [
        (repr(WHOLE),)
    ]
    assert connection.execute("SELECT several(1, 1, 'a', x'00', 0, 7)").fetchall() == [
        (repr((1, 1.0, "a", b"\0", False, 7)),)
    ]
    with pytest.raises(apsw.SQLError, match=r"takes 6 arguments \(a, b=, c=, d=, e=, f=\), got 0"):
        connection.execute("SELECT vm_udf('several')")
    with pytest.raises(apsw.SQLError, match="wrong number of arguments"):
        connection.execute("SELECT several()")


def test_defaults_of_table_functions_and_aggregates_in_sql() -> None:
    @udfvm.table_function(columns={"i": int})
    def numbers(count: int = 3, step: int = 2) -> Iterator[int]:
        yield from range(0, count * step, step)

    @udfvm.aggregate
    class Weighted:
        def __init__(self) -> None:
            self.total = 0.0

        def step(self, value: float, weight: float = 10.0) -> None:
            self.total += value * weight

        def finish(self) -> float:
            return self.total

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, numbers, Weighted)
    assert connection.execute("SELECT * FROM numbers").fetchall() == [(0,), (2,), (4,)]
    assert connection.execute("SELECT * FROM numbers(2)").fetchall() == [(0,), (2,)]
    assert connection.execute("SELECT c1 FROM vm_table('numbers', 1)").fetchall() == [(0,)]
    values = "FROM (VALUES (1.0), (2.0))"
    assert connection.execute(
        f"SELECT weighted(column1), vm_agg('weighted', column1), weighted(column1, 1) {values}"
    ).fetchall() == [(30.0, 30.0, 3.0)]


def test_defaults_change_with_the_function() -> None:
    connection = apsw.Connection(":memory:")

    def one(a: int, b: int = 1) -> int:
        return a + b

    def other(a: int, b: int) -> int:
        return a * b

    udfvm.sqlite.register(connection, udfvm.udf(one, name="both"))
    assert connection.execute("SELECT both(2), both(2, 5)").fetchall() == [(3, 7)]
    udfvm.sqlite.register(connection, udfvm.udf(other, name="both"))
    assert connection.execute("SELECT both(2, 5)").fetchall() == [(10,)]
    with pytest.raises(apsw.SQLError, match="wrong number of arguments"):
        connection.execute("SELECT both(2)")


def test_defaults_that_sql_has_in_another_form() -> None:
    @udfvm.udf
    def joined(day: datetime.date = datetime.date(1970, 1, 3), tags: list[str] = ["a", "b"]) -> str:  # noqa: B006, B008
        return f"{day} {tags}"

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, joined)
    assert connection.execute("SELECT joined(), joined(0)").fetchall() == [
        ("1970-01-03 ['a', 'b']", "1970-01-01 ['a', 'b']")
    ]


def test_generators_are_refused_where_a_value_is_declared() -> None:
    def numbers(x: int) -> int:
        yield x

    for declared_as in (
        udfvm.udf,
        udfvm.udf(vectorized=True, output_type="int64", input_types=["int64"]),
    ):
        with pytest.raises(
            errors.SignatureError,
            match=r"the function yields: return a value, or declare it with @udfvm\.table_function",
        ):
            declared_as(numbers)
    assert udfvm.table_function(columns={"i": int})(numbers).name == "numbers"
