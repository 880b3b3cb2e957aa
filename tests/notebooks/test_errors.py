"""Errors in cells that other libraries made of those of functions, with their texts and advice."""

from __future__ import annotations

from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

CELLS = {
    "begin": """%load_ext udfvm
%load_ext sqlite_cells
import os, sqlite3, udfvm
class Plain(sqlite3.Connection):
    enable_load_extension = load_extension = property()  # as some builds of Python have it
con = sqlite3.connect(":memory:", factory=Plain)
con.execute("CREATE TABLE t AS SELECT 7 AS id UNION SELECT 3")
cells.con = con""",
    "declare": """%%udf
def tenth(id: int) -> int:
    return 10 // (id - 7)
def secret(id: int) -> str:
    return os.environ["TOKEN"]""",
    "register": "udfvm.sqlite.register(con, tenth, secret)",
    "fails": "con.execute('SELECT tenth(id) FROM t').fetchall()",
    "wrong type": "con.execute(\"SELECT tenth('a') FROM t\").fetchall()",
    "not a function's": "con.execute('SELECT absent(id) FROM t').fetchall()",
    "in the words of a magic": "%told SELECT tenth(id) FROM t",
    "nothing is left to tell": "con.execute('SELECT tenth(3)').fetchall()",
    "told by the program": "try:\n    with udfvm.sqlite.real_errors(con):\n"
    "        con.execute('SELECT tenth(7)').fetchall()\nexcept sqlite3.Error as error:\n"
    "    print(str(error).split('\\n')[0])",
    "advice": "secret(1)",
    "no function": "%%udf\nLIMIT = 3\ndef _part(x): return x",
    "no number": "%%udf --timeout soon\ndef f(x: int) -> int: return x",
    "no file": "%%udf --data model\ndef f(x: int) -> int: return x",
    "a value that runs late": """class Late:
    def __repr__(self):
        return str(con.execute("SELECT tenth(7)").fetchall())
    _repr_html_ = __repr__
Late()""",
    "the same once more": "Late()",
    "numpy is found": "print('none')",
    "numpy came late": "import pyarrow\n_np, pyarrow.lib.np = pyarrow.lib.np, None",
    "numpy is there": "pyarrow.lib.np = _np",
    "unload": "%unload_ext udfvm",
    "as sqlite3 has it": "con.execute('SELECT tenth(7)').fetchall()",
}
MAGIC = '''
def load_ipython_extension(shell):
    """A magic that runs SQL, and prints what sqlite3 says of an error, as such magics do."""
    import sqlite3, sys, types
    cells = shell.user_ns["cells"] = types.SimpleNamespace()
    def told(line):
        try:
            cells.con.execute(line).fetchall()
        except sqlite3.Error as error:
            print(error, file=sys.stderr)
    shell.register_magic_function(told)
'''


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("cells")
    (folder / "sqlite_cells.py").write_text(MAGIC)
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=300, allow_errors=True, resources=resources)
    client.execute()
    return {
        name: "".join(map(_text, cell.outputs))
        for name, cell in zip(CELLS, notebook.cells, strict=True)
    }


def _text(output: Any) -> str:
    if output.output_type == "error":
        return "\n".join(output.traceback) + "\n"
    return str(output.get("text") or output.data["text/plain"] + "\n")


FAILS = (
    "OperationalError: UDF 'tenth': ZeroDivisionError: integer division or modulo by zero\n"
    "\n"
    "In the micro-VM:\n"
    "  Cell In[2], line 3, in tenth\n"
    "    return 10 // (id - 7)\n"
    "           ~~~^^~~~~~~~~~\n"
)


def test_a_connection_that_loads_no_extensions(shown: dict[str, str]) -> None:
    assert shown["begin"] == shown["register"] == ""
    called = "con.execute('SELECT tenth(id) FROM t').fetchall()"
    assert shown["fails"] == f"{FAILS}\nCalled from:\n  Cell In[4], line 1\n    {called}\n"
    assert shown["wrong type"].startswith(
        "OperationalError: UDF 'tenth': argument 'id' (position 1) takes INTEGER; got TEXT\n"
    )
    assert "no such function: absent" in shown["not a function's"]
    assert "UDF" not in shown["not a function's"]


def test_what_a_magic_said_in_few_words_is_told_below_it(shown: dict[str, str]) -> None:
    said, _, told = shown["in the words of a magic"].partition("\n")
    assert said == "user-defined function raised exception"
    assert told.startswith(FAILS.replace("OperationalError", "UDFError"))
    assert shown["nothing is left to tell"] == "[(-3,)]\n"
    assert shown["told by the program"].count("\n") == 1
    assert shown["told by the program"].startswith("UDF 'tenth': ZeroDivisionError: ")


def test_an_error_of_what_shows_a_value_is_told_once(shown: dict[str, str]) -> None:
    for cell in ("a value that runs late", "the same once more"):
        assert shown[cell].startswith(FAILS) and shown[cell].count("ZeroDivisionError") == 1


def test_advice_is_below_the_frames(shown: dict[str, str]) -> None:
    lines = shown["advice"].splitlines()
    assert "a micro-VM has no environment variables of this machine: pass the value as an" in (
        " ".join(lines)
    )
    assert lines.index("In the micro-VM:") < lines.index("Called from:")


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("no function", "%%udf: the cell has no function that becomes a UDF"),
        ("no number", "argument --timeout: 'soon' is neither a number of seconds nor none"),
        ("no file", "argument --data: 'model' is not NAME=PATH"),
    ],
)
def test_mistakes(shown: dict[str, str], cell: str, says: str) -> None:
    assert says in shown[cell]


def test_numpy_that_was_installed_after_pyarrow_was_imported(shown: dict[str, str]) -> None:
    assert shown["numpy is found"] == "none\n" and shown["numpy is there"] == ""
    assert shown["numpy came late"].startswith("udfvm: numpy was installed after this kernel")


def test_nothing_is_left_after_unloading(shown: dict[str, str]) -> None:
    assert shown["unload"] == ""
    assert "user-defined function raised exception" in shown["as sqlite3 has it"]
    assert "In the micro-VM" not in shown["as sqlite3 has it"]
