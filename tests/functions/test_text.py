"""Functions of source text: declared, called and attacked. Nothing of it runs on the host."""

from __future__ import annotations

import datetime as dt
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm.functions.source import read_description

MODULE = """\
import math

SCALE = 10

def helper(x):
    return x * SCALE

def area(r, h=2.0):
    return math.pi * helper(r) * h
"""


def test_a_module() -> None:
    area = udfvm.from_source(MODULE, "(double) -> double")
    assert repr(area) == "<UDF area(r: double) -> double>"
    assert area(1.0) == pytest.approx(20 * np.pi)
    assert area(r=1.0) == area(1.0)
    helper = udfvm.from_source(MODULE, "(int) -> int", function="helper", name="scaled")
    assert helper.name == "scaled" and helper(pa.array([1, None])).to_pylist() == [10, None]
    assert udfvm.from_source(MODULE, "(bigint) -> bigint", name="helper")(4) == 40


def test_annotations_are_a_signature() -> None:
    source = (
        "import datetime\n"
        "def f(a: int, b: 'float | None', c: datetime.date) -> str | None:\n"
        "    return None if b is None else f'{a} {b} {c}'\n"
    )
    f = udfvm.from_source(source)
    assert [(each.name, each.type.name, each.nullable) for each in f.parameters] == [
        ("a", "int64", False),
        ("b", "double", True),
        ("c", "date32[day]", False),
    ]
    day = dt.date(2024, 2, 29)
    assert (f(1, 2.5, day), f(1, None, day)) == ("1 2.5 2024-02-29", None)
    with pytest.raises(udfvm.SignatureError, match="parameter 'x' has no type in the source"):
        udfvm.from_source("def f(x) -> int: return x")


def test_types_options_and_host_functions() -> None:
    def price(item: str) -> float:
        return {"tea": 2.5}[item]

    source = (
        "import numpy as np, sys\n"
        "def total(items):\n"
        "    return {'total': sum(map(price, items)), 'np': 'numpy' in sys.modules}\n"
    )
    total = udfvm.from_source(
        source, "(list<text>) -> json", host_functions=[price], packages=["numpy"]
    )
    assert total(["tea", "tea"]) == {"total": 5.0, "np": True}
    doubled = udfvm.from_source(
        "import pyarrow.compute as pc\ndef f(x): return pc.multiply(x, 2)",
        "(f64) -> f64",
        vectorized=True,
        elementwise=True,
        sample=([1.0],),
    )
    assert doubled.map({"x": [1.5, 2.0]}).column("f").to_pylist() == [3.0, 4.0]
    with pytest.raises(udfvm.CallTimeoutError):
        udfvm.from_source("def f(x):\n    while True: pass", "(int) -> int", timeout=0.1)(1)


@pytest.mark.parametrize(
    ("text", "types", "arguments", "result", "name"),
    [
        ("a / b * 100", {"a": float, "b": float}, (3.0, 60.0), 5.0, "double"),
        ("a // b - -a", {"a": int, "b": bool}, (3, True), 6, "int64"),
        ("a ** 2 + (a << 1)", {"a": int}, (3,), 15, "int64"),
        ("a ** b", {"a": int, "b": int}, (2, -1), 0.5, "double"),
        ("a < b or not a", {"a": int, "b": int}, (2, 1), False, "bool"),
        ("None if b == 0 else a % b", {"a": float, "b": int}, (5.0, 0), None, "double"),
        ("max(a, b, 0.5) if a else 1", {"a": int, "b": int}, (1, 2), 2.0, "double"),
        ("f'{a:.1f}' + b.strip()[:2]", {"a": float, "b": str}, (1.25, " xyz"), "1.2xy", "string"),
        ("a.find('b') + len(a)", {"a": str}, ("ab",), 3, "int64"),
        ("a * 2 + b.encode()[1:]", {"a": bytes, "b": str}, (b"x", "yz"), b"xxz", "binary"),
        ("math.sqrt(a) + math.pi * 0", {"a": float}, (4.0,), 2.0, "double"),
        ("math.floor(a) + round(a)", {"a": float}, (4.6,), 9, "int64"),
        ("round(abs(a), 1)", {"a": float}, (-4.66,), 4.7, "double"),
        ("a.year * 100 + a.month", {"a": dt.date}, (dt.date(2024, 2, 29),), 202402, "int64"),
        ("a if a is not None else 0.0", {"a": float | None}, (None,), 0.0, "double"),
    ],
)
def test_types_of_expressions(
    text: str, types: dict[str, Any], arguments: tuple[Any, ...], result: Any, name: str
) -> None:
    made = udfvm.expression(text, types)
    assert made.result.type.name == name and made.result.nullable
    found = made(*arguments)
    assert found == result and type(found) is type(result)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a if a else 'x'",
            "the type of \"a if a else 'x'\" cannot be told from the text: it is int",
        ),
        ("json.loads(str(a))", "the type of 'json' cannot be told"),
        ("sum([a])", r"the type of '\[a\]' cannot be told"),
        ("None", "always None"),
        ("a + 'x'", "cannot be told"),
    ],
)
def test_types_that_no_text_tells(text: str, message: str) -> None:
    with pytest.raises(udfvm.UDFError, match=message) as caught:
        udfvm.expression(text, a=int)
    assert caught.value.guest_type == "TypeError" and "result=" in caught.value.guest_message


def test_expressions_with_declared_results() -> None:
    assert udfvm.expression("json.loads(a)['x']", a=str, result="double")('{"x": 1.5}') == 1.5
    assert udfvm.expression("{'n': [a]}", a=int, result=dict)(3) == {"n": [3]}
    twice = udfvm.expression("timeout * 2", {"timeout": float}, name="twice", timeout=1)
    assert twice(1.5) == 3.0 and twice.limits.timeout_ns == 10**9
    assert udfvm.expression("1 + 1")() == 2


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (("a",), {"a": 3}, "parameter 'a': "),
        (("a",), {"timout": 3}, r"parameter 'timout' \(or did you mean the option timeout=\?\)"),
        (("a", {"class": int}), {}, "'class' is not a valid parameter name"),
        (("a",), {"a": int, "result": 3}, "result="),
        ((b"a",), {}, "text must be text"),
        (("fi", {"\ufb01": float}), {}, "the parameter '\ufb01' as 'fi'"),  # a ligature
    ],
)
def test_wrong_declarations(
    arguments: tuple[Any, ...], keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises((udfvm.SignatureError, udfvm.OptionError), match=message):
        udfvm.expression(*arguments, **keywords)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ("*xs: float", "takes *xs, and annotations do not say how many arguments"),
        ("x: float, **more: float", "takes **more, and"),
        ("x: float, *, y: float", "takes 'y' by keyword alone"),
    ],
)
def test_parameters_without_a_place(parameters: str, text: str) -> None:
    source = f"def f({parameters}) -> float: return 1.0"
    with pytest.raises(udfvm.UDFError, match=re.escape(text)) as caught:
        udfvm.from_source(source)
    assert caught.value.guest_type == "TypeError"


def test_parameters_that_a_signature_tells() -> None:
    total = udfvm.from_source("def f(*xs, scale=2): return scale * sum(xs)", "(int, int) -> int")
    assert total(3, 4) == 14
    scaled = udfvm.from_source("def f(x: int, *, scale: int = 2) -> int: return scale * x")
    assert scaled(3) == 6


@pytest.mark.parametrize(
    ("source", "signature", "type_", "text"),
    [
        ("def f(x:\n  return 1", "(int) -> int", "SyntaxError", "'(' was never closed"),
        ("def f(x):\n  return\n return x", "(int) -> int", "IndentationError", "unindent"),
        ("return 1", "() -> int", "SyntaxError", "'return' outside function"),
        ("x = 1", "(int) -> int", "NameError", "defines no function"),
        ("def f(x): return \ud800", "(int) -> int", "UnicodeEncodeError", "surrogates"),
    ],
)
def test_wrong_source(source: str, signature: str, type_: str, text: str) -> None:
    with pytest.raises(udfvm.UDFError, match=re.escape(text)) as caught:
        udfvm.from_source(source, signature)
    assert caught.value.guest_type == type_
    if type_ == "SyntaxError":
        assert "^" in caught.value.guest_traceback and "line 1" in caught.value.guest_traceback


def test_what_fails_as_it_runs() -> None:
    broken = udfvm.from_source("import nothing_here\ndef f(): return 1", "() -> int")
    with pytest.raises(udfvm.UDFError, match=r"line 1, in <module>\n    import nothing_here"):
        broken.prepare()
    with pytest.raises(udfvm.UDFError, match="takes 2 arguments, and its signature has 1"):
        udfvm.from_source("def f(x, y): return x", "(int) -> int").prepare()
    with pytest.raises(udfvm.UDFError, match="does not define 'g'"):
        udfvm.from_source("def f(x): return x", "(int) -> int", function="g").prepare()
    ratio = udfvm.expression("a / b", a=float, b=float)
    with pytest.raises(udfvm.UDFError, match="a / b") as caught:
        ratio(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    assert (caught.value.guest_type, caught.value.row) == ("ZeroDivisionError", 1)


def test_they_travel() -> None:
    ratio = udfvm.expression("a / b", a=float, b=float, timeout=3)
    again = pickle.loads(pickle.dumps(ratio))
    assert again(3.0, 2.0) == 1.5 and again.limits == ratio.limits
    assert pickle.loads(pickle.dumps(udfvm.from_source(MODULE, "(f64) -> f64")))(0.0) == 0.0
    assert ratio.with_options(name="other").name == "other"

    @udfvm.udf
    def refers(x: float) -> float:
        return float(ratio(x, x))

    with pytest.raises(udfvm.SignatureError, match="which is source text and needs a micro-VM"):
        refers(1.0)


def test_the_host_compiles_nothing() -> None:
    """No event of the interpreter that compiles, evaluates or imports has anything of the text."""
    script = """
import sys
seen = []
def note(event, arguments):
    if event in ("compile", "exec", "import", "pickle.find_class"):
        seen.append((event, repr([str(each) for each in arguments])))
sys.addaudithook(note)
import udfvm
made = udfvm.from_source("import wave\\ndef marker_two(x): return x + 41", "(int) -> int")
assert made(1) == 42 and udfvm.expression("a + len('marker_three')", a=int)(30) == 42
assert any(event == "import" for event, _ in seen)
found = [each for each in seen if "marker" in each[1] or "'wave'" in each[1]]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "-" * 1_000_000 + "a",
        "a" + "+a" * 100_000,
        "a" + ".b" * 100_000,
        "f'{" * 3000,
        "lambda: " * 50_000 + "a",
        "a\0b",
        "9" * 100_000,
        "[" + "a for a in a " * 10_000 + "]",
        "",
    ],
    ids=lambda text: f"{text[:8]!r} {len(text)}",
)
def test_text_that_attacks_the_parser(text: str) -> None:
    """Whatever it does to CPython's parser, it does in the micro-VM, and the next call works."""
    with pytest.raises((udfvm.CallError, udfvm.BuildError)):
        udfvm.expression(text, a=int, build_timeout=20)
    assert udfvm.expression("a + 1", a=int)(1) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"f",
        b"f\0",
        b"f\0double\0x\0",
        b"f\0double\0x\0double\0x\0double\0",
        b"f\0object\0",
        b"f\0double??\0",
        b"a b\0double\0",
        b"class\0double\0",
        b"f\0double\0x y\0double\0",
        b"f\0double\0__import__('os')\0double\0",
        b"\xff\0double\0",
        b"f\0" + b"list<" * 100_000 + b"\0",
        b"f\0double\0" + b"".join(b"x%d\0\0" % each for each in range(2000)),
        b"f\0" + b"x" * (1 << 20) + b"\0",
    ],
)
def test_forged_descriptions(reply: bytes) -> None:
    with pytest.raises(udfvm.ProtocolError, match="description of the function is not valid"):
        read_description("f", reply)
