"""Whole scripts in micro-VMs: what they find, what they leave, and what they cannot do."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sources import ROOT

import udfvm
from udfvm.functions.script_reply import read_reply

FLIGHTS = pa.table({"carrier": ["UA", "AA", "UA"], "delay": [12.0, 3.0, -6.0]})


def test_files_that_a_script_is_given(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("a b c")
    script = "len(open('/data/words').read().split())"
    assert udfvm.run(script, data={"words": path}).value == 3
    assert udfvm.run("data['a']", {"data": {"a": 1}}).value == 1
    with pytest.raises(
        udfvm.OptionError, match=r"mapping of names to paths(.|\n)*\{'data': \.\.\.\}"
    ):
        udfvm.run("1", data=FLIGHTS)


def test_text_value_and_tables() -> None:
    script = (
        "import sys\n"
        "late = flights.filter(flights['delay'].to_numpy() > limit)\n"
        "same = flights\n"
        "_hidden = late\n"
        "print(late.num_rows, 'late'); print('careful', file=sys.stderr)\n"
        "(late.num_rows, {'limit': limit})\n"
    )
    result = udfvm.run(script, flights=FLIGHTS, limit=0, timeout=20)
    assert result.text == "2 late\ncareful\n"
    assert result.value == [2, {"limit": 0}] and result.state is None
    assert result.tables == {"late": FLIGHTS.slice(0, 2), "same": FLIGHTS}
    named = udfvm.run(script, {"flights": FLIGHTS, "limit": 5}, outputs=["late", "limit", "sys"])
    assert named.tables == {} and named.outputs["late"] == FLIGHTS.slice(0, 1)
    assert named.outputs["limit"] == 5 and named.outputs["sys"].startswith("<module 'sys'")


def test_frames_come_as_they_are_and_leave_as_tables() -> None:
    index = pd.Index(["u", "v"], name="n")
    script = (
        "import numpy as np, pandas as pd, polars as pl, pyarrow as pa\n"
        "kinds = [type(each).__module__.partition('.')[0] for each in (p, q, r)]\n"
        "p2 = p.assign(y=1)\n"
        "counts = p['x'].rename('seen')\n"
        "filtered = pd.DataFrame({'x': [1, 2, 3]})[1:]\n"
        "q2 = q.lazy().with_columns(z=pl.lit('a'))\n"
        "r2 = pa.record_batch({'d': pa.array(['a', 'a']).dictionary_encode()})\n"
        "series = pl.Series('s', [[1], None])\n"
        "array = np.arange(3)\n"
        "matrix = np.eye(2)\n"
        "arrow = pa.array([{'a': 1, 'b': [pa.scalar(2).as_py()]}])\n"
        "times = pd.Series(pd.to_datetime(['2024-02-29']))\n"
        "empty = pa.table({})\n"
    )
    frames = {
        "p": pd.DataFrame({"x": [1, 2]}, index=index),
        "q": pl.DataFrame({"x": [1]}),
        "r": pa.RecordBatchReader.from_batches(FLIGHTS.schema, FLIGHTS.to_batches()),
    }
    result = udfvm.run(script, frames, outputs=None, timeout=60)
    assert {name: table.to_pydict() for name, table in result.tables.items()} == {
        "p2": {"n": ["u", "v"], "x": [1, 2], "y": [1, 1]},
        "counts": {"n": ["u", "v"], "seen": [1, 2]},
        "filtered": {"x": [2, 3]},
        "q2": {"x": [1], "z": ["a"]},
        "r2": {"d": ["a", "a"]},
        "series": {"s": [[1], None]},
        "array": {"value": [0, 1, 2]},
        "matrix": {"0": [1.0, 0.0], "1": [0.0, 1.0]},
        "arrow": {"value": [{"a": 1, "b": [2]}]},
        "times": {"value": [pd.Timestamp("2024-02-29")]},
        "empty": {},
    }
    kinds = udfvm.run(script + "kinds", {**frames, "r": FLIGHTS}, outputs=["kinds"], timeout=60)
    assert kinds.value == kinds.outputs["kinds"] == ["pandas", "polars", "pyarrow"]


def test_what_is_no_table_is_left_out() -> None:
    script = (
        "import numpy as np, pandas as pd, pyarrow as pa\n"
        "mixed = pd.DataFrame({'a': [1, 'x']})\n"
        "union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])\n"
        "cube, point = np.zeros((2, 2, 2)), np.array(1)\n"
        "good = pd.DataFrame({'a': [1]})\n"
        "print('so far')\n"
        "cube"
    )
    result = udfvm.run(script, timeout=60)
    assert {name: table.to_pydict() for name, table in result.tables.items()} == {
        "good": {"a": [1]}
    }
    printed, mixed, union = result.text.splitlines()
    assert printed == "so far"
    assert mixed.startswith("udfvm: mixed of the script cannot leave as a table: ")
    assert union.startswith("udfvm: union of the script") and "make it text" in union
    assert isinstance(result.value, str) and result.value.startswith("array(")


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("x = 1", None),
        ("None", None),
        ("", None),
        ("2 ** 70", 2**70),
        ("import numpy; numpy.float64(1.5)", 1.5),
        ("(1, [True, None, {'a': 'ä'}])", [1, [True, None, {"a": "ä"}]]),
        ("{1: 2}", "{1: 2}"),
        ("b'x'", "b'x'"),
        ("'\\ud800'", r"'\ud800'"),
        ("exit()\n1", None),
        ("import sys\nx = 2\nsys.exit(0)", None),
        ("__name__", "__main__"),
        ("'x' * 100_000 and object", "<class 'object'>"),
    ],
)
def test_values_at_the_end(script: str, value: object) -> None:
    found = udfvm.run(script).value
    assert found == value and type(found) is type(value)


def test_state_goes_from_run_to_run() -> None:
    first = udfvm.run(
        "import math\nn = 0\ndef count():\n    global n\n    n += 1\n    return n\n"
        "class Point:\n    def __init__(self, x): self.x = x\n"
        "point, shared = Point(3), []\nboth = [shared, shared]\n"
        "rows = (each for each in [])",
        state=b"",
    )
    assert first.dropped == ("rows",) and first.state
    second = udfvm.run("count(); both[0].append(point.x); shared", state=first.state)
    assert second.value == [3] and second.dropped == ()
    third = udfvm.run("n, count(), n, shared is both[1], Point(1).x, math.pi", state=second.state)
    assert third.value == [1, 2, 2, True, 1, pytest.approx(3.14159265)]
    assert udfvm.run("'n' in globals()").value is False, "nothing is kept that is not passed on"
    with pytest.raises(udfvm.UDFError):
        udfvm.run("1", state=b"no pickle")


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        ("print('so far')\n1 / 0", udfvm.UDFError, "line 2, in <module>\n    1 / 0"),
        ("x = (", udfvm.UDFError, "'(' was never closed"),
        ("raise SystemExit(3)", udfvm.UDFError, "SystemExit: 3"),
        ("while True: pass", udfvm.CallTimeoutError, "within 0.5 s"),
        ("import os; os._exit(2)", udfvm.GuestExitError, "exit status 2"),
        ("x = [0] * 10 ** 10", udfvm.UDFError, "MemoryError"),
        ("'x' * (80 << 20)", udfvm.UDFError, "MemoryError|the value at the end"),
        ("import socket; socket.create_connection(('10.0.0.1', 80))", udfvm.UDFError, "no network"),
        ("open('/etc/shadow')", udfvm.UDFError, "no files of this machine"),
        ("import subprocess; subprocess.run(['true'])", udfvm.UDFError, "starts no others"),
        ("x: int = y", udfvm.UDFError, "name 'y' is not defined"),
    ],
)
def test_failures(script: str, error: type[udfvm.CallError], text: str) -> None:
    with pytest.raises(error) as caught:
        udfvm.run(script, timeout=0.5 if "while" in script else 20, memory="256MiB")
    assert any(each in str(caught.value) for each in text.split("|"))
    assert caught.value.output == ("so far\n" if "so far" in script else "")


def test_limits_and_options() -> None:
    cut = udfvm.run("print('x' * 100_000)", max_log=1000)
    assert len(cut.text) < 1200 and "xxx" in cut.text
    with pytest.raises(udfvm.LogLimitError):
        udfvm.run("print('x' * 100_000)", max_log=1000, log="strict")
    seen: list[tuple[str, str]] = []
    udfvm.run("print('hello')", log=lambda *each: seen.append(each))
    assert seen == [("hello\n", "stdout")]
    with pytest.raises(udfvm.OutputLimitError):
        udfvm.run("import numpy as np\nx = np.zeros(1 << 20)", max_output=1000)

    def price(item: str) -> float:
        return {"tea": 2.5}[item]

    assert udfvm.run("price('tea') * 2", host_functions=[price]).value == 5.0
    with pytest.raises(udfvm.HostFunctionError):
        udfvm.run("price('milk')", host_functions=[price])
    alone = udfvm.run("y = t\nt['x'].to_pylist()", t=pa.table({"x": [1]}), files=False)
    assert alone.value == [1] and alone.tables["y"].num_rows == 1
    with pytest.raises(udfvm.UDFError, match="No module named 'wave'"):
        udfvm.run("import wave", files=False)
    large = pa.table({"x": np.arange(1 << 21)})
    result = udfvm.run("y, z = x, x['x']", x=large, memory="1GiB", timeout=60)
    assert result.tables["y"] == large and result.tables["z"].num_rows == large.num_rows


@pytest.mark.parametrize(
    ("arguments", "keywords", "text"),
    [
        ((b"1",), {}, "source must be text"),
        (("1", {"a b": 1}), {}, "'a b' cannot be the name of a variable"),
        (("1",), {"f": sys._getframe()}, "cannot be sent to a micro-VM"),
        (("1",), {"outputs": [3]}, "outputs= has 3"),
        (("1",), {"state": "x"}, "state= must be that of a result"),
        (("1",), {"timeout": FLIGHTS}, "timeout="),
        (("1",), {"packages": ["no_such_package"]}, "is not installed"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], keywords: dict[str, Any], text: str) -> None:
    with pytest.raises(udfvm.OptionError, match=text):
        udfvm.run(*arguments, **keywords)
    with pytest.raises(udfvm.UDFError, match="does not define 'nothing'"):
        udfvm.run("1", outputs=["nothing"])


def test_each_run_is_fresh() -> None:
    draws = "import random, numpy as np\n[random.random(), np.random.rand()]"
    first, second = udfvm.run(draws).value, udfvm.run(draws).value
    assert not set(first) & set(second)
    udfvm.run("import builtins; builtins.left = 1; open('/tmp/left', 'w').write('x')")
    found = udfvm.run(
        "import builtins, os; [hasattr(builtins, 'left'), os.path.exists('/tmp/left')]"
    )
    assert found.value == [False, False]


# ---- Hostile replies ----


def reply(parts: tuple[bytes, ...] = (b"",), **header: Any) -> bytes:
    whole = {
        "tables": [],
        "named": [],
        "outputs": {},
        "value": ["json", None],
        "dropped": [],
        "lengths": list(map(len, parts)),
        **header,
    }
    text = json.dumps(whole).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


TABLE = {"columns": [["x", "int64"]], "rows": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        (1 << 40).to_bytes(8, "little"),
        reply()[:-1],
        reply() + b"x",
        reply(lengths=[1 << 60]),
        reply(lengths=[-1]),
        reply(lengths=[True]),
        reply(lengths=[]),
        reply(lengths=None),
        reply(value=["json"]),
        reply(value=["code", "1"]),
        reply(value=["text", 3]),
        reply(value=["table", 0]),
        reply(value=["table", -1]),
        reply(value=["json", "\ud800"]),
        reply(named=[["x", 0]]),
        reply(named=[[3, 0]]),
        reply(outputs=[]),
        reply(dropped=[3]),
        reply(tables=[TABLE]),
        reply((b"", b"")),
        reply((b"x" * 100, b""), tables=[TABLE]),
        reply((b"", b""), tables=[{**TABLE, "rows": -1}]),
        reply((b"", b""), tables=[{**TABLE, "rows": 1 << 62}]),
        reply((b"", b""), tables=[{**TABLE, "columns": [["x", "object"]]}]),
        reply((b"", b""), tables=[{**TABLE, "columns": [["x", "list<" * 40]]}]),
        reply((b"", b""), tables=[{**TABLE, "columns": [[3, "int64"]]}]),
        (8 + 200_000).to_bytes(8, "little") + b"[" * 200_008,
        (8 + 5000).to_bytes(8, "little") + b"9" * 5008,
    ],
)
def test_forged_replies(data: bytes) -> None:
    with pytest.raises(udfvm.ProtocolError, match="reply is not valid"):
        read_reply("script", data)


# ---- Examples ----


def example(path: str) -> Any:
    """A module of the folder `examples`, which is no package."""
    specification = importlib.util.spec_from_file_location("example_module", ROOT / path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["example_module"] = module
    specification.loader.exec_module(module)
    return module


def test_packets() -> None:
    results = example("examples/packets/packets.py").main(3001)
    assert [kept for kept, _ in results.values()] == [1001, 1001, 1001]


def test_the_executor_for_agents() -> None:
    module = example("examples/agent/executor.py")
    observed = module.converse(module.STEPS)
    assert observed[0] == "['carrier', 'delay'] 4\n" and observed[2] == "3 are late\n"
    assert "KeyError: 'dealy'" in observed[1] and "line 2" in observed[1]
    assert "FileNotFoundError" in observed[3] and observed[4] == "Delta: 40 minutes"


def test_an_agent_of_smolagents() -> None:
    """A list of scripts stands for its model."""
    smolagents = pytest.importorskip("smolagents")
    module = example("examples/agent/executor.py")
    steps = iter(
        [
            "late = [row for row in flights.to_pylist() if row['delay'] > 0]\nprint(len(late))",
            "1 / 0",
            "final_answer(name_of('DL') + str(len(late)))",
        ]
    )

    class Model(smolagents.Model):  # type: ignore[misc, name-defined]
        def generate(self, *_: Any, **__: Any) -> Any:
            content = f"Thought: go on\n<code>\n{next(steps)}\n</code>"
            return smolagents.ChatMessage(role="assistant", content=content)

    @smolagents.tool  # type: ignore[untyped-decorator]
    def name_of(carrier: str) -> str:
        """Returns a name.

        Args:
            carrier: its code.
        """
        return module.name_of(carrier)  # type: ignore[no-any-return]

    agent = smolagents.CodeAgent(
        tools=[name_of],
        model=Model(),
        executor=module.MicroVMExecutor(timeout=20),
        verbosity_level=0,
    )
    answer = agent.run("How many?", additional_args={"flights": module.FLIGHTS}, max_steps=5)
    assert answer == "Delta3"
    assert "ZeroDivisionError" in str([getattr(each, "error", "") for each in agent.memory.steps])
