"""Two tenants share a micro-VM. A call of one marks all that its function can write, and ends in
any way; the next call, of either, searches all that it can read, and the host searches the VM.

``UDFVM_LEAKS=10000`` makes so many runs of functions; see CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner
from leak_compiled import NATIVE, NATIVE_ENDS, WASM, WASM_ENDS
from leak_engines import EngineWays
from leak_guest import ENDS, PLACES
from leak_runs import Runs, run_numbers, times
from leak_search import MARK
from leak_tenants import Way, Ways, number_ways, program, source

import udfvm
import udfvm.sqlite
from udfvm.cli import commands

LONG = "UDFVM_LEAKS" in os.environ
# Seconds. Long runs go on beside anything, where a search of all memory takes long. A guest that
# wrote to its kernel may never end.
PATIENCE = 300.0 if LONG else 60.0
HASTE = 0.25
WEIGHTS = {"result": 30, "exception": 8, "timeout": 3, "interrupt": 6, "out of memory": 1}
SEED = random.getrandbits(32) if LONG else 17
SEALED = """
import leak_guest, udfvm

@udfvm.udf(packages=["numpy"], timeout=60)
def sealed(task: bytes) -> str:
    return leak_guest.run(task)
"""


@pytest.fixture(scope="module", params=[False, True], ids=["in this process", "jailed"])
def pool(request: pytest.FixtureRequest) -> Iterator[udfvm.Pool]:
    """The one micro-VM of all tenants."""
    with udfvm.Pool(size=1, jail=request.param) as made:
        yield made


@pytest.fixture(scope="module")
def tenants(pool: udfvm.Pool) -> Iterator[list[Ways]]:
    made = [Ways(name, pool, PATIENCE, HASTE) for name in ("a", "b")]
    yield made
    for ways in made:
        ways.close()


def test_a_search_finds_what_is_there(tenants: list[Ways]) -> None:
    """In the same call, each place but registers, which calls of functions do not keep."""
    scalar = tenants[0].functions.scalar
    for place in ["", *PLACES]:
        mark = os.urandom(MARK - 1) + b"\x13"  # XOFF: it stops a terminal that is not raw
        everything = place in ("", "free memory", "stack")
        places = [place] if place else []
        found = json.loads(scalar(program(mark, do="both", seed=1, places=places, all=everything)))
        if not place:
            usual = found
        elif place not in ("registers", "wild"):
            assert found["hits"] > usual["hits"] or found["state"] != usual["state"], place


def test_functions_in_python(tenants: list[Ways], pool: udfvm.Pool) -> None:
    marking = {
        f"{name} of {index}": [way, *ways.hasty.get(name, [])]
        for index, ways in enumerate(tenants)
        for name, way in {**ways.whole, **ways.others}.items()
    }
    searching = {
        f"{name} of {index}": [way]
        for index, ways in enumerate(tenants)
        for name, way in ways.whole.items()
    }
    runs = Runs(marking, searching, list(PLACES), {end: WEIGHTS.get(end, 2) for end in ENDS})
    count = 2 * times(12, pool)
    try:
        runs.run(count, SEED)
    finally:
        if LONG:
            print(f"{runs.done} of {count}: {runs.counts}")
    if count > 1000:
        assert {*marking, *PLACES, *ENDS} <= set(runs.counts)


def test_functions_in_engines(pool: udfvm.Pool) -> None:
    """Their calls run on other threads, which no handler of a signal interrupts, and they raise
    exceptions of their own.
    """
    tenants = [EngineWays(name, pool, PATIENCE) for name in ("a", "b")]
    ways = {f"{way} of {each.name}": [call] for each in tenants for way, call in each.ways.items()}
    ends = {end: WEIGHTS.get(end, 2) for end in ENDS if end not in ("timeout", "interrupt")}
    runs = Runs(ways, ways, list(PLACES), ends, failures=(Exception,))
    count = times(20, pool)
    try:
        runs.run(count, SEED)
    finally:
        for each in tenants:
            each.close()
    if count > 1000:
        assert {*ways, *PLACES, *ends} <= set(runs.counts)


def _run_compiled(
    make: Callable[..., Any], source: str, ends: dict[str, int], pool: udfvm.Pool
) -> None:
    ways: dict[str, list[Any]] = {}
    for tenant in ("a", "b"):
        text = source.replace("TENANT", str(ord(tenant)))
        function = make(text, "act", name=f"act_{tenant}", pool=pool, timeout=PATIENCE, log="drop")
        ways |= number_ways(tenant, function, HASTE)
    count = times(15, pool)
    counts = run_numbers(ways, ends, count, SEED)
    if count > 500:
        assert {*ways, *ends} <= set(counts)
        print(counts)


def test_native_functions(pool: udfvm.Pool) -> None:
    _run_compiled(udfvm.from_c, NATIVE, NATIVE_ENDS, pool)


def test_wasm_functions(pool: udfvm.Pool) -> None:
    _run_compiled(udfvm.from_wasm, WASM, WASM_ENDS, pool)


def _run_by_name(
    connection: apsw.Connection, names: list[str], count: int, everything: float = 0.05
) -> None:
    def way(name: str) -> Way:
        def call(task: bytes) -> str:
            [(said,)] = connection.execute("SELECT vm_udf(?, ?)", (name, task)).fetchall()
            return str(said)

        return call

    ways = {name: [way(name)] for name in names}
    ends = {end: WEIGHTS.get(end, 2) for end in ENDS if end != "timeout"}
    Runs(ways, ways, list(PLACES), ends, everything).run(count, SEED)
    connection.close()


def test_stored_functions(pool: udfvm.Pool) -> None:
    connection = apsw.Connection(":memory:")
    policy = udfvm.sqlite.Policy(
        allow_create=True,
        packages=["ctypes", "locale", "numpy", "resource"],
        files=True,
        pool=pool,
        row_timeout=PATIENCE,
    )
    udfvm.sqlite.register(connection, policy=policy)
    create = "SELECT vm_create(?, 'python', ?, '(blob) -> text', 'entry=stored')"
    names = ["stored_a", "stored_b"]
    for name in names:
        connection.execute(create, (name, source() + f"# of {name}")).fetchall()
    _run_by_name(connection, names, times(6, pool))


@pytest.mark.skipif(not LONG, reason="UDFVM_LEAKS makes a sealed file of a whole interpreter")
def test_sealed_functions(
    tmp_path: Path, pool: udfvm.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDFVM_JAIL", str(int(pool.jail)))
    sealed, file = tmp_path / "sealed.udf", tmp_path / "sealed.py"
    file.write_text(SEALED)
    done = CliRunner().invoke(commands, ["seal", str(file), "--output", str(sealed)])
    assert done.exit_code == 0, done.output
    connection = apsw.Connection(":memory:")
    connection.enable_load_extension(True)
    connection.load_extension(str(udfvm.sqlite.EXTENSION))
    assert connection.execute("SELECT vm_attach(?)", (str(sealed),)).fetchall() == [("sealed",)]
    # Such a function's timeout is that of the connection.
    connection.execute("SELECT vm_policy('row_timeout', ?)", (PATIENCE,)).fetchall()
    _run_by_name(connection, ["sealed"], times(6, pool), everything=0)
