"""``UDFVM_BACKEND=unsafe-inprocess``: functions behave as in micro-VMs, loudly, and what may be a
stranger's is refused.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from in_process_programs import SETTING, TESTS, hidden, run, script

# Of the suite, what is about functions and not about VMs.
CHOSEN = [
    "functions/test_result_conversions.py",
    "functions/test_table_errors.py",
    "functions/test_single_columns.py",
    "functions/test_nested.py",
    "codec/test_error_rows.py",
    "arrow/test_forms.py",
]
DECLARED = """
    import warnings, udfvm

    @udfvm.udf
    def half(x: float) -> float:
        return x / 2

    @udfvm.udf
    def double(x: float) -> float:
        return x * 2
"""


def test_results_and_errors_are_those_of_micro_vms() -> None:
    program = str(TESTS / "backend_program.py")
    isolated = run(program, prefix=[])
    here = run(program, **SETTING)
    assert isolated.returncode == 0, isolated.stderr
    assert here.returncode == 0, here.stderr
    assert "UnsafeBackendWarning" in here.stderr
    assert "UnsafeBackendWarning" not in isolated.stderr
    expected, found = isolated.stdout.splitlines(), here.stdout.splitlines()
    assert len(expected) > 50
    for one, other in zip(expected, found, strict=True):
        assert one == other


def test_chosen_tests_of_the_suite_pass(tmp_path: Path) -> None:
    done = run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(TESTS.parent)),
        *("-c", str(TESTS.parent / "pyproject.toml"), f"--basetemp={tmp_path / 'suite'}"),
        *CHOSEN,
        **SETTING,
    )
    assert done.returncode == 0, done.stdout


def test_it_is_never_chosen_silently() -> None:
    if not hidden():
        pytest.skip("KVM cannot be taken away")
    text = (
        DECLARED
        + """
    try:
        half(3.0)
    except udfvm.KVMUnavailableError as error:
        print(error)
    """
    )
    lines = script(text, allowed=False)
    assert "As a last resort" in lines[0] and "UDFVM_BACKEND=unsafe-inprocess" in lines[0]


def test_another_backend_is_an_error() -> None:
    text = (
        DECLARED
        + """
    try:
        half(3.0)
    except udfvm.OptionError as error:
        print(error)
    """
    )
    (line,) = script(text, allowed=False, UDFVM_BACKEND="inprocess")
    assert "'inprocess' is no backend" in line and "unsafe-inprocess" in line


def test_each_function_warns_once_in_each_process() -> None:
    """From the same line, with Python's own filters: which show a warning of a line once."""
    text = (
        DECLARED
        + """
    import os, sys
    for function in (half, double):
        for _ in range(20):
            function(1.0)
    if os.fork() == 0:
        half(1.0)
        os._exit(0)
    os.wait()
    """
    )
    done = run("-c", textwrap.dedent(text), **SETTING)
    told = [line for line in done.stderr.splitlines() if "UnsafeBackendWarning" in line]
    assert [line.partition("UDF ")[2].partition(" ")[0] for line in told] == [
        "'half'",
        "'double'",
        "'half'",
    ]
    assert all(line.startswith("<string>:") for line in told)  # the user's own line


def test_a_filter_of_the_program_comes_first() -> None:
    text = (
        DECLARED
        + """
    warnings.simplefilter("error", udfvm.UnsafeBackendWarning)
    for _ in range(2):
        try:
            half(3.0)
        except udfvm.UnsafeBackendWarning as warning:
            print(warning)
    warnings.simplefilter("ignore", udfvm.UnsafeBackendWarning)
    print(half(3.0))
    """
    )
    first, second, result = script(text)
    assert first == second and "IN THIS PROCESS" in first
    assert result == "1.5"


FILE = "import udfvm\n\n@udfvm.udf\ndef half(x: float) -> float:\n    return x / 2\n"
REFUSED = {
    "source": 'udfvm.from_source("def f(x): return x", "(double) -> double")',
    "expression": 'udfvm.expression("a + 1", a=float)',
    "script": 'udfvm.run("1 + 1")',
    "native": "udfvm.from_c('long f(long x) { return x; }', 'f', signature='(i64) -> i64')",
    "tenant": 'half.with_options(pool=udfvm.Pool(tenant="a stranger"))(1.0)',
    "jail": "half.with_options(pool=udfvm.Pool(jail=True))(1.0)",
    "data": 'half.with_options(data={"file": udfvm.__file__})(1.0)',
    "server": 'udfvm.flight.Server(half, listen="127.0.0.1:0")',
    "stored": """udfvm.sqlite.register(apsw.Connection(":memory:"), half,
                  policy=udfvm.sqlite.Policy(languages=["python"]))""",
    "sealed": "sealed.sealed_note(half, 'half')",
    "datasette": """datasette.prepare_connection(
                     sqlite3.connect(":memory:"), "shop", Configured)""",
    "cell": 'shell.run_cell_magic("udf", "--untrusted", "def f(x: float) -> float: return x")',
    "cell without types": 'shell.run_cell_magic("udf", "--untrusted", "def f(x): return x")',
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_may_be_a_strangers_is_refused(what: str, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(FILE)
    modules = {"datasette": "datasette", "cell": "IPython", "cell without types": "IPython"}
    pytest.importorskip(modules.get(what, "udfvm"))
    text = (
        DECLARED
        + f"""
    import apsw, sqlite3
    from udfvm.engines import datasette
    from udfvm.sqlite import sealed

    class Configured:
        config_dir = {str(tmp_path)!r}

        def plugin_config(name, database):
            return {{"functions": ["file.py"]}}

    if {what!r}.startswith("cell"):
        from IPython.testing.globalipapp import start_ipython
        shell = start_ipython()
        shell.run_line_magic("load_ext", "udfvm")
    warnings.simplefilter("ignore", udfvm.UnsafeBackendWarning)
    try:
        {REFUSED[what]}
    except udfvm.UnsafeBackendError as error:
        print(error)
    """
    )
    (line,) = script(text)
    assert "does not run with UDFVM_BACKEND=unsafe-inprocess" in line
    assert "Unset UDFVM_BACKEND" in line


@pytest.mark.parametrize(
    "command", [["run", "FILE:half", "data.csv"], ["serve", "--functions", "FILE"]]
)
def test_commands_refuse(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(FILE)
    (tmp_path / "data.csv").write_text("x\n1.0\n")
    given = [each.replace("FILE", str(tmp_path / "file.py")) for each in command]
    given = [str(tmp_path / "data.csv") if each == "data.csv" else each for each in given]
    text = "import sys; from udfvm.cli import main; sys.argv[1:] = sys.argv[1:]; main()"
    done = run("-c", text, *given, **SETTING)
    assert done.returncode != 0
    assert "does not run with UDFVM_BACKEND=unsafe-inprocess" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_state_of_the_program_stays_as_it_is() -> None:
    text = """
    import enum, udfvm, warnings
    warnings.simplefilter("ignore")

    class Settings:
        factor = 2.0

    class Colour(enum.Enum):
        RED = 1

    @udfvm.udf
    def scaled(x: float) -> float:
        Settings.factor += 1
        return x * Settings.factor * Colour.RED.value

    print(scaled(1.0), scaled(1.0), Settings.factor)
    Settings.factor = 5.0
    print(scaled(1.0), scaled.refresh()(1.0), Settings.factor)
    """
    assert script(text) == ["3.0 3.0 2.0", "6.0 6.0 5.0"]


def test_calls_within_calls_and_on_threads() -> None:
    text = """
    import threading, time, udfvm, warnings
    import numpy as np
    warnings.simplefilter("ignore")

    @udfvm.udf
    def inner(x: float) -> float:
        return x + 1

    def ask(x: float) -> float:
        print("asked")
        return inner(x)

    @udfvm.udf(host_functions=[ask])
    def outer(x: float) -> float:
        print("before")
        return ask(x) * 10

    print(outer(1.0))

    @udfvm.udf(vectorized=True)
    def slowly(x: float) -> float:
        time.sleep(0.01)
        return x * 2

    results = {}
    def work(number):
        for _ in range(5):
            found = slowly(np.full(1000, float(number)))
            results.setdefault(number, set()).update(found.tolist())
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads: each.start()
    for each in threads: each.join()
    print(all(results[number] == {2.0 * number} for number in range(8)))
    """
    assert script(text) == ["asked", "before", "20.0", "True"]


def test_pages_show_that_nothing_isolates_a_function() -> None:
    text = (
        DECLARED
        + """
    import json
    warnings.simplefilter("ignore")
    half(1.0)
    print(json.dumps(half._repr_html_()))
    """
    )
    (line,) = script(text)
    assert "it runs in this process, without isolation" in json.loads(line)
