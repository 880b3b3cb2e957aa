"""Answers that are of their declared type and that Python has no value for: an exception of udfvm's
own, whoever looks at them.
"""

from __future__ import annotations

from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite
from udfvm.types.arrow_types import declared

TYPES = [
    "date32",
    "timestamp[s]",
    "timestamp[us, tz=UTC]",
    "list<date32>",
    "list<list<timestamp[s]>>",
    "struct<t: timestamp[s], n: int64>",
    "list<struct<d: date32>>",
]


def hostile(name: str, whole: pa.DataType) -> udfvm.ScalarFunction:
    @udfvm.udf(vectorized=True, input_types=["int64"], output_type=name, name="odd")
    def odd(x):  # type: ignore[no-untyped-def]
        import pyarrow as pa

        def array_of(kind, count):  # type: ignore[no-untyped-def]
            if pa.types.is_list(kind):
                return pa.ListArray.from_arrays(
                    pa.array(range(count + 1), pa.int32()), array_of(kind.value_type, count)
                )
            if pa.types.is_struct(kind):
                return pa.StructArray.from_arrays(
                    [array_of(field.type, count) for field in kind], fields=list(kind)
                )
            if pa.types.is_integer(kind):
                return pa.array([1] * count, kind)
            if kind.bit_width == 32:
                return pa.array([2**30] * count, pa.int32()).view(kind)
            return pa.array([2**62 if kind.unit == "us" else 2**55] * count, pa.int64()).view(kind)

        return array_of(whole, len(x))

    return odd


def outcome(call: Any) -> Any:
    """The result of a call, or the exception that is udfvm's."""
    try:
        return call()
    except udfvm.Error as error:
        return error


@pytest.mark.parametrize("name", TYPES)
def test_answers_out_of_pythons_range(name: str) -> None:
    kind = declared(name).arrow
    odd = hostile(name, kind)
    scalar, arrays = outcome(lambda: odd(1)), outcome(lambda: odd(np.array([1, 2])))
    assert isinstance(scalar, udfvm.TypeMappingError)
    assert "UDF 'odd', row 0: the result is a" in str(scalar) and "Python cannot hold" in str(
        scalar
    )
    assert isinstance(arrays, np.ndarray | udfvm.TypeMappingError)
    assert pa.types.is_temporal(kind) == isinstance(arrays, np.ndarray)
    assert len(odd(pa.array([1, 2]))) == 2  # Arrow can hold them


def test_rows_of_tables() -> None:
    @udfvm.table_function(columns={"n": "int64", "d": "date32", "t": "timestamp[s]"})
    def rows(count: int):  # type: ignore[no-untyped-def]
        import pyarrow as pa

        days, seconds = pa.array([0, 2**30], pa.int32()), pa.array([0, 2**55], pa.int64())
        yield pa.record_batch(
            {
                "n": pa.array([1, 2]),
                "d": days.view(pa.date32()),
                "t": seconds.view(pa.timestamp("s")),
            }
        )

    with pytest.raises(udfvm.TypeMappingError, match="UDF 'rows', row 1: column 'd' is a date32"):
        list(rows(1))
    assert sum(batch.num_rows for batch in rows.batches(1)) == 2


def test_a_damaged_database() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))
    connection.execute(
        "SELECT vm_create('twice', 'python', 'def twice(x):\n return 2 * x', '(x int) -> int')"
    ).fetchall()
    table = connection.execute(
        "SELECT name FROM sqlite_schema WHERE sql LIKE '%source%'"
    ).fetchone()[0]
    columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
    values = ["NULL", "-1", "1 << 62", "1.5", "''", "'{'", "x'00ff00ff'"]
    values += ["CAST(x'ff41fe' AS TEXT)", "CAST(x'1b5b324a' AS TEXT)", "CAST(x'41004200' AS TEXT)"]
    for column in columns:
        for value in values:
            connection.execute("SAVEPOINT damage")
            try:
                connection.execute(f'UPDATE "{table}" SET "{column}" = {value}')
            except apsw.ConstraintError:
                pass
            for query in (
                "SELECT * FROM vm_functions",
                "SELECT vm_udf('twice', 21)",
                "SELECT * FROM vm_map('twice', 'SELECT 1, 1')",
            ):
                try:
                    connection.execute(query).fetchall()
                except apsw.Error as error:
                    assert isinstance(error, apsw.SQLError | apsw.CorruptError), (
                        column,
                        value,
                        error,
                    )
                    assert "\x1b" not in str(error) and "\x00" not in str(error)
            connection.execute("ROLLBACK TO damage; RELEASE damage")
    assert connection.execute("SELECT vm_udf('twice', 21)").fetchall() == [(42,)]
