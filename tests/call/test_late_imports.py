"""The first call of a function without a sample has time to import: build_timeout, as long as it
opens files. Later calls, and functions that were sampled, have not.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import apsw
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm
import udfvm.arrow
import udfvm.sqlite

ADVICE = "; pass sample= to have what it imports in its image; raise timeout= if it needs longer"


@udfvm.udf(timeout=6)
def late(x: float) -> float:
    """Takes longer than its timeout, with an import in the middle."""
    import importlib
    import time

    time.sleep(3.6)
    importlib.import_module("tabnanny")
    time.sleep(3.6)
    return x


def by_value(function: udfvm.ScalarFunction) -> Callable[[], object]:
    return lambda: function(1.0)


def by_columns(function: udfvm.ScalarFunction) -> Callable[[], object]:
    return lambda: function(pa.array([1.0])).to_pylist()[0]


def by_arrow(function: udfvm.ScalarFunction) -> Callable[[], object]:
    udfvm.arrow.register(None, function)
    return lambda: pc.call_function(function.name, [pa.array([1.0])]).to_pylist()[0]


def by_sql(function: udfvm.ScalarFunction) -> Callable[[], object]:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, function)
    return lambda: connection.execute(f"SELECT {function.name}(1.0)").fetchall()[0][0]


def in_a_jail(function: udfvm.ScalarFunction) -> Callable[[], object]:
    return by_value(function.with_options(pool=udfvm.Pool(jail=True)))  # and not the given one


WAYS = (by_value, by_columns, by_arrow, by_sql, in_a_jail)


@pytest.mark.slow
def test_the_first_call_alone_has_time_to_import() -> None:
    calls = [way(late.with_options(name=f"late_{way.__name__}", pool=udfvm.Pool())) for way in WAYS]
    with ThreadPoolExecutor(len(calls)) as threads:
        first = [threads.submit(call) for call in calls]
        assert [each.result() for each in first] == [1.0] * len(calls)
        for each in [threads.submit(call) for call in calls]:
            with pytest.raises((udfvm.CallTimeoutError, apsw.SQLError)) as caught:
                each.result()
            assert str(caught.value).endswith(f"the call did not end within 6 s{ADVICE}")


def test_a_first_call_ends_when_its_time_to_build_has_passed() -> None:
    @udfvm.udf(timeout=1, build_timeout=5)
    def opens_files(x: float) -> float:
        import pathlib
        import time

        library = pathlib.Path(pathlib.__file__).parent
        while True:
            for path in library.glob("*.py"):
                path.open().close()
                time.sleep(0.1)

    told = r"within 1 s of the last file that it opened; pass sample="
    with pytest.raises(udfvm.CallTimeoutError, match=told):
        opens_files(1.0)


def test_a_first_call_that_imports_nothing_has_no_more_time() -> None:
    @udfvm.udf(timeout=0.3)
    def endless(x: float) -> float:
        while True:
            pass

    with pytest.raises(udfvm.CallTimeoutError, match=r"within 0\.3 s; raise timeout="):
        endless(1.0)


def test_a_sampled_function_has_no_more_time() -> None:
    @udfvm.udf(timeout=0.3, sample=(0.0,))
    def late_at_one(x: float) -> float:
        import importlib

        while x:
            importlib.import_module("tabnanny")
        return x

    assert late_at_one(0.0) == 0.0
    with pytest.raises(udfvm.CallTimeoutError, match=r"within 0\.3 s; raise timeout="):
        late_at_one(1.0)
