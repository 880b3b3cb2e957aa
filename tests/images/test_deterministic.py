"""deterministic=True: the same arguments give the same bytes, for each row, in every engine and
isolation, and in every process and image."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm

ROWS = 30  # more than the exchanges after which a statement streams


@udfvm.udf(deterministic=True, packages=["numpy"])
def seen(_: int) -> str:
    import os
    import random
    import resource
    import secrets
    import tempfile
    import time
    import uuid

    import numpy as np

    values: list[object] = [
        time.time(),
        time.monotonic(),
        time.process_time(),
        time.thread_time(),
        os.times(),
    ]
    values += [
        resource.getrusage(resource.RUSAGE_SELF)[:2],
        resource.getrusage(resource.RUSAGE_THREAD)[:2],
    ]
    values += [
        random.random(),
        random.gauss(0, 1),
        os.urandom(4),
        secrets.token_hex(4),
        uuid.uuid4(),
        random.SystemRandom().random(),
    ]
    values += [
        np.random.random_sample(),
        np.random.standard_normal(),
        np.random.default_rng().random(),
        random.Random().random(),
    ]
    time.sleep(0.5)
    values += [
        time.time(),
        time.monotonic(),
        os.getpid(),
        hash("x"),
        os.stat("/tmp").st_mtime,
        os.stat("/").st_ctime,
    ]
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/made", "w") as file:
            file.write("x")
        values += [os.stat(folder + "/made").st_mtime_ns, os.stat(folder).st_mtime_ns]
        os.utime(folder + "/made", (5, 2e9))
        values += [os.stat(folder + "/made").st_mtime]
    with open("/proc/uptime") as uptime, open("/proc/self/stat") as statistics:
        values += [uptime.read(), statistics.read().split()[13]]
    values += [len({random.random() for _ in range(5)}), len({uuid.uuid4() for _ in range(5)})]
    return repr(values)


@pytest.fixture(scope="module")
def expected() -> str:
    found = str(seen(1))
    assert found.endswith(", 5, 5]")  # within a row randomness does not repeat
    return found


def test_calls(expected: str) -> None:
    assert {seen(1) for _ in range(5)} == {expected}


def test_rows_of_a_batch(expected: str) -> None:
    assert set(seen(pa.array([1] * 5)).to_pylist()) == {expected}
    assert set(seen(np.ones(5, dtype=np.int64))) == {expected}
    assert seen(pa.array([1, None, 1])).to_pylist() == [expected, None, expected]


def test_arrow_compute(expected: str) -> None:
    udfvm.arrow.register(None, seen)
    assert set(pc.call_function("seen", [pa.array([1] * 5)]).to_pylist()) == {expected}


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t(a)")
    connection.executemany("INSERT INTO t VALUES(?)", [(1,)] * ROWS)
    yield connection
    connection.close()


def test_rows_of_a_statement(connection: apsw.Connection, expected: str) -> None:
    udfvm.sqlite.register(connection, seen)
    assert set(connection.execute("SELECT seen(a) FROM t")) == {(expected,)}
    assert set(connection.execute("SELECT vm_udf('seen', a) FROM t")) == {(expected,)}
    assert set(
        connection.execute("SELECT value FROM vm_map('seen', 'SELECT rowid, a FROM t')")
    ) == {(expected,)}


def test_rows_that_are_calls(connection: apsw.Connection, expected: str) -> None:
    by_row = udfvm.udf(deterministic=True, packages=["numpy"], isolation="row", name="by_row")(
        seen.function
    )
    udfvm.sqlite.register(connection, by_row)
    assert set(connection.execute("SELECT by_row(a) FROM t")) == {(expected,)}


def test_stored_functions(connection: apsw.Connection) -> None:
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))
    source = """
import random, time, os
def drawn(a):
    time.sleep(1)
    return f'{random.random()} {os.urandom(4)} {time.time()}'
"""
    connection.execute(
        "SELECT vm_create('drawn', 'python', ?, '(int) -> text', 'deterministic')", (source,)
    )
    one = list(connection.execute("SELECT vm_udf('drawn', 1)"))
    assert set(connection.execute("SELECT vm_udf('drawn', a) FROM t")) == set(one)
    assert set(
        connection.execute("SELECT value FROM vm_map('drawn', 'SELECT rowid, a FROM t')")
    ) == set(one)


def test_an_index_stays_whole(connection: apsw.Connection) -> None:
    @udfvm.udf(deterministic=True)
    def drawn(a: int) -> float:
        import random
        import time

        time.sleep(a)
        return random.random() + time.time()

    udfvm.sqlite.register(connection, drawn, in_schema=True)
    connection.execute(
        "CREATE INDEX i ON t(drawn(a)); DELETE FROM t WHERE rowid % 3 = 0;"
        "UPDATE t SET a = 2 WHERE rowid % 4 = 0"
    )
    assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]


def test_lists(expected: str) -> None:
    @udfvm.udf(deterministic=True)
    def drawn(a: list[int]) -> list[float]:
        import random
        import time

        time.sleep(1)
        return [random.random(), time.time()]

    column = pa.array([[1]] * 4)
    assert len({tuple(each) for each in drawn(column).to_pylist()} | {tuple(drawn([1]))}) == 1


def test_aggregates_do_not_depend_on_batches(connection: apsw.Connection) -> None:
    @udfvm.aggregate(deterministic=True)
    class Drawn:
        def __init__(self) -> None:
            import random

            self.seen = {f"{random.random()}"}

        def step(self, a: int) -> None:
            import random
            import time

            time.sleep(1)
            self.seen.add(f"{random.random()} {time.time()}")

        def finish(self) -> str:
            import random

            return repr((sorted(self.seen), random.random()))

    udfvm.sqlite.register(connection, Drawn)
    few = connection.execute("SELECT Drawn(a) FROM (SELECT a FROM t LIMIT 3)").fetchone()
    many = connection.execute("SELECT Drawn(a) FROM t").fetchone()
    assert few == many


def test_table_functions_do_not_depend_on_how_rows_are_fetched(connection: apsw.Connection) -> None:
    @udfvm.table_function(deterministic=True, columns={"random": float, "time": float})
    def drawn(a: int) -> Iterator[tuple[float, float]]:
        import random
        import time

        for _ in range(a):
            time.sleep(1)
            yield random.random(), time.time()

    udfvm.sqlite.register(connection, drawn)
    few = list(connection.execute("SELECT * FROM drawn(3)"))
    many = list(connection.execute("SELECT * FROM drawn(3000)"))
    assert len(set(many)) == 3000
    assert many[:3] == few


@udfvm.udf(deterministic=True)
def names(a: int) -> str:
    import os
    import tempfile
    import threading

    drawn: list[bytes] = []
    threads = [threading.Thread(target=lambda: drawn.append(os.urandom(3))) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as folder:
        found = repr((file.name, folder, tempfile.mktemp(), drawn, os.urandom(3)))
    if a < 0:
        raise ValueError("negative")
    return found


def test_temporary_names_and_threads(connection: apsw.Connection) -> None:
    expected = names(1)
    assert names(pa.array([1, 1, None, 1])).to_pylist() == [expected, expected, None, expected]
    udfvm.sqlite.register(connection, names)
    for query in (
        "SELECT names(a) FROM t",
        "SELECT value FROM vm_map('names', 'SELECT 1, a FROM t')",
    ):
        assert set(connection.execute(query)) == {(expected,)}
    with pytest.raises(udfvm.UDFError) as caught:
        names(pa.array([1, -1, 1]))
    assert caught.value.row == 1
    assert names(1) == expected
    with pytest.raises(apsw.SQLError):
        connection.execute("SELECT names(-1)").fetchall()
    assert connection.execute("SELECT names(1)").fetchall() == [(expected,)]


SCRIPT = """
import sys, udfvm
sys.path.insert(0, {tests!r})
from test_deterministic import seen
print(seen(1))
"""


def test_an_image_that_is_built_anew_gives_the_same(
    tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-c", SCRIPT.format(tests=str(Path(__file__).parent))]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n")
        == expected
    )


NATIVE = r"""
#include <sys/random.h>
#include <time.h>
#include <udfvm.h>
#include <unistd.h>

static int64_t draw(void)
{
    struct timespec wait = { 1, 0 }, now;
    int64_t random;
    getrandom(&random, sizeof random, 0);
    nanosleep(&wait, NULL);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return random ^ now.tv_sec ^ now.tv_nsec;
}

int64_t plain(int64_t a) { return draw() + a; }
UDFVM_SCALAR(whole, i64, (i64, a)) { return draw() + a; }
UDFVM_SCALAR(truth, boolean, (boolean, a)) { return (draw() & 1) == a; }
UDFVM_SCALAR(perhaps, optional_f64, (optional_f64, a))
{
    const double drawn = (double)(draw() % 1000);
    return a.valid ? udfvm_some_f64(drawn + a.value) : udfvm_null_f64();
}
UDFVM_SCALAR(numbered, text, (text, a))
{
    char *made = udfvm_allocate(a.length + 20);
    memcpy(made, a.data, a.length);
    const int digits = sprintf(made + a.length, "%d", (int)(draw() & 0xffff));
    return (udfvm_text){ made, a.length + (size_t)digits };
}
UDFVM_SCALAR(failing, i64, (i64, a))
{
    if (a == 3)
        udfvm_fail("three");
    return draw();
}
"""


@pytest.mark.parametrize(
    ("function", "values", "options"),
    [
        ("plain", [1, None, 1, 1], {"signature": "(i64) -> i64"}),
        ("whole", [1, None, 1, 1], {}),
        ("truth", [True, None, True, True, None, True, True, True, True, True], {}),
        ("perhaps", [1.5, 1.5, None, 1.5], {}),
        ("numbered", ["value", None, "value", "", ""], {}),
    ],
)
def test_native_functions(function: str, values: list[object], options: dict[str, str]) -> None:
    drawn = udfvm.from_c(NATIVE, function, deterministic=True, **options)
    assert drawn(pa.array(values)).to_pylist() == [drawn(value) for value in values]
    assert drawn(pa.array(values * 50)).to_pylist() == [drawn(value) for value in values] * 50


def test_a_native_function_that_fails_names_its_row() -> None:
    with pytest.raises(udfvm.UDFError, match="three") as caught:
        udfvm.from_c(NATIVE, "failing", deterministic=True)(pa.array([1, 2, None, 3, 4]))
    assert caught.value.row == 3


WASM = r"""
#define WASI(NAME) __attribute__((import_module("wasi_snapshot_preview1"), import_name(NAME)))
WASI("random_get") int random_get(void *to, int length);
WASI("clock_time_get") int clock_get(int id, long long precision, void *to);
__attribute__((export_name("drawn"))) long long drawn(long long a)
{
    long long random, now;
    random_get(&random, sizeof random);
    clock_get(0, 1, &now);
    return random ^ now ^ a;
}
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ziglang")
    folder = tmp_path_factory.mktemp("wasm")
    (folder / "drawn.c").write_text(WASM)
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "wasm32-freestanding",
        "-nostdlib",
        "-Wl,--no-entry",
        "-O1",
        "drawn.c",
        "-o",
        "drawn.wasm",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "drawn.wasm"


def test_webassembly(module: Path) -> None:
    drawn = udfvm.from_wasm(module, "drawn", deterministic=True)
    values = [5, None, 5, 5]
    assert drawn(pa.array(values * 20)).to_pylist() == [
        drawn(5) if value else None for value in values * 20
    ]
    fresh = udfvm.from_wasm(module, "drawn")
    assert len(set(fresh(pa.array([5] * 100)).to_pylist()) | {fresh(5) for _ in range(100)}) == 200


def test_native_results_larger_than_the_window_are_cut() -> None:
    numbered = udfvm.from_c(NATIVE, "numbered", deterministic=True, memory="512MiB", timeout=120)
    text = "x" * (3 << 20)
    found = numbered(pa.array([text] * 45))
    assert found.nbytes > 128 << 20
    assert set(found.to_pylist()) == {numbered(text)}
