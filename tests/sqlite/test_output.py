"""What functions print in SQL is seen as the rows come, up to the statement's limit."""

from __future__ import annotations

from typing import Any

import apsw
import pytest
from printing_functions import Capture, prints

import udfvm

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_rows_of_a_statement_are_seen_as_they_come(capsys: Capture, isolation: Any) -> None:
    function = udfvm.udf(name="prints", isolation=isolation)(prints.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    for number, row in enumerate(connection.execute(NUMBERS + "SELECT prints(i) FROM n"), 1):
        assert row == (number,)
        out, err = capsys.readouterr()
        assert out.endswith(f"out {number}\n")
        assert err.endswith(f"err {number}\n")


def test_a_statement_that_fails(capsys: Capture) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, prints)
    for end in (-1, -2, -3, -4):
        with pytest.raises(apsw.SQLError):
            connection.execute(NUMBERS + f"SELECT prints(iif(i = 20, {end}, i)) FROM n").fetchall()
        out, err = capsys.readouterr()
        assert out == "".join(f"out {i}\n" for i in range(1, 20)) + f"out {end}\nand then"
        assert err == "".join(f"err {i}\n" for i in range(1, 20)) + f"err {end}\n"


def test_the_limit_is_that_of_the_statement(capsys: Capture) -> None:
    function = udfvm.udf(name="prints", max_log=100)(prints.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    for _ in range(2):
        assert connection.execute(NUMBERS + "SELECT sum(prints(i)) FROM n").fetchall() == [(465,)]
        out, err = capsys.readouterr()
        assert (out + err).count("[udfvm: output cut at 100 bytes; raise max_log=]") == 1
        assert len(out + err) < 200


def test_the_policy_of_the_connection(capsys: Capture) -> None:
    heard: list[tuple[str, str]] = []
    source = "def stored(a):\n    print('stored', a)\n    return a\n"

    def run(log: Any) -> None:
        connection = apsw.Connection(":memory:")
        policy = udfvm.sqlite.Policy(allow_create=True, log=log)
        own = udfvm.udf(name="own", log=lambda text, stream: heard.append(("own", text)))(
            prints.function
        )
        udfvm.sqlite.register(connection, prints, own, policy=policy)
        connection.execute("SELECT vm_create('stored', 'python', ?, '(int) -> int')", (source,))
        assert list(connection.execute("SELECT vm_udf('stored', 1), prints(2), own(3)")) == [
            (1, 2, 3)
        ]

    run("forward")
    assert tuple(capsys.readouterr()) == ("stored 1\nout 2\n", "err 2\n")
    run("drop")
    assert tuple(capsys.readouterr()) == ("", "")
    own = [("own", "out 3\n"), ("own", "err 3\n")]
    assert heard == own * 2
    heard.clear()
    run(lambda text, stream: heard.append((stream, text)))
    assert heard == [("stdout", "stored 1\n"), ("stdout", "out 2\n"), ("stderr", "err 2\n"), *own]


def test_what_a_callable_raises_ends_the_statement() -> None:
    def refuse(text: str, stream: str) -> None:
        raise ValueError(text)

    function = udfvm.udf(name="prints", log=refuse)(prints.function)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    with pytest.raises(apsw.SQLError, match="printed could not be passed on"):
        connection.execute("SELECT prints(1)").fetchall()


def test_an_error_before_the_call_has_nothing_of_a_statement_before() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, prints)
    with pytest.raises(apsw.SQLError):
        connection.execute("SELECT prints(-1)").fetchall()

    @udfvm.udf(memory="64MiB")
    def measured(x: bytes) -> int:
        return len(x)

    with pytest.raises(udfvm.InputTooLargeError) as caught:
        measured(bytes(200 << 20))
    assert caught.value.output == ""


def test_callables_need_not_be_hashable() -> None:
    class Keeps(list[str]):
        def __call__(self, text: str, stream: str) -> None:
            self.append(text)

    kept = Keeps()
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, prints, policy=udfvm.sqlite.Policy(log=kept))
    connection.execute("SELECT prints(1)").fetchall()
    assert kept == ["out 1\n", "err 1\n"]
