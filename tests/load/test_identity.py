"""What names a function in the cache: its code where it refers to nothing else, all that travels
with it where it does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import udfvm
from udfvm.functions.integration import declaration_of
from udfvm.load.identity import of_self_contained

OFFSET = 3


def identity_of(function: Any) -> bytes | None:
    """The identity of a function that refers to builtins alone."""
    return of_self_contained(declaration_of(function), function.function, function._program.sample)


def made(source: str, filename: str = "/srv/functions.py", **names: object) -> udfvm.ScalarFunction:
    """The UDF ``f`` of some source text."""
    namespace: dict[str, Any] = {"__name__": "functions", **names}
    exec(compile(textwrap.dedent(source), filename, "exec", dont_inherit=True), namespace)
    return udfvm.udf(namespace["f"])


PLAIN = (
    "def f(x: float, y: int = 2) -> float | None: return None if y in {1, 2} else abs(x) * y +"
    " sum(i for i in range(y))"
)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("abs(x)", "x"),
        ("y: int = 2", "y: int = 3"),
        ("y: int = 2", "y: int"),
        ("y: int = 2", "y: float = 2"),
        ("else", "else 1 *"),
        ("{1, 2}", "{1, 3}"),
        ("{1, 2}", "{True, 2}"),
        ("sum(i", "sum(-i"),
        ("range(y)", "range(1, y)"),
        ("float | None:", "float:"),
        ("return None", "return 1.0"),
        ("return None if", "return 1 if"),
        ("def f", "\ndef f"),
    ],
)
def test_functions_that_differ_have_different_names(now: str, then: str) -> None:
    assert now in PLAIN
    one, other = identity_of(made(PLAIN)), identity_of(made(PLAIN.replace(now, then, 1)))
    assert one is not None and other is not None and one != other
    assert identity_of(made(PLAIN)) == one


def test_constants_of_other_types_are_others() -> None:
    constants = ["1", "1.0", "True", "-0.0", "0.0", "'1'", "b'1'", "(1,)", "..."]
    sources = [f"def f(x: int) -> float: return ({constant}, x)[0]" for constant in constants]
    assert len({identity_of(made(source)) for source in sources}) == len(sources)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x: int) -> int: return x + OFFSET", {"OFFSET": 3}),
        ("def f(x: int) -> int:\n import math\n return math.isqrt(x)", {}),
        ("def f(x: int) -> int: return (lambda: OFFSET + x)()", {"OFFSET": 3}),
        ("def f(x: int) -> int:\n def g():\n  from os import path\n  return 1\n return g()", {}),
        ("def g(k):\n def f(x: int) -> int: return x + k\n return f\nf = g(1)", {}),
        ("def f(x: int) -> int: return x\nf.note = 1", {}),
    ],
)
def test_functions_that_refer_to_more_are_named_by_their_pickle(
    source: str, names: dict[str, object]
) -> None:
    assert identity_of(made(source, **names)) is None


class Whole(int):
    """An integer that is not only one."""


def test_defaults_count_by_value_where_they_are_constants() -> None:
    source = "def f(x: int, y: int = LIMIT) -> int: return x + y"
    names = [identity_of(made(source, LIMIT=limit)) for limit in (1, 2, 1)]
    assert names[0] == names[2] != names[1] and None not in names
    assert identity_of(made(source, LIMIT=Whole(1))) is None


def test_other_facts_of_a_function() -> None:
    plain = identity_of(made(PLAIN))
    others = [
        identity_of(made(PLAIN, filename="/srv/other.py")),
        identity_of(made(PLAIN, __file__="/srv/functions.py")),
        identity_of(made(PLAIN + "\nf.__doc__ = 'text'")),
        identity_of(made(PLAIN + "\nf.__qualname__ = 'g.f'")),
        identity_of(made(PLAIN, __package__="p")),
    ]
    assert None not in others and len({plain, *others}) == len(others) + 1
    assert identity_of(udfvm.udf(sample=(1.0, 2))(made(PLAIN).function)) is None


def test_functions_of_libraries_go_by_name() -> None:
    function = udfvm.udf(input_types=["string"], output_type="bool")(os.path.isabs)
    assert identity_of(function) is None
    assert function("/srv") is True


NAMES = """
import hashlib, sys
import udfvm
from udfvm.functions.integration import declaration_of
from udfvm.load.identity import of_self_contained
{before}
@udfvm.udf
def f(x: str) -> bool:
    return x in {{"a", "b", "c", "d", "e", "f"}}
print(hashlib.sha256(of_self_contained(declaration_of(f), f.function, None)).hexdigest())
"""


def test_the_name_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever the order of sets, and whether the source was read before or not."""
    script = tmp_path / "script.py"
    found = set()
    for seed in ("1", "2", "3"):
        script.write_text(NAMES.format(before="import linecache" if seed == "2" else "#"))
        done = subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 2  # two texts, three processes
    script.write_text(NAMES.format(before="import linecache; linecache.getlines(__file__)"))
    again = {
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(again) == 1 and not again & found


def test_tracebacks_show_the_source_of_self_contained_functions(tmp_path: Path) -> None:
    path = tmp_path / "functions.py"
    source = "def f(x: int) -> int:\n    return 1 // x    # here\n"
    path.write_text(source)
    function = made(source, filename=str(path))
    assert identity_of(function) is not None
    with pytest.raises(udfvm.UDFError, match="return 1 // x    # here") as raised:
        function(0)
    assert "functions.py" in str(raised.value)


def both_ways() -> list[Callable[[int], int]]:
    def plain(x: int) -> int:
        return x * 2

    def other(x: int) -> int:
        return x * OFFSET

    return [plain, other]


@pytest.mark.parametrize("function", both_ways(), ids=lambda function: function.__name__)
def test_both_ways_run(function: Callable[[int], int]) -> None:
    made_one = udfvm.udf(function)
    assert (identity_of(made_one) is None) == (function.__name__ == "other")
    assert made_one(5) == function(5)


def test_a_first_result_imports_little() -> None:
    """With its image in the cache, a function answers without what pickling and arrays need."""
    program = textwrap.dedent("""
        import sys, udfvm
        @udfvm.udf(packages=["numpy", "pyarrow"])
        def score(dep_delay: float, distance: float) -> float | None:
            return None if distance == 0 else dep_delay / distance * 100
        assert score(12.0, 300.0) == 4.0
        heavy = "pyarrow numpy cloudpickle inspect hashlib json ctypes tempfile".split()
        print(*sorted(set(heavy) & set(sys.modules)))
        """)
    for _ in range(2):  # the first may build the image
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "\n"
