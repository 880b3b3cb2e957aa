"""What programs expect of Linux: each piece of Python gives the same result in a VM and here."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

import udfvm


@udfvm.udf
def runs(source: str, folder: str) -> str:
    names = {"folder": folder}
    exec(source, names)
    return repr(names["result"])


def here(source: str, folder: str) -> str:
    """Returns what the piece gives in this process."""
    names = {"folder": folder}
    exec(source, names)
    return repr(names["result"])


SHARED_MAPPINGS = {
    "memmap": """
        import numpy
        path, result = folder + "/numbers", []
        for mode in ("w+", "r+", "r", "c"):
            numbers = numpy.memmap(path, dtype="u1", mode=mode, shape=(10000,))
            result.append(int(numbers.sum()))
            if mode != "r":
                numbers[:100] = 7
                numbers[-1] = 9
            if mode == "w+":
                numbers.flush()
            result.append((int(numbers.sum()), int(numpy.fromfile(path, "u1").sum())))
    """,
    "resize": """
        import mmap
        file = open(folder + "/file", "wb+")
        file.write(b"a" * 8192)
        file.flush()
        first, second = mmap.mmap(file.fileno(), 0), mmap.mmap(file.fileno(), 4096, offset=4096)
        first[4096:4100] = b"here"
        result = [second[:6], file.seek(0, 2)]
        second.close()
        first.resize(40960)
        first[-3:] = b"end"
        file.seek(-3, 2)
        result += [file.read(), len(first), bytes(first[4096:4101]), first.flush()]
    """,
    "write_ahead_log": """
        import os, sqlite3
        path = folder + "/data.db"
        first = sqlite3.connect(path, isolation_level=None)
        result = [first.execute("PRAGMA journal_mode = wal").fetchall()]
        first.execute("CREATE TABLE numbers (n)")
        second = sqlite3.connect(path, isolation_level=None)
        second.execute("PRAGMA mmap_size = 1000000")
        first.executemany("INSERT INTO numbers VALUES (?)", ((n,) for n in range(2000)))
        result.append(second.execute("SELECT count(*), sum(n) FROM numbers").fetchall())
        first.execute("BEGIN")
        first.execute("DELETE FROM numbers")
        result.append(second.execute("SELECT count(*) FROM numbers").fetchall())
        first.execute("COMMIT")
        result += second.execute("SELECT count(*) FROM numbers").fetchall()
        result.append(second.execute("PRAGMA wal_checkpoint").fetchall()[0][0])
        second.close()
        first.close()
        result.append([n for n in os.listdir(folder) if n.startswith("data")])
    """,
    "semaphores": """
        import multiprocessing
        lock, semaphore = multiprocessing.Lock(), multiprocessing.BoundedSemaphore(2)
        result = [lock.acquire(), lock.acquire(block=False), semaphore.acquire()]
        result += [semaphore.acquire(timeout=0), semaphore.acquire(timeout=0)]
        lock.release()
        with lock:
            result.append(multiprocessing.Event().is_set())
    """,
    "shared_memory": """
        import os
        from multiprocessing import shared_memory
        first = shared_memory.SharedMemory(create=True, size=100)
        second = shared_memory.SharedMemory(first.name)
        first.buf[:3] = b"abc"
        result = [bytes(second.buf[:4]), os.path.getsize("/dev/shm/" + first.name)]
        second.close()
        first.close()
        first.unlink()
        result.append(os.path.exists("/dev/shm/" + first.name))
        numbers = shared_memory.ShareableList([1, 2.5, "three"])
        result += list(shared_memory.ShareableList(name=numbers.shm.name))
        numbers.shm.close()
        numbers.shm.unlink()
    """,
}


@pytest.mark.parametrize("name", list(SHARED_MAPPINGS))
def test_shared_mappings_are_the_file(name: str, tmp_path: Path) -> None:
    source = dedent(SHARED_MAPPINGS[name])
    assert runs(source, "/tmp") == here(source, str(tmp_path))


SYSTEM = {
    "terminals": """
        import os, termios, tty
        master, slave = os.openpty()
        result = [os.isatty(slave), os.ttyname(slave).startswith("/dev/pts/")]
        os.write(master, b"typed\\r")
        result += [os.read(slave, 100), os.read(master, 100)]
        attributes = termios.tcgetattr(slave)
        result.append([attributes[:4], attributes[6][:11]])
        tty.setraw(slave)
        os.write(slave, b"raw\\n")
        result += [os.read(master, 100), os.get_terminal_size(slave)]
        os.close(master)
        result.append(os.read(slave, 1))
        os.close(slave)
    """,
    "files": """
        import fcntl, os, shutil
        path, other = folder + "/file", folder + "/other"
        with open(path, "w") as file:
            file.write("contents")
        os.setxattr(path, "user.note", b"kept")
        shutil.copy2(path, other)
        result = [os.listxattr(other), os.getxattr(other, "user.note")]
        os.mkfifo(folder + "/fifo")
        reader = os.open(folder + "/fifo", os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(folder + "/fifo", os.O_WRONLY)
        fd = os.open(path, os.O_RDONLY)
        result += [os.splice(fd, writer, 4), os.read(reader, 100), os.read(fd, 100)]
        result.append(fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 9000))
        locked, second = open(path), open(path)
        fcntl.flock(locked, fcntl.LOCK_EX)
        try:
            fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            result.append(str(error))
    """,
    "process": """
        import os, select, signal
        fd = os.pidfd_open(os.getpid())
        result = [select.select([fd], [], [], 0), os.sched_getscheduler(0)]
        result.append(os.sched_get_priority_max(os.SCHED_FIFO))
        if os.getpriority(os.PRIO_PROCESS, 0) != 0:  # the tests are at another than functions
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        result.append(os.getpriority(os.PRIO_PROCESS, 0))
        got = []
        before = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        signal.pidfd_send_signal(fd, signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)
        os.close(fd)
        result.append(got)
    """,
}


@pytest.mark.parametrize("name", list(SYSTEM))
def test_the_system_is_as_on_linux(name: str, tmp_path: Path) -> None:
    source = dedent(SYSTEM[name])
    assert runs(source, "/tmp") == here(source, str(tmp_path))


NAMES = {
    "libraries": """
        from ctypes.util import find_library
        names = ("c", "m", "pthread", "sqlite3", "no such one", ".*")
        result = [find_library(name) for name in names]
    """,
    "locales": """
        import locale
        before = locale.setlocale(locale.LC_ALL)
        result = []
        for name in ("C", "POSIX", "C.UTF-8", "de_DE.UTF-8", "no such one"):
            try:
                result.append(locale.setlocale(locale.LC_ALL, name))
            except locale.Error as error:
                result.append(str(error))
        locale.setlocale(locale.LC_ALL, before)
    """,
    "interpreter": """
        import os, site, sys, sysconfig
        result = [sys.prefix, sys.base_prefix, site.getsitepackages()]
        result += [sysconfig.get_paths(), os.path.isdir(sysconfig.get_paths()["include"])]
        result += [os.path.isfile(sysconfig.get_config_h_filename()), repr(exit), repr(help)]
        result.append(repr(copyright)[:30])
    """,
    "users": """
        import grp, pwd, socket
        user, group = pwd.getpwuid(0), grp.getgrgid(0)
        result = [user.pw_name, user.pw_uid, user.pw_gid, group.gr_name, group.gr_gid]
        result.append(socket.gethostbyname("localhost"))
        result += [socket.getservbyname("domain"), socket.getprotobyname("tcp")]
        for name in ("getpwnam", "getgrnam"):
            try:
                result.append(getattr(pwd if "pw" in name else grp, name)("no such one"))
            except KeyError as error:
                result.append(str(error))
    """,
}


@pytest.mark.parametrize("name", list(NAMES))
def test_names_are_as_on_linux(name: str) -> None:
    source = dedent(NAMES[name])
    assert runs(source, "/tmp") == here(source, "")


def test_names_say_nothing_of_the_host() -> None:
    source = """
import getpass, os, pathlib, platform, socket
result = [getpass.getuser(), str(pathlib.Path.home()), os.path.expanduser("~root")]
result += [socket.gethostname(), platform.freedesktop_os_release()["ID"], os.listdir("/etc")]
result += [pathlib.Path("/etc", name).read_text() for name in ("passwd", "hosts", "hostname")]
"""
    *names, listed, passwd, hosts, host = eval(runs(source, "/tmp"))
    assert names == ["root", "/tmp", "/tmp", "udfvm", "udfvm"]
    assert {"passwd", "group", "hosts"} <= set(listed)
    assert "shadow" not in listed
    assert passwd.startswith("root:x:0:0:root:/tmp:")
    assert (hosts.splitlines()[0].split(), host) == (["127.0.0.1", "localhost", "udfvm"], "udfvm\n")
