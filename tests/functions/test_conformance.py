"""The same functions give the same in every language and by every way to call them.

The matrix is made of ``KINDS``, ``ENGINES`` and the isolations that an engine knows. A kind is
added by one entry: how to make the functions of ``SIGNATURES``, what of it a database stores, and
what the error says where ``refuse`` refuses.
"""

from __future__ import annotations

import functools
import inspect
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import apsw
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conformance_engines import (
    ENGINES,
    Engine,
    Kind,
    Row,
    ShellError,
    by_value,
    decoded,
    functions_of,
    types_of,
)
from wit_components import list_of, option, record, simple
from wit_components import same as same_component

import udfvm
import udfvm.arrow
import udfvm.sqlite

# ---- The functions in each language ----

_seen: list[int] = []


def weigh(a: float, b: int) -> float:
    return a * b + 0.5


def refuse(a: float) -> float:
    if a < 0:
        raise ValueError("refused")
    return a


def calls(x: int) -> int:
    _seen.append(x)
    return len(_seen)


def endless(x: int) -> int:
    while True:
        pass


class Item(TypedDict):
    """What ``same`` takes a list of."""

    id: int
    name: str | None
    at: list[float]


def same(x: list[Item]) -> list[Item]:
    return x


SCALAR = {function.__name__: function for function in (weigh, refuse, calls, endless, same)}
SOURCE = "_seen, Item = [], dict\n" + "\n".join(
    inspect.getsource(function) for function in SCALAR.values()
)


def _weigh_all(a: pa.Array, b: pa.Array) -> pa.Array:
    return pc.add(pc.multiply(a, pc.cast(b, pa.float64())), 0.5)


def _refuse_all(a: pa.Array) -> pa.Array:
    if pc.any(pc.less(a, 0)).as_py():
        raise ValueError("refused")
    return a


def _calls_all(x: pa.Array) -> pa.Array:
    before = len(_seen)
    _seen.extend(x.to_pylist())
    return pa.array(range(before + 1, len(_seen) + 1), pa.int64())


def _endless_all(x: pa.Array) -> pa.Array:
    while len(x):  # a vectorised function is run on no rows when it is loaded
        pass
    return x


def _same_all(x: pa.Array) -> pa.Array:
    return x


VECTORIZED = {
    "weigh": _weigh_all,
    "refuse": _refuse_all,
    "calls": _calls_all,
    "endless": _endless_all,
    "same": _same_all,
}

C = r"""
#include <udfvm.h>

UDFVM_SCALAR(weigh, f64, (f64, a), (i64, b)) { return a * (double)b + 0.5; }
UDFVM_SCALAR(refuse, f64, (f64, a))
{
    if (a < 0)
        udfvm_fail("refused");
    return a;
}
static int64_t seen;
UDFVM_SCALAR(calls, i64, (i64, x)) { (void)x; return ++seen; }
static volatile int going = 1;
UDFVM_SCALAR(endless, i64, (i64, x)) { while (going); return x; }
UDFVM_MAIN
"""

WASM = """(module
    (global $seen (mut i64) (i64.const 0))
    (func (export "weigh") (param f64 i64) (result f64)
        local.get 0 local.get 1 f64.convert_i64_s f64.mul f64.const 0.5 f64.add)
    (func $refused (export "refuse") (param f64) (result f64)
        local.get 0 f64.const 0 f64.lt if unreachable end local.get 0)
    (func (export "calls") (param i64) (result i64)
        global.get $seen i64.const 1 i64.add global.set $seen global.get $seen)
    (func (export "endless") (param i64) (result i64) loop br 0 end unreachable))"""

ITEM = record(id=simple("s64"), name=option(simple("string")), at=list_of(simple("f64")))
COMPONENT = same_component(
    ITEM,
    f"""
    (core module $numbers {WASM.strip().removeprefix("(module")}
    (core instance $n (instantiate $numbers))
    (func (export "weigh") (param "a" f64) (param "b" s64) (result f64)
        (canon lift (core func $n "weigh")))
    (func (export "refuse") (param "a" f64) (result f64) (canon lift (core func $n "refuse")))
    (func (export "calls") (param "x" s64) (result s64) (canon lift (core func $n "calls")))
    (func (export "endless") (param "x" s64) (result s64) (canon lift (core func $n "endless")))""",
)


@functools.cache
def _object(*linkage: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "gcc",
            "-O2",
            *linkage,
            "-I",
            udfvm.get_include(),
            "-x",
            "c",
            "-",
            "-o",
            f"{folder}/f",
        ]
        subprocess.run(command, input=C, text=True, check=True)
        return Path(folder, "f").read_bytes()


SHARED = functools.partial(_object, "-shared", "-fPIC")
STATIC = functools.partial(_object, "-static")


def _native(made: Callable[[], bytes], function: str, **options: Any) -> udfvm.ScalarFunction:
    with tempfile.NamedTemporaryFile() as file:
        file.write(made())
        file.flush()
        return udfvm.from_elf(file.name, function, **options)


def _vectorized(function: str, **options: Any) -> udfvm.ScalarFunction:
    arguments, result = types_of(function)
    return udfvm.udf(
        VECTORIZED[function], vectorized=True, input_types=arguments, output_type=result, **options
    )


TRAP = "Trap: wasm `unreachable` instruction executed"
KINDS = [
    Kind(
        "python",
        lambda function, **options: udfvm.udf(SCALAR[function], **options),
        ("python", lambda: SOURCE),
        "ValueError: refused",
    ),
    Kind("vectorized", _vectorized, None, "ValueError: refused", by_row=False),
    Kind(
        "native",
        functools.partial(_native, SHARED),
        ("native", SHARED),
        "RuntimeError: refused",
        nests=False,
    ),
    Kind(
        "program",
        functools.partial(_native, STATIC),
        ("native", STATIC),
        "RuntimeError: refused",
        nests=False,
    ),
    Kind(
        "wasm", functools.partial(udfvm.from_wasm, WASM), ("wasm", lambda: WASM), TRAP, nests=False
    ),
    Kind(
        "component",
        functools.partial(udfvm.from_wasm, COMPONENT),
        ("wasm", lambda: COMPONENT),
        TRAP,
    ),
]


class Cell(NamedTuple):
    """A place in the matrix."""

    kind: Kind
    engine: Engine
    isolation: str

    @property
    def rows_apart(self) -> bool:
        return self.isolation in self.engine.rows_apart and (
            self.kind.by_row or self.engine.call is by_value
        )

    def __call__(self, function: str, rows: Sequence[Row]) -> list[Any]:
        return self.engine.call(functions_of(self.kind, self.isolation), function, rows)

    def fails(self, function: str, rows: Sequence[Row]) -> str:
        """The text of the error; afterwards all is as before."""
        with pytest.raises((udfvm.errors.Error, apsw.Error, sqlite3.Error, ShellError)) as caught:
            self(function, rows)
        assert self("weigh", [(1.0, 2)]) == [2.5]
        return str(caught.value)


def _cells() -> Iterator[Any]:
    for kind in KINDS:
        for engine in ENGINES:
            if (engine.only_by_row and not kind.by_row) or (
                engine.from_database and not kind.stored
            ):
                continue
            for isolation in engine.isolations:
                yield pytest.param(
                    Cell(kind, engine, isolation),
                    id=f"{kind.name}-{engine.call.__name__}-{isolation}",
                )


@pytest.fixture(params=_cells(), scope="module")
def cell(request: pytest.FixtureRequest) -> Cell:
    found: Cell = request.param
    return found


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    yield
    functions_of.cache_clear()


def test_results(cell: Cell) -> None:
    assert cell("weigh", [(1.5, 2), (None, 1), (-0.25, -(2**40)), (2.0, None), (1e300, 0)]) == [
        3.5,
        None,
        2**38 + 0.5,
        None,
        0.5,
    ]


def test_lists_and_structs(cell: Cell) -> None:
    if not cell.kind.nests:
        return
    rows: list[Row] = [
        ([{"id": 2**62 + 1, "name": "é", "at": [0.5, 2.0]}],),
        (None,),
        ([],),
        ([{"id": -1, "name": None, "at": []}] * 2,),
    ]
    assert [decoded(value) for value in cell("same", rows)] == [row[0] for row in rows]


def test_errors(cell: Cell) -> None:
    text = cell.fails("refuse", [(1.0,), (0.0,), (-1.0,), (2.0,)])
    assert cell.kind.refusal in text
    assert f"{cell.kind.name}_refuse_{cell.isolation}'" in text
    assert bool(re.search(r"row 2( of its batch)?:", text)) == (
        cell.engine.names_row and cell.kind.by_row
    )


def test_state_ends_with_the_call(cell: Cell) -> None:
    for _ in range(2):
        assert cell("calls", [(5,), (6,), (7,)]) == ([1, 1, 1] if cell.rows_apart else [1, 2, 3])


def test_timeouts(cell: Cell) -> None:
    assert "did not end within 0.04 s" in cell.fails("endless", [(1,), (2,)])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_functions_take_turns_in_one_micro_vm(kind: Kind) -> None:
    """Layers of one base, moved through one VM of a pool of the user's own: what one did, neither
    it nor another finds.
    """
    with udfvm.Pool(size=1) as pool:
        counter, weighing, refusing = (
            kind.make(name, name=f"turns_{name}", pool=pool)
            for name in ("calls", "weigh", "refuse")
        )
        for _ in range(3):
            assert counter(pa.array([5, 6])).to_pylist() == [1, 2]
            assert weighing(2.0, 3) == 6.5
            with pytest.raises(udfvm.UDFError, match=r"refused|unreachable"):
                refusing(-1.0)
            assert counter(5) == 1
