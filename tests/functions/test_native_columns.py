"""Functions of whole columns in C (``UDFVM_VECTOR``): which rows a call of one sees."""

from __future__ import annotations

import pickle

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow
import udfvm.sqlite

# Slow enough that a function which works row by row would be cut.
STEPS = """
#include <udfvm.h>
UDFVM_VECTOR(steps, f64, (f64, number))
{
    const double *from = (const double *)arguments[0].buffers[1] + arguments[0].offset;
    double *to = (double *)result->buffers[1];
    for (int64_t row = 0; row < result->length; row++) {
        to[row] = row ? from[row] - from[row - 1] : 0;
        for (volatile int i = 0; i < 30; i++)
            ;
    }
}
UDFVM_SCALAR(twice, f64, (f64, number)) { return 2 * number; }
"""
NUMBERS = np.arange(300_000.0)


@pytest.fixture(scope="module", name="steps")
def _steps() -> udfvm.ScalarFunction:
    return udfvm.from_c(STEPS, "steps")


def beginnings(result: object) -> int:
    """How many rows had no row before them."""
    return int((np.asarray(result) == 0).sum())


def test_a_call_sees_all_rows(steps: udfvm.ScalarFunction) -> None:
    again = pickle.loads(pickle.dumps(steps))
    for function in (steps, steps.with_options(timeout=60), again):
        assert not function.elementwise
        assert [beginnings(function(NUMBERS)) for _ in range(3)] == [1, 1, 1]


def test_vm_map_gives_it_the_whole_query(steps: udfvm.ScalarFunction) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, steps)
    query = "SELECT value, value FROM json_each(?)"
    rows = connection.execute(
        "SELECT count(*), sum(value = 0) FROM vm_map('steps', ?, ?)",
        (query, str(list(range(40_000)))),
    ).fetchall()
    assert rows == [(40_000, 1)]
    assert connection.execute("SELECT steps(5)").fetchall() == [(0.0,)]


def test_pyarrow_gives_it_whole_columns(steps: udfvm.ScalarFunction) -> None:
    udfvm.arrow.register(None, steps, name="steps_in_c")
    column = pa.chunked_array([NUMBERS[:5], NUMBERS[5:10]])
    assert beginnings(pc.call_function("steps_in_c", [column])) == 1
    assert pc.get_function("steps_in_c").kind == "vector"


def test_rows_that_do_not_depend_on_each_other(steps: udfvm.ScalarFunction) -> None:
    source = pa.table({"number": NUMBERS[:5000]})
    with pytest.raises(udfvm.SignatureError, match="declare elementwise=True"):
        steps.map(source)
    cut = udfvm.from_c(STEPS, "steps", elementwise=True)
    assert cut.elementwise and pickle.loads(pickle.dumps(cut)).elementwise
    assert cut.map(source).num_rows == 5000
    twice = udfvm.from_c(STEPS, "twice")
    assert twice.elementwise and twice.map(source)["twice"][4].as_py() == 8.0


def test_the_switch_is_checked() -> None:
    with pytest.raises(udfvm.OptionError, match="UDF 'steps': elementwise= takes True or False"):
        udfvm.from_c(STEPS, "steps", elementwise="yes")  # type: ignore[arg-type]
    with pytest.raises(udfvm.OptionError, match="elementwise= is fixed where the function is decl"):
        udfvm.from_c(STEPS, "twice").with_options(elementwise=True)  # type: ignore[call-arg]
