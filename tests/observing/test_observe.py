"""``udfvm.observe()``: who is answered, what, and what ends it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import udfvm
from udfvm.observing import client, places, server
from udfvm.observing.client import Program, ask, choose

LONG = 120.0  # seconds
REQUEST = b'{"protocol": 1, "ask": "statistics"}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where sockets are looked for."""
    found = tmp_path / "udfvm"
    for module in (places, client):
        monkeypatch.setattr(module, "directories", lambda user=None: [found])
    return found


@udfvm.udf
def half(x: float) -> float:
    return x / 2


@udfvm.udf
def inverse(x: float) -> float:
    return 1 / x


def told(path: Path | None, request: bytes = REQUEST) -> bytes:
    """Returns all that an observed program sends after these bytes."""
    assert path is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LONG)
        connection.connect(str(path))
        connection.sendall(request)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def answer(path: Path | None, request: bytes = REQUEST) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(path, request))
    return found


def function_of(found: dict[str, Any], name: str, pool: str) -> dict[str, Any]:
    (only,) = [
        each
        for each in found["functions"]
        if each["function"] == name and found["pools"][each["pool"]]["name"] == pool
    ]
    return dict(only)


def test_calls_and_errors_are_told_by_function_and_pool() -> None:
    with udfvm.Pool(size=2, tenant="mine") as pool, udfvm.observe() as observation:
        own, failing = half.with_options(pool=pool), inverse.with_options(pool=pool)
        own(1.0)
        own(np.arange(10.0))
        with pytest.raises(udfvm.UDFError):
            failing(0.0)
        found = answer(observation.path)
        assert found["protocol"] == 1 and found["pid"] == os.getpid()
        calls = function_of(found, "half", "mine")
        assert (calls["calls"], calls["rows"], calls["errors"]) == (2, 11, {})
        assert calls["guest_seconds"] > 0
        assert function_of(found, "inverse", "mine")["errors"] == {"UDFError": 1}
        (told_of,) = [each for each in found["pools"] if each["name"] == "mine"]
        assert (told_of["size"], told_of["closed"], told_of["jailed"]) == (2, False, pool.jail)
        (image,) = told_of["images"]
        assert image["live"] == image["idle"] == pool.statistics().live
        assert image["in_use"] == 0


@pytest.mark.parametrize("jail", [False, True])
def test_memory_is_that_of_live_vms(jail: bool) -> None:
    size = 32 << 20
    with udfvm.Pool(size=2, keep=0, jail=jail) as pool:

        @udfvm.udf(pool=pool, vectorized=True)
        def numbers(x: float) -> float:
            return np.full(size // 8, 7.0)[: len(x)] if len(x) > 1 else x  # type: ignore[arg-type]

        numbers(np.zeros(1))
        (image_pool,) = pool._list()
        assert image_pool.pool_statistics()[0] == 0 and image_pool.memory() == 0
        result = numbers(np.zeros(size // 8))  # it lies in the VM, which is in use until it is gone
        live, idle = image_pool.pool_statistics()
        if (live, idle) == (1, 0):
            assert image_pool.memory() >= size
        del result
        assert image_pool.memory() == 0


def test_a_vm_in_use_is_told() -> None:
    with udfvm.Pool(size=1) as pool, udfvm.observe() as observation:

        def look() -> int:
            (found,) = [each for each in answer(observation.path)["pools"] if each["tenant"] == "t"]
            return int(found["images"][0]["in_use"])

        own = udfvm.Pool(size=1, tenant="t")

        @udfvm.udf(pool=own, host_functions=[look])
        def in_use() -> int:
            return look()

        assert in_use() == 1
        pool.close()
        own.close()


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a request is a JSON object"),
        (b"[" * 900 + b"\n", "a request is a JSON object"),
        (b"[]\n", "this is protocol 1"),
        (b'{"protocol": 2, "ask": "statistics"}\n', "this is protocol 1"),
        (b'{"protocol": 1, "ask": "secrets"}\n', '"ask" must be "statistics"'),
        (b"x" * (server.MAX_REQUEST + 1), "a line of at most 1024 bytes"),
    ],
)
def test_other_requests_are_refused(request_: bytes, text: str) -> None:
    with udfvm.observe() as observation:
        assert text in answer(observation.path, request_)["error"]
        assert "functions" in answer(observation.path)


def test_who_says_nothing_does_not_keep_others_waiting_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_TIME", 0.05)
    with udfvm.observe() as observation, contextlib.ExitStack() as silent:
        for _ in range(4):
            connection = silent.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(observation.path))
        assert "functions" in answer(observation.path)


def test_nobody_else_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with udfvm.observe() as observation:
        with monkeypatch.context() as patched:
            patched.setattr(server, "peer_of", lambda _: server.Peer(1, 4242))
            patched.setattr(os, "geteuid", lambda: 4243)
            with contextlib.suppress(ConnectionError):
                assert told(observation.path) == b""
        assert "functions" in answer(observation.path)


def test_a_failure_of_one_answer_is_not_one_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with udfvm.observe() as observation:
        with monkeypatch.context() as patched:
            patched.setattr(server, "snapshot", lambda: 1 // 0)
            with contextlib.suppress(ConnectionError):
                assert told(observation.path) == b""
        assert "functions" in answer(observation.path)


def test_it_ends(folder: Path) -> None:
    with udfvm.observe() as observation:
        assert [each.name for each in folder.iterdir()] == [Path(str(observation.path)).name]
        assert (folder.stat().st_mode & 0o777) == 0o700
    assert observation.path is None and repr(observation) == "Observation(closed)"
    assert not list(folder.iterdir())
    observation.close()


def test_a_directory_that_others_can_enter_is_not_used(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    with pytest.raises(udfvm.ObserveError, match="is not a directory of this user alone"):
        udfvm.observe()
    folder.rmdir()
    folder.symlink_to("/tmp")
    with pytest.raises(udfvm.ObserveError, match="is not a directory of this user alone"):
        udfvm.observe()


def test_a_forked_child_is_not_observed() -> None:
    with udfvm.observe() as observation:
        if (child := os.fork()) == 0:
            os._exit(observation.path is not None)
        assert os.waitpid(child, 0)[1] == 0
        assert answer(observation.path)["pid"] == os.getpid()


# ---- Those who ask ----


def test_a_socket_that_nobody_listens_to_is_removed(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    stale = folder / "1-00000000.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    with pytest.raises(udfvm.ObserveError, match="no program of this user is observed"):
        choose()
    assert not stale.exists()


def test_who_is_not_found() -> None:
    with pytest.raises(udfvm.ObserveError, match=r"call udfvm\.observe\(\) in it"):
        choose(os.getpid())
    with pytest.raises(udfvm.ObserveError, match="there is no process 4194305"):
        choose(4194305)


def test_a_program_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_owner", lambda _: 1)
    monkeypatch.setattr(os, "geteuid", lambda: 4243)
    with pytest.raises(udfvm.ObserveError, match=r"process 77 is of the user .*: nobody else"):
        choose(77)


@contextlib.contextmanager
def listening(folder: Path, reply: bytes | None) -> Iterator[Program]:
    """A socket that answers so; None: it does not answer."""
    folder.mkdir(mode=0o700)
    path = folder / "1-00000000.sock"
    program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]);"
    program += "s.listen(); print('listens', flush=True);"
    if reply is not None:
        program += f"c, _ = s.accept(); c.recv(1000); c.sendall({reply!r}); c.close();"
    program += "sys.stdin.read()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"listens\n"
        yield Program(1, path)
        process.communicate(timeout=LONG)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"hello\n", "answers what is no JSON object"),
        (b"[1]\n", "answers what is no JSON object"),
        (b'{"protocol": 2}\n', "another version of udfvm"),
        (b'{"protocol": 1, "error": "no"}\n', "refuses: no"),
        (b"", "process 1 has ended"),
    ],
)
def test_other_answers(folder: Path, reply: bytes, text: str) -> None:
    with listening(folder, reply) as program, pytest.raises(udfvm.ObserveError, match=text):
        ask(program)


def test_no_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TIME", 0.05)
    with listening(folder, None) as program:
        with pytest.raises(udfvm.ObserveError, match="process 1 does not answer: it is stopped"):
            ask(program)
        assert program.path.exists()
