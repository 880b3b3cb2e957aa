"""The options of register, and unregister: names in SQL, what is replaced, what goes away."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

import udfvm


@udfvm.udf
def plus_one(x: int) -> int:
    return x + 1


@udfvm.udf
def plus_two(x: int) -> int:
    return x + 2


@udfvm.udf(vectorized=True, elementwise=False)
def whole(x: int) -> int:
    return x


@udfvm.table_function(columns={"value": int})
def counted(count: int) -> Iterator[tuple[int]]:
    for index in range(count):
        yield (index,)


@udfvm.aggregate
class Gathered:
    def __init__(self) -> None:
        self.total = 0

    def step(self, x: int) -> None:
        self.total += x

    def finish(self) -> int:
        return self.total


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    made = apsw.Connection(":memory:")
    yield made
    made.close()


def names(connection: apsw.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM vm_functions")}


def test_another_name(connection: apsw.Connection) -> None:
    udfvm.sqlite.register(connection, plus_one, name="successor")
    assert connection.execute("SELECT successor(1), vm_udf('successor', 2)").get == (2, 3)
    assert names(connection) == {"successor"}
    with pytest.raises(apsw.SQLError, match="plus_one"):
        connection.execute("SELECT plus_one(1)").get  # noqa: B018


def test_a_name_is_for_one_function(connection: apsw.Connection) -> None:
    for functions in ((), (plus_one, plus_two)):
        with pytest.raises(udfvm.SignatureError, match="name= is the name of one function"):
            udfvm.sqlite.register(connection, *functions, name="both")
    with pytest.raises(udfvm.SignatureError, match="cannot be the name of a UDF"):
        udfvm.sqlite.register(connection, plus_one, name="not a name")


def test_names_that_are_taken(connection: apsw.Connection) -> None:
    connection.execute("SELECT * FROM json_each('[]')").fetchall()  # SQLite defines it at first use
    udfvm.sqlite.register(connection, plus_one, whole, replace=False)
    for function, name in (
        (plus_two, "plus_one"),
        (plus_two, "PLUS_ONE"),
        (plus_two, "whole"),
        (plus_two, "upper"),
        (counted, "json_each"),
    ):
        with pytest.raises(udfvm.SignatureError, match="pass another name=, or replace=True"):
            udfvm.sqlite.register(connection, function, name=name, replace=False)
    with pytest.raises(udfvm.SignatureError, match="'plus_one'"):
        udfvm.sqlite.register(connection, plus_two, plus_one, replace=False)
    assert names(connection) == {"plus_one", "whole"}
    assert connection.execute("SELECT plus_one(1), upper('a')").get == (2, "A")
    udfvm.sqlite.register(connection, plus_two, name="plus_one")
    assert connection.execute("SELECT plus_one(1)").get == 3
    # a vectorised function has no SQL function that could replace another
    udfvm.sqlite.register(connection, whole, name="upper", replace=False)
    assert connection.execute("SELECT upper('a')").get == "A"


def test_isolation_of_a_connection() -> None:
    @udfvm.udf(isolation="row")
    def calls() -> int:
        state.append(0)
        return len(state)

    state: list[int] = []
    query = "SELECT calls() FROM (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)"
    for isolation, expected in ((None, 1), ("row", 1), ("statement", 3)):
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, calls, isolation=isolation)
        assert max(connection.execute(query).fetchall())[0] == expected
    with pytest.raises(udfvm.OptionError, match="must be 'statement' or 'row'"):
        udfvm.sqlite.register(connection, calls, isolation="never")  # type: ignore[arg-type]


def test_table_functions_and_aggregates_have_no_isolation(connection: apsw.Connection) -> None:
    @udfvm.table_function(columns={"n": "int64"})
    def numbers(count: int):  # type: ignore[no-untyped-def]
        yield from range(count)

    @udfvm.aggregate
    class Total:
        def __init__(self) -> None:
            self.sum = 0

        def step(self, x: int) -> None:
            self.sum += x

        def finish(self) -> int:
            return self.sum

    udfvm.sqlite.register(connection, plus_one)
    for function, form in ((numbers, "a table function"), (Total, "an aggregate")):
        with pytest.raises(udfvm.OptionError, match=f"isolation='row' is for .* is {form}"):
            udfvm.sqlite.register(connection, plus_two, function, isolation="row")
        assert names(connection) == {"plus_one"}


def test_functions_go_away(connection: apsw.Connection) -> None:
    functions = (plus_one, plus_two, whole, counted, Gathered)
    udfvm.sqlite.register(connection, *functions)
    queries = {
        "plus_one": ("SELECT plus_one(1)", "SELECT vm_udf('plus_one', 1)"),
        "whole": ("SELECT value FROM vm_map('whole', 'SELECT 1, 1')",),
        "counted": ("SELECT * FROM counted(1)", "SELECT c1 FROM vm_table('counted', 1)"),
        "Gathered": ("SELECT Gathered(1)", "SELECT vm_agg('Gathered', 1)"),
    }
    for query in sum(queries.values(), ()):
        assert connection.execute(query).fetchall()
    udfvm.sqlite.unregister(connection, plus_one, "WHOLE", counted, "Gathered", "Gathered")
    assert names(connection) == {"plus_two"}
    for query in sum(queries.values(), ()):
        with pytest.raises(apsw.SQLError, match=r"no such|no UDF named|named"):
            connection.execute(query).fetchall()
    assert connection.execute("SELECT plus_two(1)").get == 3
    udfvm.sqlite.register(connection, *functions, replace=True)
    for query in sum(queries.values(), ()):
        assert connection.execute(query).fetchall()


def test_functions_that_are_not_there(connection: apsw.Connection) -> None:
    with pytest.raises(udfvm.UnknownUDFError, match="'plus_one'"):
        udfvm.sqlite.unregister(connection, plus_one)
    udfvm.sqlite.register(connection, plus_one)
    with pytest.raises(udfvm.UnknownUDFError, match=r"'nobody'.*vm_functions"):
        udfvm.sqlite.unregister(connection, "plus_one", "nobody")
    assert names(connection) == {"plus_one"}
    with pytest.raises(udfvm.SignatureError, match="takes UDFs"):
        udfvm.sqlite.unregister(connection, len)  # type: ignore[arg-type]


def test_functions_in_use_stay(connection: apsw.Connection) -> None:
    udfvm.sqlite.register(connection, plus_one)
    running = connection.execute("SELECT plus_one(value) FROM json_each('[1, 2]')")
    assert next(running) == (2,)
    with pytest.raises(Exception, match="while statements of this connection run"):
        udfvm.sqlite.unregister(connection, plus_one)
    assert next(running) == (3,)
    running.close()
    udfvm.sqlite.unregister(connection, plus_one)
    assert names(connection) == set()


def test_a_table_function_that_a_table_would_hide(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE items(a); CREATE VIEW shown AS SELECT 1")
    for name in ("items", "Shown"):
        with pytest.raises(
            udfvm.SignatureError, match=f"{name}: .*table or view of that name would hide"
        ):
            udfvm.sqlite.register(connection, counted, name=name)
    assert names(connection) == set()
    for _ in range(2):
        udfvm.sqlite.register(connection, counted)
        assert connection.execute("SELECT * FROM counted(1)").get == 0
