"""Numbers and switches among the options of all that is public: what makes no sense is refused
where it is passed, by the option's name.
"""

from __future__ import annotations

import fractions
import inspect
import math
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import udfvm
import udfvm.sqlite
from udfvm.cli import commands
from udfvm.functions import options
from udfvm.limits import parse_size

MODULE = '(module (func (export "f") (param i64) (result i64) local.get 0))'
REFUSED = (udfvm.OptionError, udfvm.SignatureError)


def function(x: int) -> int:
    return x


def rows(x: int) -> Iterator[tuple[int]]:
    yield (x,)


class Sum:
    def __init__(self) -> None:
        self.sum = 0

    def step(self, x: int) -> None:
        self.sum += x

    def finish(self) -> int:
        return self.sum


def of_c(source: str = "no C at all", **options: Any) -> udfvm.ScalarFunction:
    return udfvm.from_c(source, "f", **options)


PUBLIC: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "udf": (udfvm.udf, lambda **options: udfvm.udf(**options)(function)),
    "table_function": (
        udfvm.table_function,
        lambda **options: udfvm.table_function(columns={"x": int}, **options)(rows),
    ),
    "aggregate": (udfvm.aggregate, lambda **options: udfvm.aggregate(**options)(Sum)),
    "from_c": (udfvm.from_c, of_c),
    "from_elf": (udfvm.from_elf, lambda **options: udfvm.from_elf("/nowhere", "f", **options)),
    "from_wasm": (udfvm.from_wasm, lambda **options: udfvm.from_wasm(MODULE, "f", **options)),
    "Pool": (udfvm.Pool, udfvm.Pool),
    "Pool.trim": (udfvm.Pool.trim, lambda **options: udfvm.Pool().trim(**options)),
    "Pool.warm": (udfvm.Pool.warm, lambda **options: udfvm.Pool().warm(**options)),
    "Policy": (udfvm.sqlite.Policy, udfvm.sqlite.Policy),
}
SWITCHES = {"files", "deterministic", "allow_create", "jail", "writable"}
UNDECIDED = {"jail"}  # None leaves it to the environment
SWITCHED_ELSEWHERE = {"vectorized", "elementwise"}  # any object is true or not


def annotations_of(name: str) -> dict[str, str]:
    """The annotations of what is passed by keyword, those of a ``TypedDict`` of options too."""
    found = {}
    for option, parameter in inspect.signature(PUBLIC[name][0]).parameters.items():
        unpacked = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
        if unpacked:
            found.update(getattr(options, unpacked[1]).__annotations__)
        else:
            found[option] = parameter.annotation
    return {option: str(annotation) for option, annotation in found.items()}


def options_of(name: str, kind: str) -> list[str]:
    return [
        option
        for option, annotation in annotations_of(name).items()
        if re.search(rf"\b({kind})\b", annotation)
    ]


NUMBERS = [(name, option) for name in PUBLIC for option in options_of(name, "int|float")]
FLAGS = [
    (name, option)
    for name in PUBLIC
    for option in options_of(name, "bool")
    if option not in SWITCHED_ELSEWHERE
]


def ids(values: list[tuple[str, str]]) -> list[str]:
    return [f"{name}-{option}" for name, option in values]


def test_the_options_are_found() -> None:
    assert len(NUMBERS) > 40
    assert {
        "size",
        "keep",
        "keep_seconds",
        "wait",
        "vms",
        "memory",
        "timeout",
        "max_output",
        "max_log",
        "host_calls",
        "build_timeout",
        "max_source",
        "load_timeout",
        "row_timeout",
        "statement_timeout",
        "idle_spin",
    } == {option for _, option in NUMBERS}
    assert {option for _, option in FLAGS} == SWITCHES


NONSENSE: list[object] = [
    True,
    np.True_,
    -1,
    -0.5,
    math.nan,
    math.inf,
    -math.inf,
    np.float32("nan"),
    "nan",
    "-5",
    "1e5",
    b"5",
    "many",
    "9" * 400,
    [],
    [5],
    1 + 2j,
    object(),
    np.array([1, 2]),
    2**64,
    -(2**64),
    10**400,
    10**5000,
    -(10**5000),
    fractions.Fraction(10**5000),
]


@pytest.mark.parametrize(("name", "option"), NUMBERS, ids=ids(NUMBERS))
def test_no_numbers(name: str, option: str) -> None:
    for value in NONSENSE:
        with pytest.raises(REFUSED, match=rf"\b{option}=|--{option}") as caught:
            PUBLIC[name][1](**{option: value})
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("name", "option"), FLAGS, ids=ids(FLAGS))
def test_no_switches(name: str, option: str) -> None:
    nothing = () if option in UNDECIDED else (None,)
    for value in ("no", 0, 1, [], math.nan, *nothing):
        with pytest.raises(REFUSED, match=rf"\b{option}= takes True or False"):
            PUBLIC[name][1](**{option: value})


WHOLE = ("size", "keep", "vms", "memory", "max_output", "max_log", "host_calls", "max_source")


@pytest.mark.parametrize(("name", "option"), [each for each in NUMBERS if each[1] in WHOLE])
def test_fractions_of_what_is_whole(name: str, option: str) -> None:
    for value in (1.5, 1e9, np.float64(3), fractions.Fraction(4)):
        with pytest.raises(REFUSED, match=rf"\b{option}="):
            PUBLIC[name][1](**{option: value})


def test_numbers_of_other_libraries() -> None:
    pool = udfvm.Pool(
        size=np.int8(2), keep=np.uint64(1), keep_seconds=np.float32(0.5), wait=fractions.Fraction(3)
    )
    assert [type(each) for each in (pool.size, pool.keep, pool.keep_seconds, pool.wait)] == [
        int,
        int,
        float,
        float,
    ]
    doubled = udfvm.udf(
        memory=np.int64(64 << 20),
        timeout=np.float32(9),
        max_output=np.int32(1000),
        build_timeout=fractions.Fraction(300),
        pool=pool,
    )(function)
    assert doubled(21) == 21
    pool.close()
    policy = udfvm.sqlite.Policy(
        load_timeout=fractions.Fraction(30),
        statement_timeout=np.float32(5),
        idle_spin=np.float64(0),
        allow_create=bool(np.True_),
    )
    assert (
        policy.load_timeout,
        policy.statement_timeout,
        udfvm.sqlite.policy.offered_policy(policy).load_timeout_ns,
    ) == (30.0, 5.0, 30 * 10**9)


def test_sizes() -> None:
    assert [parse_size(text) for text in ("0", "1.5KiB", " 2 gb ", "0.1B", "1.000001kB")] == [
        0,
        1536,
        2 * 10**9,
        0,
        1000,
    ]
    for text in ("", "1.5.5", "٣", "1e3", "0x10", "1 2", "-1", "inf", "1Ki iB"):
        with pytest.raises(ValueError, match="not a size"):
            parse_size(text)


def test_the_compiler_does_not_run_for_nothing() -> None:
    with pytest.raises(udfvm.SignatureError, match="memory="):
        of_c(memory="5KiB")


# ---- The cache's size ----

PROGRAM = """
    import udfvm

    @udfvm.udf
    def double(x: int) -> int:
        return 2 * x

    print(double(21))
"""


@pytest.mark.parametrize("size", ["abc", "-1", "nan", "1e9", "9" * 400])
def test_a_wrong_size_of_the_cache_is_refused_where_all_is_cached_too(
    tmp_path: Path, size: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, program],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    assert run().stdout == "42\n"
    wrong = run(UDFVM_CACHE_SIZE=size)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "CacheError: UDFVM_CACHE_SIZE=" in wrong.stderr


@pytest.mark.parametrize("memory", ["5KiB", "1TiB", "nan", "-1"])
def test_prepared_runtimes(memory: str) -> None:
    done = CliRunner().invoke(commands, ["prepare", "--memory", memory])
    assert done.exit_code != 0 and isinstance(done.exception, udfvm.Error | SystemExit)
    assert "memory=" in done.output + str(done.exception)
