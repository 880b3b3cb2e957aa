"""Uses an installed udfvm where there is no compiler: rows, batches, Arrow's kernels, SQL, tables.

Prints where the package lies. The tests of wheels run it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import apsw
import pyarrow as pa
import pyarrow.compute as pc

import udfvm
import udfvm.arrow
import udfvm.sqlite


@udfvm.udf
def double(x: int) -> int:
    return 2 * x


@udfvm.table_function(columns={"i": int})
def upto(count: int) -> Iterator[int]:
    yield from range(count)


def main() -> None:
    """Calls functions in every way that compiled parts of the package have a part in."""
    assert not any(map(shutil.which, ("gcc", "cc", "clang"))), "a compiler is on the path"
    assert double(21) == 42
    assert double(pa.array(range(1000))).to_pylist() == list(range(0, 2000, 2))
    udfvm.arrow.register(None, double)
    assert pc.call_function("double", [pa.array([4], pa.int8())]).to_pylist() == [8]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, double, upto)
    query = "SELECT sum(vm_udf('double', i)) FROM upto(100)"
    assert connection.execute(query).fetchall() == [(9900,)]
    print(udfvm.__file__)


if __name__ == "__main__":
    main()
