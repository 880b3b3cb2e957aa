"""Makes each call of udfvm fail in its turn, in a forked child each. A program: run it with
``failing_calls.c`` preloaded.

    each_call.py SCENARIO ACTION FOLDER LIBRARY all|places|files

``ACTION`` is what happens at the call: ``fail``, ``fail_on`` (all of its name fail from then on),
``short`` (of a write, half is written) or ``kill``. With ``places``, the first call of each place
in the code is taken, and not each call; with ``files``, of those that change files. ``LIBRARY`` is
a shared object with the functions ``twice`` and ``doubled``.

Prints a line of JSON for each call that is not as it must be, then a line with the number of calls
that there are and of those that were taken.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import numpy as np
from jailed_calls import fork_with_a_result, jails_have_nothing_of_the_program

import udfvm
import udfvm.sqlite
from udfvm.images.base import _open_bases
from udfvm.images.cache import cache_entries, prune

ACTIONS = {"count": 0, "fail": 1, "fail_on": 2, "short": 3, "kill": 4}
HANGS = 120  # seconds
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"

shim = ctypes.CDLL(None)
shim.faults_name.restype = ctypes.c_char_p
for function in (shim.faults_caller, shim.faults_detail):
    function.restype = ctypes.c_uint64
for function in (shim.faults_disarm, shim.faults_mapped):
    function.restype = ctypes.c_long


class Place(NamedTuple):
    """Where a call comes from: its name, an address in a library, and a request or kind of file."""

    name: str
    caller: int
    detail: int


class Point(NamedTuple):
    """A call: of a place, after so many others of that place."""

    place: Place
    before: int


# ---- Scenarios: what is there before, and what is done while calls fail ----


class Scenario:
    """Functions of a pool, built or not, and what is done with them."""

    rounds = 1  # of what is done, after a failure

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        self.library = library
        self.begin()

    def begin(self) -> None:
        self.pool = udfvm.Pool(size=2)

    def prepare(self) -> None:
        """What is there before calls fail."""

    def act(self) -> None:
        """What is done while they do. Asserts that its results are right."""
        raise NotImplementedError

    def end(self) -> None:
        """Closes what was opened."""
        self.pool.close()

    def function(self) -> Any:
        return udfvm.from_elf(
            self.library, "twice", signature="(i32) -> i32", pool=self.pool, memory="16MiB"
        )


class Build(Scenario):
    """A function is built in an empty cache, and called."""

    def begin(self) -> None:
        super().begin()
        _open_bases.images.clear()  # of the process that forked this one

    def act(self) -> None:
        assert self.function()(21) == 42


class Reopen(Scenario):
    """A function is taken from the cache, and called."""

    def prepare(self) -> None:
        with udfvm.Pool() as pool:
            assert self.function().with_options(pool=pool)(21) == 42

    def act(self) -> None:
        assert self.function()(21) == 42


class Call(Scenario):
    """Calls of every kind, on VMs that are open."""

    def begin(self) -> None:
        import pyarrow as pa

        super().begin()
        self.with_null = pa.array([1, None, 3], pa.int32())

    def prepare(self) -> None:
        self.twice = self.function()
        assert self.twice(21) == 42
        assert self.twice(self.with_null).to_pylist() == [2, None, 6]

    def act(self) -> None:
        assert self.twice(21) == 42
        assert self.twice(np.arange(3, dtype=np.int32)).tolist() == [0, 2, 4]
        assert self.twice(self.with_null).to_pylist() == [2, None, 6]
        large = np.arange(600_000, dtype=np.int32)
        assert np.array_equal(self.twice(large), 2 * large)


class Jailed(Call):
    """The same, on VMs in processes of their own, which calls start."""

    def begin(self) -> None:
        super().begin()
        self.pool = udfvm.Pool(size=2, jail=True)

    def prepare(self) -> None:
        self.twice = self.function()

    def act(self) -> None:
        super().act()
        fork_with_a_result(self.twice)
        assert jails_have_nothing_of_the_program()


class Given(Scenario):
    """A function gets a data file, on a VM of this process and on one that is jailed."""

    def prepare(self) -> None:
        assert self.function()(21) == 42

    def act(self) -> None:
        for jail in (False, True):
            with udfvm.Pool(size=1, jail=jail) as pool:
                given = self.function().with_options(pool=pool, data={"code": self.library})
                assert given(21) == 42


class Statement(Scenario):
    """Rows, batches and stored functions of SQL, in a database file."""

    def prepare(self) -> None:
        self.twice = self.function()
        assert self.twice(21) == 42
        self.database = self.folder.parent / f"{os.getpid()}.db"
        self.connection = apsw.Connection(str(self.database))
        udfvm.sqlite.register(
            self.connection,
            self.twice,
            policy=udfvm.sqlite.Policy(
                languages=["native"], allow_create=True, memory="16MiB", load_timeout=60.0
            ),
        )
        self.connection.execute("CREATE TABLE IF NOT EXISTS kept(a)")
        self.connection.execute("DELETE FROM kept; INSERT INTO kept VALUES (-1)")

    def act(self) -> None:
        rows = NUMBERS.format(40)
        con = self.connection
        con.execute("DELETE FROM kept WHERE a >= 0")
        try:
            self.fill(con, rows)
        finally:
            found = con.execute("SELECT count(*), max(a) FROM kept").fetchall()[0]
            assert found in ((1, -1), (41, 80), (81, 80)), found

    def fill(self, con: apsw.Connection, rows: str) -> None:
        con.execute(f"INSERT INTO kept {rows} SELECT twice(i) FROM n")
        mapped = f"SELECT value FROM vm_map('twice', '{rows} SELECT i, i FROM n')"
        con.execute(f"INSERT INTO kept {mapped}")
        code = self.library.read_bytes()
        con.execute(
            "SELECT vm_create('stored', 'native', ?, '(int) -> int', 'entry=doubled', 'replace')",
            (code,),
        ).fetchall()
        stored = con.execute(f"{rows} SELECT sum(vm_udf('stored', i)) FROM n").fetchall()
        assert stored == [(1640,)], stored

    def end(self) -> None:
        if hasattr(self, "connection"):
            assert self.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert self.connection.execute("SELECT min(a) FROM kept").fetchall() == [(-1,)]
            self.connection.close(True)
            self.database.unlink()
        super().end()


SCENARIOS: dict[str, type[Scenario]] = {
    "build": Build, "reopen": Reopen, "call": Call, "jailed": Jailed, "given": Given,
    "statement": Statement,
}  # fmt: skip


# ---- One child for each call ----


def resources() -> tuple[int, int]:
    """The number of descriptors of this process, and the bytes that udfvm has mapped."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), shim.faults_mapped()


NOWHERE = Point(Place("", 0, 0), 0)


@contextmanager
def armed(folder: Path, action: str, point: Point = NOWHERE) -> Iterator[list[int]]:
    result, name = [0], ctypes.create_string_buffer(point.place.name.encode())
    shim.faults_arm(
        os.fsencode(folder),
        ACTIONS[action],
        name,
        ctypes.c_uint64(point.place.caller),
        ctypes.c_uint64(point.place.detail),
        ctypes.c_long(point.before),
    )
    try:
        yield result
    finally:
        result[0] = shim.faults_disarm()


def is_typed(error: BaseException) -> bool:
    return isinstance(error, (udfvm.Error, apsw.Error)) and len(str(error)) > 10


def run(make: Callable[[], Scenario], folder: Path, action: str, point: Point) -> dict[str, Any]:
    """What happens to a scenario in which a call fails, and afterwards."""
    found: dict[str, Any] = {}
    scenario = make()
    scenario.prepare()
    with armed(folder, action, point) as result:
        try:
            scenario.act()
        except Exception as error:  # noqa: BLE001 - it is told of
            found["error"] = f"{type(error).__name__}: {error}"
            if not is_typed(error):
                found["wrong"] = "".join(traceback.format_exception(error))
    found["reached"] = result[0]
    for _ in range(scenario.rounds):
        try:
            scenario.act()
        except Exception as error:  # noqa: BLE001
            found.setdefault("wrong", "afterwards: " + "".join(traceback.format_exception(error)))
    scenario.end()
    del scenario
    found["resources"] = resources()
    return found


def count(make: Callable[[], Scenario], folder: Path) -> dict[str, Any]:
    """The places of all calls, and what a scenario leaves behind."""
    scenario = make()
    scenario.prepare()
    with armed(folder, "count") as result:
        scenario.act()
    for _ in range(scenario.rounds):
        scenario.act()
    scenario.end()
    places = [
        Place(shim.faults_name(i).decode(), shim.faults_caller(i), shim.faults_detail(i))
        for i in range(result[0])
    ]
    del scenario
    return {"places": places, "resources": resources()}


def exceeds(found: list[int], usual: list[int]) -> bool:
    return any(one > other for one, other in zip(found, usual, strict=True))


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(HANGS)
        os.close(reader)
        try:
            answer = json.dumps(work())
        except BaseException as error:  # noqa: BLE001
            answer = json.dumps({"wrong": "".join(traceback.format_exception(error))})
        with os.fdopen(writer, "w") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    if text:
        return dict(json.loads(text))
    return {"status": status, "wrong": f"ended by signal {status & 127}"}


def after_kill(make: Callable[[], Scenario], folder: Path) -> dict[str, Any]:
    """What a process finds when another was killed."""
    found = run(make, folder, "count", NOWHERE)
    prune()
    left = sorted(path.suffix for path in folder.rglob("*") if path.is_file())
    if {".tmp", ".lock"} & set(left):
        found["wrong"] = f"left behind: {left}"
    if any(not entry.report for entry in cache_entries()):
        found["wrong"] = "an image that is not whole"
    return found


CHANGES = {"openat", "write", "pwrite", "pwritev", "ftruncate", "fsync", "flock", "rename",
           "renameat", "unlink", "unlinkat", "open", "mkdir", "futimens"}  # fmt: skip


def points(places: list[Place], which: str) -> Iterator[Point]:
    seen: dict[Place, int] = {}
    for place in places:
        before = seen.get(place, 0)
        seen[place] = before + 1
        first = before == 0 and (which == "places" or place.name in CHANGES)
        if which == "all" or first:
            yield Point(place, before)


def main(name: str, action: str, folder: Path, library: Path, which: str) -> None:
    os.environ["UDFVM_CACHE"] = str(folder)

    def make() -> Scenario:
        return SCENARIOS[name](folder, library)

    def fresh() -> None:
        if name == "build" or not folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)

    fresh()
    warm = make()  # all is imported, and what is in the cache is there
    warm.prepare()
    warm.act()
    warm.end()
    del warm
    gc.collect()
    gc.freeze()  # collections in children look at what they made
    shim.faults_find_libraries()
    fresh()
    counted = in_child(lambda: count(make, folder))
    if "wrong" in counted:
        print(json.dumps(counted))
    places = [Place(*place) for place in counted.get("places", [])]
    taken = unreached = 0
    for point in points(places, which):
        fresh()
        found = in_child(lambda point=point: run(make, folder, action, point))
        if action == "kill":
            if found.get("status") == signal.SIGKILL:
                found = in_child(lambda: after_kill(make, folder))
            elif "wrong" not in found and found["reached"]:
                found["wrong"] = "it went on"
        taken += 1
        unreached += not found.get("reached", 1)
        if "wrong" not in found and exceeds(found["resources"], counted["resources"]):
            found["wrong"] = f"{found['resources']}, usually {counted['resources']}"
        if "wrong" in found or os.environ.get("UDFVM_FAULTS_VERBOSE"):
            print(json.dumps({**found, "point": point}), flush=True)
    names = sorted({place.name for place in places})
    print(json.dumps({"calls": len(places), "taken": taken, "missed": unreached, "names": names}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
