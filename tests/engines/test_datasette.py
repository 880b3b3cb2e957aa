"""The plugin for Datasette: over HTTP, from a server process, and in a browser."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from plugin_sites import DOCUMENTED, MODULE, environment_with_plugins

CONFIGURATION = f"""{DOCUMENTED["datasette.yaml"]}
databases:
  other:
    plugins:
      udfvm:
        functions: ["functions.py:picky"]
"""
ROWS = [("AA", 3.0, 0.0), ("B6", -6.0, 600.0), ("UA", 12.0, 300.0)]
QUERY = "SELECT carrier, score(dep_delay, distance) AS score FROM flights"
pytest.importorskip("datasette")
# Datasette takes the package pysqlite3, whose SQLite loads extensions, where it is installed.
WITHOUT_EXTENSIONS = "import sys; sys.modules['pysqlite3'] = None; "
PROGRAM = "from datasette.cli import cli; cli()"
SHORT_MS, LONG_MS = 300, 60_000  # limits of Datasette, of a query and of all
#: What takes the configuration: Datasette 1.0 has a file for it alone.
OPTION = "--metadata" if importlib.metadata.version("datasette")[0] == "0" else "--config"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Server:
    def __init__(self, folder: Path, program: str = PROGRAM) -> None:
        (folder / "functions.py").write_text(MODULE)
        (folder / "datasette.yaml").write_text(CONFIGURATION)
        files = [folder / f"{name}.db" for name in ("flights", "other")]
        for file in files:
            with contextlib.closing(sqlite3.connect(file)) as connection, connection:
                connection.execute("CREATE TABLE flights (carrier, dep_delay, distance)")
                connection.executemany("INSERT INTO flights VALUES (?, ?, ?)", ROWS)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        options = [OPTION, "datasette.yaml", "--port", str(port)]
        settings = ["--setting", "sql_time_limit_ms", str(LONG_MS)]
        self.log = folder / "log.txt"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", "--immutable", *files, *options, *settings],
            cwd=folder,
            env=environment_with_plugins(folder / "site"),
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def wait(self) -> None:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.address}/-/versions.json", timeout=100).close()
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        pytest.fail("the server does not answer")

    def page(self, sql: str, database: str = "flights") -> str:
        return f"{self.address}/{database}?{urllib.parse.urlencode({'sql': sql})}"

    def ask(self, sql: str, database: str = "flights", limit: int = LONG_MS) -> tuple[int, Any]:
        options = f".json?_shape=objects&_timelimit={limit}&"
        try:
            address = self.page(sql, database).replace("?", options)
            with urllib.request.urlopen(address, timeout=300) as answer:
                return answer.status, json.load(answer)["rows"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=100)


@pytest.fixture(scope="module", params=["extension", "plain"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return request.getfixturevalue(f"server_{request.param}")


def served(folder: Path, program: str) -> Iterator[Server]:
    running = Server(folder, program)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def server_extension(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("pysqlite3")
    yield from served(tmp_path_factory.mktemp("datasette"), PROGRAM)


@pytest.fixture(scope="module")
def server_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from served(tmp_path_factory.mktemp("datasette"), WITHOUT_EXTENSIONS + PROGRAM)


def test_functions_of_the_configuration(server: Server) -> None:
    status, rows = server.ask(QUERY)
    assert (status, [row["score"] for row in rows]) == (200, [None, -1.0, 4.0])
    # A database may have functions of its own instead.
    assert server.ask("SELECT picky(2) AS picked", "other") == (200, [{"picked": 2}])
    status, text = server.ask(QUERY, "other")
    assert status == 400 and "no such function: score" in text


def test_queries_run_at_once(server: Server) -> None:
    query = f"SELECT sum(score) AS total FROM ({QUERY}), json_each('{json.dumps([0] * 50)}')"
    with ThreadPoolExecutor(6) as threads:
        assert set(map(str, threads.map(server.ask, [query] * 12))) == {
            str((200, [{"total": 150.0}]))
        }


def test_the_time_limit_of_datasette_ends_a_function(server: Server) -> None:
    status, text = server.ask("SELECT endless(1)", limit=SHORT_MS)  # nothing else ends it
    assert status == 400
    assert "took too long" in text or "interrupted" in text or "user-defined function" in text
    assert server.ask("SELECT endless(0) AS value") == (200, [{"value": 0}])


def test_errors_have_the_text_of_the_function(server_extension: Server) -> None:
    status, text = server_extension.ask("SELECT picky(7)")
    assert status == 400 and text.startswith("UDF 'picky', row 0: ValueError: 7 is too much")
    status, text = server_extension.ask("SELECT endless(1)", limit=SHORT_MS)
    assert "took too long" in text or "interrupted" in text


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_the_values(server_extension: Server, tmp_path: Path) -> None:
    """With ``UDFVM_SCREENSHOTS``, a folder, it leaves the screenshot of the documentation there."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = ["--window-size=760,500", f"--user-data-dir={tmp_path}/profile"]
    picture = Path(os.environ.get("UDFVM_SCREENSHOTS", tmp_path)) / "datasette.png"
    address = server_extension.page(QUERY)
    command = [str(CHROMIUM), *options, *size, f"--screenshot={picture}", "--dump-dom", address]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    for carrier, value in (("UA", "4.0"), ("B6", "-1.0")):
        assert carrier in shown and value in shown


@pytest.mark.parametrize(
    ("functions", "text"),
    [
        ('["absent.py"]', "plugins: udfvm: functions: there is no file"),
        (
            '["functions.py:half"]',
            "functions.py has no UDF 'half'; it has endless, picky and score",
        ),
        ('["no_such_module"]', "there is no module 'no_such_module'"),
        ("functions.py", "takes a list, such as"),
        ('["broken.py"]', "broken.py fails at line 2: ZeroDivisionError: division by zero"),
        ('["functions.py"], times: noon', "times='noon' must be 'text' or 'integer'"),
        ('["functions.py"], isolation: none', "isolation='none' must be 'statement' or 'row'"),
    ],
)
def test_a_wrong_configuration_is_told(functions: str, text: str, tmp_path: Path) -> None:
    from udfvm.engines.datasette import startup

    (tmp_path / "functions.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import udfvm\n1 / 0\n")

    class Datasette:
        databases = ["flights"]
        config_dir = tmp_path

        def plugin_config(self, name: str, database: str) -> Any:
            import yaml

            return yaml.safe_load(f"{{functions: {functions}}}")

    from datasette.utils import StartupError

    with pytest.raises(StartupError, match=text):
        startup(Datasette())
