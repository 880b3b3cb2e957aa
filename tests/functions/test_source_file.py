"""What a micro-VM says of files of functions, and functions that are made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import udfvm
from udfvm.call.pool import Pool
from udfvm.functions.declared_source import declared_function
from udfvm.functions.function import Function
from udfvm.functions.source_file import SourceFile, read_declarations, read_file
from udfvm.limits import Limits


def read(tmp_path: Path, text: str) -> SourceFile:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return read_file(path, Limits(), Pool.default())


def only(file: SourceFile, signature: str | None = None) -> Function:
    (found,) = file.functions
    return declared_function(file, found, found.options, signature)


@pytest.mark.parametrize(
    ("annotation", "type_", "nullable"),
    [
        ("float", "double", False),
        ("'float | None'", "double", True),
        ("typing.Optional[str]", "string", True),
        ("t.Union[None, bytes]", "binary", True),
        ("dt.date", "date32[day]", False),
        ("datetime", "timestamp[us]", False),
        ("Decimal", "decimal128(38, 18)", False),
        ("list[float]", "list<item: double>", False),
        ("dict[str, list[int]] | None", "map<string, list<item: int64>>", True),
        ("Annotated[int, 'kg']", "int64", False),
        ("Annotated[float, pa.float32(), 'kg']", "float", False),
        ("list[Annotated[int, pa.int8()]] | None", "list<item: int8>", True),
        ("Annotated[int, pa.int8(), pa.int16()]", "", False),
        ("np.int8", "int8", False),
        ("dict", "", False),
        ("int | str", "", False),
        ("Own", "", False),
        ("open('x')", "", False),
    ],
)
def test_annotations(tmp_path: Path, annotation: str, type_: str, nullable: bool) -> None:
    file = read(
        tmp_path,
        "import datetime as dt, numpy as np, typing, typing as t\nfrom datetime import datetime\n"
        "from decimal import Decimal\nfrom typing import Annotated\nimport pyarrow as pa\n"
        f"def f(x: {annotation}) -> float: return 1.0\n",
    )
    (found,) = file.functions
    (parameter,) = found.parameters
    if type_:
        assert str(only(file).parameters[0].type) == type_
        assert parameter.written.nullable == nullable
    else:
        with pytest.raises(udfvm.SignatureError, match="parameter 'x'"):
            only(file)


@pytest.mark.parametrize(
    ("given", "type_"),
    [
        ("'timestamp[us, tz=UTC]'", "timestamp[us, tz=UTC]"),
        ("float", "double"),
        ("pa.timestamp('ms')", "timestamp[ms]"),
        ("pa.list_(pa.float32())", "list<item: float>"),
        ("pa.int16()", "int16"),
    ],
)
def test_declared_types(tmp_path: Path, given: str, type_: str) -> None:
    for types in (f"[{given}]", f"{{'x': {given}}}"):
        file = read(
            tmp_path,
            "import udfvm, pyarrow as pa\n"
            f"@udfvm.udf(input_types={types}, output_type='int64')\ndef f(x): return 1\n",
        )
        assert str(only(file).parameters[0].type) == type_
        assert str(only(file).result.type) == "int64"


def test_columns_are_in_their_containers(tmp_path: Path) -> None:
    for module, annotation in (
        ("numpy as np", "np.ndarray"),
        ("numpy as np", "np.typing.NDArray[np.float64]"),
        ("pandas as pd", "pd.Series"),
        ("pyarrow as pa", "pa.DoubleArray"),
    ):
        file = read(
            tmp_path,
            f"import udfvm\nimport {module}\n"
            "@udfvm.udf(vectorized=True, input_types=['double'], output_type='string')\n"
            f"def f(x: {annotation}):\n    import pyarrow\n"
            "    return pyarrow.array([type(x).__name__] * len(x))\n",
        )
        function: Any = only(file)
        kind = annotation.rpartition(".")[2]
        wanted = "ndarray" if module.startswith("numpy") else kind
        assert function(pa.array([1.0])).to_pylist() == [wanted]
    scalar = read(tmp_path, "import numpy as np\ndef f(x: np.ndarray) -> float: return 1.0\n")
    with pytest.raises(udfvm.SignatureError, match=r"declare @udfvm.udf\(vectorized=True\)"):
        only(scalar, None)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("async def f(x: int) -> int: ...", "an async function"),
        ("def f(*x: int) -> int: ...", r"a parameter \*x"),
        ("def f(*, x: int) -> int: ...", "a parameter x, by name only"),
        ("import udfvm\n@udfvm.aggregate\ndef f(x: int) -> int: ...", "it is a function, which @u"),
        ("import udfvm\n@udfvm.udf\nclass f: ...", "it is a class, which @udfvm.udf does not"),
        ("import udfvm\n@udfvm.aggregate\nclass f: ...", r"it has no step\(\)"),
        ("import udfvm\n@udfvm.table_function\ndef f(x: int): ...", "needs columns="),
        ("import udfvm\n@udfvm.table_function(columns=c)\ndef f(x: int): ...", "columns=c is no l"),
        ("import udfvm\n@udfvm.udf(input_types=['int64'])\ndef f(x, y): ...", "has 1 types, and"),
        ("import udfvm\n@udfvm.udf(input_types=[len('a')])\ndef f(x): ...", "is no type"),
        ("import udfvm\n@udfvm.udf(input_types=['odd'])\ndef f(x) -> int: ...", "odd"),
        (
            "import udfvm\n@udfvm.udf(vectorized=7)\ndef f(x: int) -> int: ...",
            "vectorized= takes True or False; got 7",
        ),
        ("import udfvm\n@udfvm.udf(sample=(1, 2))\ndef f(x: int) -> int: ...", "sample="),
    ],
)
def test_what_cannot_be_declared_says_why(tmp_path: Path, text: str, wanted: str) -> None:
    file = read(tmp_path, text)
    with pytest.raises(udfvm.SignatureError, match=wanted):
        only(file)


def test_the_order_and_what_counts(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "from udfvm import udf\nclass A: pass\ndef f(): pass\n@udf\ndef g(): pass\n"
        "def f(): pass\nif True:\n    def hidden(): pass\n",
    )
    assert [(each.name, each.declared) for each in file.functions] == [("g", True), ("f", False)]


GOOD: dict[str, Any] = {
    "name": "f",
    "form": "scalar",
    "declared": True,
    "options": {},
    "parameters": [["x", "double", False, "", 1.5]],
    "result": ["double", False, ""],
    "columns": [],
    "refused": "",
}


def forged(**changes: Any) -> bytes:
    return json.dumps({"functions": [{**GOOD, **changes}], "imports": []}).encode()


def test_an_honest_description() -> None:
    ((found,), imports) = read_declarations("a.py", forged())
    assert found.name == "f" and imports == () and found.parameters[0].default == [1.5]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"functions": {}, "imports": []}',
        b'{"functions": [1], "imports": []}',
        b'{"functions": [], "imports": ["a b"]}',
        b'{"functions": [], "imports": [' + b'"a",' * 20_000 + b'"a"]}',
        b" " * (1 << 20) + b'{"functions": [], "imports": []}',
        forged(name="1"),
        forged(name="def"),
        forged(name="a" * 2000),
        forged(form="other"),
        forged(form=[]),
        forged(options=[]),
        forged(parameters=[["x", "double", False, ""], ["x", "double", False, ""]]),
        forged(parameters=[["x", "double"]]),
        forged(parameters=[["x", "double", False, "other"]]),
        forged(parameters=[["x", "double", False, "", [1]]]),
        forged(parameters=[["x\x1b", "double", False, ""]]),
        forged(result=["d" * 2000, False, ""]),
        forged(result="double"),
        forged(columns=[["a"]]),
        forged(refused=None),
    ],
)
def test_forged_descriptions(reply: bytes) -> None:
    with pytest.raises(udfvm.ProtocolError):
        read_declarations("a.py", reply)


@pytest.mark.parametrize(
    "type_", ["list<" * 150 + "int64" + ">" * 150, "\x1b[31m", "decimal128(99, 1)", "struct<"]
)
def test_forged_types(type_: str) -> None:
    functions, imports = read_declarations("a.py", forged(result=[type_, False, ""]))
    file = SourceFile(Path("a.py"), "", functions, imports)
    with pytest.raises(udfvm.Error):
        only(file)
