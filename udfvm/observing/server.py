"""``udfvm.observe()``: a socket of this process that tells what its micro-VMs do, when asked.

One thread waits for who asks, and costs nothing until then. Whoever connects is of this user, or
root; has a second to ask and to take the answer; and is served alone. Nothing of a request reaches
the program.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import secrets
import select
import socket
import struct
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from udfvm.errors import ObserveError
from udfvm.observing.places import new_socket_path
from udfvm.observing.snapshot import PROTOCOL, snapshot

MAX_REQUEST: Final = 1024  # bytes
_TIME: Final = 1.0  # seconds for a client
_PAUSE: Final = 0.1  # seconds after a failure of the system, such as too many open files
_BACKLOG: Final = 8
_log: Final = logging.getLogger("udfvm")
_open: Final[weakref.WeakSet[Observation]] = weakref.WeakSet()


class Observation:
    """A program shows what its micro-VMs do until this is closed: what ``udfvm.observe`` returns.
    As a context manager it is closed at the end of the ``with``.

    Attributes:
        path: the socket; None once it is closed.

    >>> with udfvm.observe() as observation:
    ...     observation.path.is_socket()
    True
    >>> observation
    Observation(closed)
    """

    def __init__(self, *, in_children: bool = False) -> None:
        self._in_children = in_children
        self.path: Path | None = None
        self._begin()
        atexit.register(self.close)
        _open.add(self)

    def _begin(self) -> None:
        self._connection: socket.socket | None = None
        self.path = new_socket_path(f"{os.getpid()}-{secrets.token_hex(4)}.sock")
        try:
            self._listener = _listen(self.path)
            self._waker, self._wake = socket.socketpair()
            self._thread = threading.Thread(target=self._serve, name="udfvm-observe", daemon=True)
            self._thread.start()
        except (OSError, RuntimeError) as error:
            path, self.path = self.path, None
            raise ObserveError(f"no socket can be made at {path}: {error}") from error

    def __repr__(self) -> str:
        return f"Observation({'closed' if self.path is None else repr(str(self.path))})"

    def close(self) -> None:
        """Removes the socket, and ends its thread. A second time does nothing."""
        path, self.path = self.path, None
        if path is None:
            return
        atexit.unregister(self.close)
        _open.discard(self)
        path.unlink(missing_ok=True)
        self._waker.close()  # the thread sees the end of it
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._listener.close()
        self._wake.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        class_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- The thread ----

    def _serve(self) -> None:
        while self._ready(self._listener, select.POLLIN, None):
            try:
                self._connection, _ = self._listener.accept()
                with self._connection:
                    self._answer(self._connection)
            except OSError as error:
                _log.debug("udfvm top could not be answered: %s", error)
                self._ready(self._wake, 0, time.monotonic() + _PAUSE)
            except Exception:  # noqa: BLE001 - the program goes on, and so does the next answer
                _log.debug("udfvm top could not be answered", exc_info=True)
            self._connection = None

    def _answer(self, connection: socket.socket) -> None:
        if peer_of(connection).user not in (os.geteuid(), 0):
            return
        connection.setblocking(False)
        end = time.monotonic() + _TIME
        request = self._read(connection, end)
        if request is None:
            return
        left = memoryview(json.dumps(_answer_to(request)).encode() + b"\n")
        while left and self._ready(connection, select.POLLOUT, end):
            left = left[connection.send(left) :]

    def _read(self, connection: socket.socket, end: float) -> bytes | None:
        """Returns the first line that a client sends; None if it sends none in time."""
        request = b""
        while b"\n" not in request and len(request) <= MAX_REQUEST:
            if not self._ready(connection, select.POLLIN, end):
                return None
            part = connection.recv(MAX_REQUEST + 1 - len(request))
            if not part:
                return None
            request += part
        return request

    def _ready(self, waited: socket.socket, events: int, end: float | None) -> bool:
        """Waits until a socket is ready: False past the end, and once this is closed."""
        poll = select.poll()
        poll.register(waited, events)
        poll.register(self._wake, select.POLLIN)
        left = None if end is None else max(0.0, end - time.monotonic()) * 1000
        found = dict(poll.poll(left))
        return self._wake.fileno() not in found and waited.fileno() in found

    # ---- In a forked child, which has the sockets and no thread ----

    def _after_fork(self) -> None:
        inherited = (self._listener, self._waker, self._wake, self._connection)
        for each in inherited:
            if each is not None:
                each.close()
        self.path = None
        atexit.unregister(self.close)
        if self._in_children:
            with contextlib.suppress(ObserveError):
                self._begin()
                atexit.register(self.close)


class Peer:
    """Who is at the other end of a socket, as the system says: ``process`` and ``user``."""

    def __init__(self, process: int, user: int) -> None:
        self.process = process
        self.user = user


def peer_of(connection: socket.socket) -> Peer:
    """Returns who connected, or listens, at the other end."""
    layout = struct.Struct("iII")  # struct ucred
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)
    process, user, _ = layout.unpack(found)
    return Peer(process, user)


def _listen(path: Path) -> socket.socket:
    """Returns a socket that listens before it has its name: who finds one that nobody listens to
    may remove it.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    at_first = path.with_name(f".{path.name}")
    try:
        listener.bind(os.fspath(at_first))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        at_first.rename(path)
    except OSError:
        listener.close()
        at_first.unlink(missing_ok=True)
        raise
    return listener


def _answer_to(request: bytes) -> dict[str, Any]:
    line, newline, _ = request.partition(b"\n")
    if not newline:
        return _refusal(f"a request is a line of at most {MAX_REQUEST} bytes")
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        return _refusal("a request is a JSON object")
    if not isinstance(asked, dict) or asked.get("protocol") != PROTOCOL:
        return _refusal(f"this is protocol {PROTOCOL}")
    if asked.get("ask") != "statistics":
        return _refusal('"ask" must be "statistics"')
    return snapshot()


def _refusal(text: str) -> dict[str, Any]:
    return {"protocol": PROTOCOL, "error": text}


def observe() -> Observation:
    """Lets ``udfvm top`` show what the micro-VMs of this program do, by a Unix socket that only
    this user and root can connect to.

    A thread waits for who asks. Until then it costs nothing, and calls never wait for it. Where
    the environment has ``UDFVM_OBSERVE=1``, ``import udfvm`` does this, in forked children, too. A
    forked child is not observed otherwise, until it calls this itself.

    Returns:
        What ends it: ``Observation``, also a context manager. It ends with the program, too.

    Raises:
        ObserveError: no socket can be made.

    >>> @udfvm.udf
    ... def tenth(x: float) -> float:
    ...     return x / 10
    >>> with udfvm.observe():
    ...     tenth(20.0)                  # meanwhile `udfvm top` shows its calls
    2.0
    """
    return Observation()


def observe_by_environment() -> None:
    """What ``import udfvm`` does where the environment has ``UDFVM_OBSERVE=1``. A failure is a
    warning: the program is not to fail of it.
    """
    import warnings

    try:
        Observation(in_children=True)
    except ObserveError as error:
        warnings.warn(f"UDFVM_OBSERVE=1: {error}", stacklevel=2)


def _after_fork() -> None:
    for each in list(_open):
        each._after_fork()


os.register_at_fork(after_in_child=_after_fork)
