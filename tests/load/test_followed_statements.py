"""SQL statements use what names mean when they begin."""

from __future__ import annotations

import apsw
import pytest
from notebook_cells import UDF, Notebook

import udfvm


@pytest.mark.parametrize("isolation", ["statement", "row"])
def test_statements_take_what_names_mean_when_they_begin(
    notebook: Notebook, isolation: str
) -> None:
    notebook.run(
        f"K = 1\n@udfvm.udf(isolation={isolation!r})\ndef f(x: int) -> int: return x *"
        " K\n@udfvm.table_function(columns={'x': int})\ndef t(x: int):\n    yield x *"
        " K\n@udfvm.aggregate\nclass Total:\n    def __init__(self): self.total = 0\n    def"
        " step(self, x: int) -> None: self.total += x * K\n    def finish(self) -> int: return"
        " self.total\n"
    )
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *(notebook[name] for name in ("f", "t", "Total")))
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
    queries = (
        f"{rows} SELECT f(i), vm_udf('f', i) FROM n",
        "SELECT value, value FROM vm_map('f', 'SELECT 0, 1')",
        "SELECT x, x FROM t(1)",
        f"{rows} SELECT total(1), total(1) FROM n WHERE i = 1",
    )
    for factor in (1, 3, 7):
        notebook.run(f"K = {factor}")
        for query in queries:
            assert connection.execute(query).fetchone() == (factor, factor)
    running = connection.execute(f"{rows} SELECT f(i) FROM n")
    assert next(running) == (7,)
    notebook.run("K = 100")
    assert connection.execute("SELECT f(1)").fetchall() == [(100,)]
    assert list(running) == [(7 * i,) for i in range(2, 21)]
    assert connection.execute("SELECT f(1)").fetchall() == [(100,)]


def test_a_function_that_cannot_be_built_fails_the_statement_alone(notebook: Notebook) -> None:
    notebook.run(UDF.format("x * K") + "import threading\nK = 2")
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, notebook["f"])
    assert connection.execute("SELECT f(1)").fetchall() == [(2,)]
    notebook.run("K = threading.Lock()")
    for _ in range(2):
        with pytest.raises(apsw.SQLError, match="UDF 'f' cannot be sent to a micro-VM"):
            connection.execute("SELECT f(1)")
    notebook.run("K = 3")
    assert connection.execute("SELECT f(1)").fetchall() == [(3,)]


def test_another_base_image(notebook: Notebook) -> None:
    notebook.run(UDF.format("int(K(x))") + "import numpy\nK = abs")
    with udfvm.Pool(size=2) as pool:
        made = udfvm.udf(pool=pool)(notebook["f"].function)
        connection = apsw.Connection(":memory:")
        udfvm.sqlite.register(connection, made)
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
        running = connection.execute(f"{rows} SELECT f(-i) FROM n")
        assert next(running) == (1,)
        notebook.run("K = numpy.negative")
        assert connection.execute("SELECT f(5)").fetchall() == [(-5,)]
        assert sum(value for (value,) in running) == sum(range(2, 21))
        assert connection.execute("SELECT f(5)").fetchall() == [(-5,)]
