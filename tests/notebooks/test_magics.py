"""``%load_ext udfvm`` in a real kernel: what cells show."""

from __future__ import annotations

import re
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

CELLS = {
    "load": "%load_ext udfvm",
    "declare": """%%udf --timeout 5 --memory 256MiB
SHARE = 3
def _part(x):
    return x / SHARE
def part(a: int, b: int) -> float:
    '''A part of a part.'''
    print("computing")
    return _part(a) / b
""",
    "call": "part(12, 2)",
    "plain": "_part(3)",
    "columns": "import pyarrow as pa\npart(pa.array([12, 0]), pa.array([2, 0]))",
    "shown": "part",
    "overview": "%udfvm",
    "untrusted": """%%udf --untrusted --functions double_it,halve
open("/tmp/x" if False else __import__("os").devnull).close()
def double_it(x: float) -> float:
    return 2 * x
def halve(x: float) -> float:
    return x / 2
""",
    "called": "double_it(2.0), halve(3.0)",
    "here": "import os\n_pid = os.getpid()",
    "elsewhere": "%%udf --untrusted\nimport os\ndef pid() -> int:\n    return os.getpid()",
    "apart": "pid() != _pid",
    "frame": "prices = [1.0]",
    "takes a builtin": "%%udf --untrusted\ndef print(x: float) -> float:\n    return x",
    "takes a magic's": "%%udf --untrusted\ndef get_ipython(x: float) -> float:\n    return x",
    "takes a value": "%%udf --untrusted\ndef prices(x: float) -> float:\n    return x",
    "as before": "print(prices, type(get_ipython()).__name__)",
    "runs a command": "%%udf --untrusted\n!exit 0\ndef pid() -> int:\n    return 1",
    "again": "%%udf --untrusted\ndef pid() -> int:\n    return -1",
    "is another": "pid()",
    "named": "%%udf --untrusted --functions prices\ndef prices(x: float) -> float:\n"
    "    return 2 * x",
    "called by name": "prices(2.0)",
    "no types": "%%udf\ndef helper(x):\n    return x",
    "no such function": "%%udf --functions a\ndef b(x: int) -> int:\n    return x",
    "no such option": "%%udf --seconds 1\ndef b(x: int) -> int:\n    return x",
    "no such name": "%%udf --host-functions a\ndef b(x: int) -> int:\n    return x",
    "host function": "def rate(currency: str) -> float:\n    return 1.1",
    "calls it": "%%udf --host-functions rate\ndef euros(x: float) -> float:\n"
    "    return x / rate('USD')",
    "in euros": "euros(2.2)",
    "a file": "import pathlib, tempfile\n_path = tempfile.mktemp()\n"
    "pathlib.Path(_path).write_text('a b c')",
    "has it": "%%udf --data words=$_path\ndef words(x: int) -> int:\n"
    "    return x * len(open('/data/words').read().split())",
    "reads it": "words(2)",
    "timed out": "%%udf --timeout 0.2\ndef endless() -> int:\n    while True:\n        pass",
    "call it": "endless()",
    "fails deep": "import numpy as np\nimport udfvm\ndef fails(x: float) -> float:\n"
    "    return float(np.linalg.inv(np.zeros((2, 2)))[0, 0])\nfails = udfvm.udf(fails)",
    "call deep": "fails(1.0)",
    "mapped": "part.map(pa.table({'a': range(1000), 'b': [3] * 1000}))['part'][999].as_py()",
    "in SQL": "import apsw, udfvm\ncon = apsw.Connection(':memory:')\n"
    "udfvm.sqlite.register(con, part)\ncon.execute('SELECT part(12, 0)').fetchall()",
    "other SQL": "con.execute('SELECT no_such(1)').fetchall()",
    "as text": "raise RuntimeError('UDF')",
    "no Python": "%%udf\ndef b(x: int) -> int:\n    return 1 +",
    "no function": "%%udf\nreturn 1",
    "fails itself": "%%udf\nLIMIT = 1 / 0",
    "not in the text": "%%udf --untrusted --functions nope\ndef b(x: int) -> int:\n    return x",
    "unload": "%unload_ext udfvm",
    "gone": "%udfvm",
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[Any]]:
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=300, allow_errors=True).execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def text(outputs: list[Any]) -> str:
    """What a cell shows as text."""
    shown = []
    for each in outputs:
        if each.output_type == "stream":
            shown.append(each.text)
        elif each.output_type == "error":
            shown.append("\n".join(each.traceback) + "\n")
        else:
            shown.append(each.data["text/plain"] + "\n")
    return "".join(shown)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("load", ""),
        ("declare", ""),
        ("plain", "1.0\n"),
        ("called", "(4.0, 1.5)\n"),
        ("apart", "True\n"),
        ("as before", "[1.0] ZMQInteractiveShell\n"),
        ("is another", "-1\n"),
        ("called by name", "4.0\n"),
        ("in euros", "2.0\n"),
        ("reads it", "6\n"),
        ("unload", ""),
    ],
)
def test_values(outputs: dict[str, list[Any]], cell: str, expected: str) -> None:
    assert text(outputs[cell]) == expected


def test_printed_output_is_below_the_cell(outputs: dict[str, list[Any]]) -> None:
    assert [each.output_type for each in outputs["call"]] == ["stream", "execute_result"]
    assert text(outputs["call"]).replace("\n\n", "\n") == "computing\n2.0\n"


def test_an_error_has_the_lines_of_the_user_alone(outputs: dict[str, list[Any]]) -> None:
    shown = text(outputs["columns"][-1:])
    assert shown == (
        "UDFError: UDF 'part', row 1: ZeroDivisionError: float division by zero\n"
        "\n"
        "In the micro-VM:\n"
        "  Cell In[2], line 8, in part\n"
        "    return _part(a) / b\n"
        "           ~~~~~~~~~^~~\n"
        "\n"
        "Called from:\n"
        "  Cell In[5], line 2\n"
        "    part(pa.array([12, 0]), pa.array([2, 0]))\n"
    )


def test_an_error_of_an_engine_is_shown_as_one_of_udfvm(outputs: dict[str, list[Any]]) -> None:
    assert text(outputs["in SQL"][-1:]) == (
        "SQLError: UDF 'part', row 0: ZeroDivisionError: float division by zero\n"
        "\n"
        "In the micro-VM:\n"
        "  Cell In[2], line 8, in part\n"
        "    return _part(a) / b\n"
        "           ~~~~~~~~~^~~\n"
        "\n"
        "Called from:\n"
        f"  Cell In[{list(CELLS).index('in SQL') + 1}], line 4\n"
        "    con.execute('SELECT part(12, 0)').fetchall()\n"
    )
    for cell in ("other SQL", "as text"):  # these are IPython's
        assert "Traceback (most recent call last)" in text(outputs[cell])


def test_errors_of_a_cell_itself_have_no_frames_of_udfvm(outputs: dict[str, list[Any]]) -> None:
    for cell, error, line in (
        ("no Python", "SyntaxError: invalid syntax", "    return 1 +\n"),
        ("no function", "SyntaxError: 'return' outside function", "    return 1\n"),
        ("fails itself", "ZeroDivisionError: division by zero", "LIMIT = 1 / 0\n"),
    ):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", text(outputs[cell]))
        assert error in shown and line in shown, shown
        assert "File" not in shown and "run_cell_magic" not in shown, shown


def test_progress_of_map_is_a_bar_below_the_cell(outputs: dict[str, list[Any]]) -> None:
    bar, value = (each for each in outputs["mapped"] if each.output_type != "stream")
    assert bar.output_type == "display_data" and value.data["text/plain"] == "111.0"
    assert "1,000" in bar.data["text/plain"] or "1.00k" in bar.data["text/plain"]


def test_frames_of_libraries_are_folded(outputs: dict[str, list[Any]]) -> None:
    shown = text(outputs["call deep"])
    assert "LinAlgError: Singular matrix" in shown and "np.zeros((2, 2))" in shown
    assert "of numpy\n" in shown and "site-packages" not in shown


def test_a_deadline_is_an_error_of_one_screen(outputs: dict[str, list[Any]]) -> None:
    shown = text(outputs["call it"])
    assert shown.startswith("CallTimeoutError: UDF 'endless': the call did not end within 0.2 s")
    assert shown.count("\n") < 25 and "dispatch" not in shown


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("takes a builtin", "UDF 'print': the notebook has a 'print' that is no UDF"),
        ("takes a magic's", "pass --functions get_ipython if you mean it"),
        ("takes a value", "UDF 'prices': the notebook has a 'prices' that is no UDF"),
        ("runs a command", "SyntaxError: invalid syntax"),
        ("no types", "let its name begin with an underscore"),
        ("no such function", "%%udf: the cell has no function 'a'"),
        ("no such option", "--seconds"),
        ("not in the text", "no function 'nope' by def; it defines b: name one of these"),
        ("no such name", "%%udf: the notebook has no 'a'"),
        ("gone", "udfvm"),
    ],
)
def test_mistakes(outputs: dict[str, list[Any]], cell: str, says: str) -> None:
    assert says in text(outputs[cell]), text(outputs[cell])


def test_a_function_as_html(outputs: dict[str, list[Any]]) -> None:
    (shown,) = outputs["shown"]
    html = shown.data["text/html"]
    assert "part(a: int64, b: int64) -&gt; double" in html
    assert "memory 256 MiB, timeout 5 s" in html
    assert "beside its base image" in html and "Cell In[2], line 5" in html


def test_the_overview(outputs: dict[str, list[Any]]) -> None:
    (shown,) = outputs["overview"]
    assert "UDF part(a: int64, b: int64) -> double\n" in shown.data["text/plain"]
    assert "default pool\n" in shown.data["text/plain"]
    assert shown.data["text/html"].count("<table>") == 2
