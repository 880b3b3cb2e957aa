"""Finding the programs of a user that are observed, and asking them."""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from udfvm.errors import ObserveError
from udfvm.observing.places import directories, is_private, places
from udfvm.observing.server import peer_of
from udfvm.observing.snapshot import PROTOCOL

_TIME: Final = 5.0  # seconds for an answer
_MAX_ANSWER: Final = 16 << 20  # bytes
_NAME: Final = re.compile(r"(\d+)-[0-9a-f]{8}\.sock")
_REQUEST: Final = json.dumps({"protocol": PROTOCOL, "ask": "statistics"}).encode() + b"\n"
_HOW: Final = "call udfvm.observe() in it, or start it with UDFVM_OBSERVE=1"


class Program(NamedTuple):
    """A program that can be asked."""

    pid: int
    path: Path


class Ended(ObserveError):
    """The program has ended, or is observed no more."""


def choose(pid: int | None = None) -> tuple[Program, dict[str, Any]]:
    """Returns the observed program of this PID, or the only one, and its answer. Raises
    ObserveError where there is none, or are several.
    """
    owner = None if pid is None or os.geteuid() else _owner(pid)  # root may look at others'
    user = owner or None
    found: dict[int, tuple[Program, dict[str, Any]]] = {}
    for program in _programs(user):
        if pid is None or program.pid == pid:
            try:
                found.setdefault(program.pid, (program, ask(program)))
            except Ended:
                continue
    if not found:
        raise ObserveError(_none_of(pid))
    if len(found) > 1:
        names = ", ".join(f"{each} ({answer['program']})" for each, (_, answer) in found.items())
        raise ObserveError(f"several programs are observed: name one of {names}")
    return next(iter(found.values()))


def _programs(user: int | None) -> Iterator[Program]:
    for directory in directories(user):
        if not is_private(directory, user):
            continue
        for path in sorted(directory.iterdir()):
            if name := _NAME.fullmatch(path.name):
                yield Program(int(name[1]), path)


def _owner(pid: int) -> int | None:
    """Returns the user of a process; None if there is no such process."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def _none_of(pid: int | None) -> str:
    if pid is None:
        return f"no program of this user is observed: {_HOW}. Sockets would be in {places()}"
    owner = _owner(pid)
    if owner is None:
        return f"there is no process {pid}"
    if owner != os.geteuid() and os.geteuid():
        return (
            f"process {pid} is of the user {_name_of(owner)}: nobody else but root may look at it"
        )
    return f"process {pid} is not observed: {_HOW}"


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def ask(program: Program) -> dict[str, Any]:
    """Returns what a program tells: see ``snapshot``. A socket that nobody listens to is removed.

    Raises Ended, and ObserveError if it gives no answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIME)
        try:
            connection.connect(os.fspath(program.path))
            _check_owner(program, connection)
            connection.sendall(_REQUEST)
            answer = _receive(connection)
        except ConnectionRefusedError:
            program.path.unlink(missing_ok=True)
            raise Ended(f"process {program.pid} has ended") from None
        except (FileNotFoundError, ConnectionError):
            raise Ended(f"process {program.pid} has ended") from None
        except (TimeoutError, BlockingIOError):
            raise ObserveError(
                f"process {program.pid} does not answer: it is stopped, or its interpreter is busy"
            ) from None
        except PermissionError as error:
            raise ObserveError(f"{program.path}: {error.strerror}") from error
    return _checked(program, answer)


def _check_owner(program: Program, connection: socket.socket) -> None:
    user, own = peer_of(connection).user, os.geteuid()
    if own and user not in (own, 0):
        raise ObserveError(f"{program.path} is a socket of another user: it is not asked")


def _receive(connection: socket.socket) -> bytes:
    end = time.monotonic() + _TIME
    answer = bytearray()
    while not answer.endswith(b"\n"):
        connection.settimeout(max(0.001, end - time.monotonic()))
        part = connection.recv(1 << 16)
        if not part:
            raise ConnectionResetError
        answer += part
        if len(answer) > _MAX_ANSWER or time.monotonic() > end:
            raise TimeoutError
    return bytes(answer)


def _checked(program: Program, answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
        protocol = found["protocol"]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise ObserveError(f"process {program.pid} answers what is no JSON object") from None
    if protocol != PROTOCOL:
        raise ObserveError(
            f"process {program.pid} has another version of udfvm (protocol {protocol}): take the"
            " command of that version"
        )
    if "error" in found:
        raise ObserveError(f"process {program.pid} refuses: {found['error']}")
    if not isinstance(found, dict):
        raise ObserveError(f"process {program.pid} answers what is no JSON object")
    return found
