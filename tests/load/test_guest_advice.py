"""Errors of functions that miss what the host has say that it is the micro-VM, and name the option
that helps; others say nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pytest

import udfvm
from udfvm.sqlite import Policy

FILES = (
    "micro-VM has no files of this machine but those of Python and of installed"
    " packages.*host_functions="
)
WRITING = "function writes only in /tmp, .*such as /tmp/out.txt, .*host_functions="
SPACE = "has the files of /tmp in its memory: raise memory="
MEMORY = "has no more memory than memory= says: raise it"
NETWORK = "micro-VM has no network: .*host_functions="
PROCESSES = "micro-VM has one process and starts no others: .*host_functions="
VARIABLES = "micro-VM has no environment variables of this machine"
TERMINAL = r"micro-VM has no terminal, so input\(\) and debuggers have nobody to ask"
MODULES = (
    "with files=False only what packages= names .* modules of your own that an import in the"
    " function names"
)


@udfvm.udf(files=False)
def run(body: str) -> str:
    exec(body, {})
    return "done"


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        (f"open({__file__!r})", FILES),
        ("open('data.csv')", FILES),
        ("open('/home/somebody/out.csv', 'w')", FILES),
        ("import os; open('out.csv', 'w')", WRITING),
        ("raise OSError(28, 'No space left on device')", SPACE),
        ("import numpy; numpy.ones(10**11)", MEMORY),
        ("import os; os.listdir('/home')", FILES),
        ("import os; os.stat('/home/somebody')", FILES),
        ("import sqlite3; sqlite3.connect('/home/data.db').execute('select 1')", FILES),
        ("import pyarrow.csv\npyarrow.csv.read_csv('/home/data.csv')", FILES),
        (
            (
                "try:\n open('settings')\nexcept OSError as error:\n raise ValueError('no"
                " settings') from error"
            ),
            FILES,
        ),
        ("try:\n open('settings')\nexcept OSError:\n raise ValueError('no settings')", FILES),
        ("import socket; socket.socket(socket.AF_PACKET)", NETWORK),
        ("import socket; socket.create_connection(('192.0.2.1', 80))", NETWORK),
        ("import socket; socket.create_connection(('127.0.0.1', 80))", NETWORK),
        ("import socket; socket.getaddrinfo('example.com', 80)", NETWORK),
        ("import urllib.request; urllib.request.urlopen('http://example.com')", NETWORK),
        ("import urllib.request; urllib.request.urlopen('http://127.0.0.1')", NETWORK),
        (
            "import http.client; http.client.HTTPConnection('127.0.0.1').request('GET', '/')",
            NETWORK,
        ),
        ("import os; os.fork()", PROCESSES),
        ("import os; os.execv('/bin/true', ['true'])", PROCESSES),
        ("import os; os.posix_spawn('/bin/true', ['true'], {})", PROCESSES),
        ("import subprocess; subprocess.run(['true'])", PROCESSES),
        ("import subprocess; subprocess.check_output('true', shell=True)", PROCESSES),
        *(
            (
                "import multiprocessing as processes\n"
                f"processes.get_context({way!r}).Process(target=print).start()",
                PROCESSES,
            )
            for way in ("fork", "spawn", "forkserver")
        ),
        ("input()", TERMINAL),
        ("import pdb; pdb.set_trace()\npass", TERMINAL),
        ("import os; os.environ['PASSWORD_OF_THE_HOST']", VARIABLES),
        ("import duckdb", MODULES),
        ("import there_is_no_such_module", MODULES),
    ],
)
def test_what_only_the_host_has(body: str, advice: str) -> None:
    function = (
        udfvm.udf(name="run")(run.function) if "import" in body and advice is not MODULES else run
    )
    with pytest.raises(udfvm.UDFError, match=f"(?s){advice}") as caught:
        function(body)
    assert caught.value.guest_traceback.splitlines()[-1].startswith("udfvm: a micro-VM ")
    assert (
        "udfvm:" not in caught.value.guest_message
        and str(caught.value).count("udfvm: a micro-VM") == 1
    )


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('x')",
        "{}['HOME']",
        "raise KeyError('PATH')",
        "raise FileNotFoundError('no such order')",
        "raise OSError('x')",
        "raise OSError(38, 'not of a process')",
        "import os; os.mkdir('/tmp/a'); os.mkdir('/tmp/a')",
        "open('/tmp')",
        "import os; os.read(77, 1)",
        "raise EOFError('of a file')",
        "raise ImportError('a name is missing')",
        "import math; math.nothing",
        "try:\n open('settings')\nexcept OSError:\n raise ValueError('x') from None",
        "class E(OSError):\n errno = property(lambda self: 1 / 0)\nraise E(2, 'x')",
        "class E(Exception):\n def __getattr__(self, name): raise BaseException(name)\nraise E",
        "e = ValueError('x'); e.reason = e; e.__cause__ = e\nraise e",
    ],
)
def test_other_failures_say_nothing_of_it(body: str) -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        run(body)
    assert "micro-VM" not in str(caught.value)


def test_all_kinds_of_functions_say_it() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def column(x: np.ndarray) -> np.ndarray:
        return x + len(Path("data.csv").read_text())

    @udfvm.table_function(columns={"x": int})
    def rows(n: int) -> Iterator[int]:
        yield len(Path("data.csv").read_text())

    @udfvm.aggregate
    class Total:
        def __init__(self) -> None:
            self.total = 0

        def step(self, x: int) -> None:
            self.total += len(Path("data.csv").read_text())

        def finish(self) -> int:
            return self.total

    for call in (
        lambda: column(np.array([1.0])),
        lambda: list(rows(1)),
        lambda: Total(np.array([1])),
    ):
        with pytest.raises(udfvm.UDFError, match=FILES):
            call()
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, run, policy=Policy(allow_create=True, languages=["python"]))
    with pytest.raises(apsw.SQLError, match=FILES):
        connection.execute("SELECT run('open(''data.csv'')')")
    source = "def late(x):\n    import numpy\n    return x\n"
    connection.execute("SELECT vm_create('late', 'python', ?, '(x double) -> double')", (source,))
    stored = (
        r"No module named 'numpy'(?s:.*)packages= of the policy names .*udfvm prepare --package"
    )
    with pytest.raises(apsw.SQLError, match=stored):
        connection.execute("SELECT vm_udf('late', 1.0)")
