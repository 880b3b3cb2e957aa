"""What runs in the guest where tenants search for each other: a call leaves a mark in what a
program can write, and ends in some way. Or it searches: see leak_search.py.

A program is bytes: what is to be done as JSON, a NUL, and the mark, or its complement for a search,
any number of times.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import random
import signal
import sys
import threading
from collections.abc import Callable

import leak_search
from leak_search import MARK, kept, library, search

from udfvm.protocol import VECTOR_COMPLETE

Place = Callable[[bytes, random.Random, dict[str, int]], object]


def run(program: bytes) -> str:
    """Does what the program says. A search says what it found, as JSON."""
    head, _, marks = program.partition(b"\0")
    task = json.loads(head)
    if task["do"] == "search":
        return json.dumps(search(marks[:MARK], task["at"], task["all"]))
    if task["do"] == "nothing":
        return ""
    chance = random.Random(task["seed"])
    for name in task["places"]:
        # Some a system refuses, and some break the program: then the call ends so.
        with contextlib.suppress(OSError, ValueError, ImportError):
            PLACES[name](marks[:MARK], chance, task["at"])
    if task["do"] == "both":
        hidden = bytes(byte ^ 0xFF for byte in marks[:MARK])
        return json.dumps(search(hidden, task["at"], task["all"]))
    return ENDS[task["end"]](marks[:MARK])


# ---- Places ----


def _poke(address: int, data: bytes) -> None:
    ctypes.memmove(address, data, len(data))


def _heap(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    kept.append([mark * chance.randrange(1, 400) for _ in range(chance.randrange(1, 300))])
    kept.append({mark + bytes([i % 256]): [mark] for i in range(chance.randrange(100))})


def _interpreter(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    text = mark.decode("latin-1")
    setattr(json, text, text)
    sys.modules[text] = sys
    kept.append(sys.intern(text + "interned"))
    exec(f"class Left: marked = {text!r}", vars(leak_search))
    kept.append(threading.local())
    kept[-1].mark = threading.current_thread().name = text
    sys.setrecursionlimit(chance.randrange(900, 1100))
    sys.setswitchinterval(0.5)
    random.seed(mark)
    import decimal

    decimal.getcontext().prec = chance.randrange(5, 20)


def _thread(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    ready, never = threading.Event(), threading.Event()

    def hold() -> None:
        held, local = mark * 2, threading.local()
        local.mark = mark
        ready.set()
        never.wait()
        kept.append(held)

    threading.Thread(target=hold, daemon=True).start()
    ready.wait(5)


def _files(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    folder = f"/tmp/{mark.hex()}"
    os.mkdir(folder)
    for number in range(chance.randrange(1, 20)):
        with open(f"{folder}/{number}", "wb") as file:
            file.write(mark * chance.choice([1, 300, 5000]))
    os.symlink(mark.hex(), "/tmp/link")
    os.link(f"{folder}/0", "/tmp/other")
    os.utime("/tmp/other", (1, 2))
    os.chmod("/tmp/other", 0o7000)
    os.setxattr("/tmp/other", "user.mark", mark)
    with open("/dev/shm/mark", "wb+") as file:
        file.write(mark * 100)
        file.flush()
        kept.append(mmap.mmap(file.fileno(), 0))
        kept[-1][:8] = mark[:8]


def _environment(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    os.environ["MARK"] = os.environ["PATH"] = mark.hex()
    library().setenv(b"RAW", mark.replace(b"\0", b"."), 1)
    os.umask(0o7)
    os.chdir("/tmp")


def _descriptors(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    import fcntl
    import select
    import socket
    import tty

    reading, writing = os.pipe()
    os.write(writing, mark * chance.randrange(1, 200))
    os.dup2(reading, chance.randrange(50, 200))
    deleted = os.open("/tmp/deleted", os.O_RDWR | os.O_CREAT)
    os.write(deleted, mark * 50)
    os.unlink("/tmp/deleted")
    os.eventfd(7)
    os.open(sys.executable, os.O_RDONLY)
    os.mkfifo("/tmp/fifo")
    os.write(os.open("/tmp/fifo", os.O_RDWR), mark * 30)
    fcntl.flock(deleted, fcntl.LOCK_EX)
    for end in os.openpty():
        tty.setraw(end)  # else a mark that has XOFF (0x13) stops the terminal, and the next write
        os.write(end, mark * 20)
    kept.append(select.epoll())
    kept[-1].register(reading)
    fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK)
    with contextlib.suppress(OSError):
        kept.append(socket.socketpair())
        kept[-1][0].send(mark * 20)
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    client.sendall(mark * chance.randrange(1, 500))
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    client_of_datagrams = socket.socket(type=socket.SOCK_DGRAM)
    client_of_datagrams.sendto(mark * 30, datagrams.getsockname())
    named = socket.socket(socket.AF_UNIX)
    named.bind("\0" + mark.hex())
    kept.append((listener, client, datagrams, client_of_datagrams, named))
    os.close(2)


def _maps(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    import mmap

    for _ in range(chance.randrange(1, 6)):
        area = mmap.mmap(-1, 4096 * chance.randrange(1, 600))
        area.write(mark * (len(area) // MARK))
        kept.append(area)
    with open("/tmp/mapped", "w+b") as file:
        file.write(mark * 1000)
        file.flush()
        kept.append(mmap.mmap(file.fileno(), 0))
        kept[-1][:MARK] = mark
    library().sbrk(1 << 20)
    kept.append(bytearray(mark * chance.choice([1000, 100_000, 700_000])))


def _signals(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGRTMIN + 1, signal.SIGCHLD):
        signal.signal(number, chance.choice([signal.SIG_IGN, lambda *_: kept.append(mark)]))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
    signal.setitimer(signal.ITIMER_REAL, chance.randrange(1000, 2000), 7)
    stack = ctypes.create_string_buffer(mark * 4096)
    kept.append(stack)
    library().sigaltstack((ctypes.c_uint64 * 3)(ctypes.addressof(stack), 0, len(stack)), None)


def _process(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    import locale
    import resource
    import time

    library().prctl(15, mark.replace(b"\0", b"."), 0, 0, 0)  # PR_SET_NAME
    resource.setrlimit(resource.RLIMIT_NOFILE, (chance.randrange(100, 200), 256))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TZ"] = "UTC+5"
    time.tzset()
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "C")
    os.sched_setaffinity(0, {0})
    os.nice(3)
    os.setsid()


def _registers(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    """By ``xrstor``: x87, SSE, AVX and AVX-512 as far as they are enabled, and MXCSR."""
    import mmap

    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # xor ecx, ecx; xgetbv; and eax, 0xe7; mov [rdi + 512], rax; xor edx, edx; xrstor64 [rdi]; ret
    code.write(bytes.fromhex("31c90f01d025e70000004889870002000031d2480fae2fc3"))
    area = ctypes.create_string_buffer(12288 + 64)
    start = -(-ctypes.addressof(area) // 64) * 64
    _poke(start, mark * (12288 // MARK))
    _poke(start, bytes.fromhex("7f03000000000000") + bytes(16) + (0x9FC0).to_bytes(8, "little"))
    _poke(start + 512, bytes(64))
    kept.extend([code, area])
    entry = ctypes.addressof(ctypes.c_char.from_buffer(code))
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(entry)(start)


def _stack(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    """Far below what the program has used of it."""
    here = at["memory_end"] - (8 << 20)
    for _ in range(chance.randrange(1, 40)):
        _poke(here + chance.randrange(1 << 18) * 16, mark * chance.choice([1, 256]))


def _free(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    """Program memory that nothing has asked for, up to more than the host copies back."""
    many = 20_000 if chance.random() < 0.01 else chance.randrange(1, 60)
    first, last = at["memory_end"] - (128 << 20), at["memory_end"] - (16 << 20)
    for _ in range(many):
        _poke(first + chance.randrange((last - first) // MARK) * MARK, mark)


def _kernel(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    """What of the guest kernel's memory a call survives; ``_wild`` writes to the rest."""
    _poke(at["pending_log"] + 64, mark * 200)
    _poke(at["stream_reply"] + 24, mark * 14)
    _poke(at["fault_stack"] - 4096, mark * 100)


def _wild(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    _poke(at["kernel"] + chance.randrange(0x9000, 0x180000), mark * chance.randrange(1, 5))


def _output(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    for _ in range(chance.randrange(1, 20)):
        _poke(at["output"] + chance.randrange(4096, at["logged"] - MARK), mark)


def _unlogged(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    """Scratch and the rest of the output window, which large blocks open."""
    import numpy as np

    kept.append(np.frombuffer(mark * (5 << 16), np.uint8).copy())
    for _ in range(chance.randrange(1, 20)):
        _poke(at["output"] + at["logged"] + chance.randrange(96 << 20), mark * 20)


def _text(mark: bytes, chance: random.Random, at: dict[str, int]) -> None:
    sys.stdout.buffer.write(mark * chance.randrange(1, 50))
    if chance.random() < 0.5:
        sys.stdout.flush()


PLACES: dict[str, Place] = {
    "heap": _heap,
    "interpreter": _interpreter,
    "threads": _thread,
    "files": _files,
    "environment": _environment,
    "descriptors": _descriptors,
    "maps": _maps,
    "signals": _signals,
    "process": _process,
    "registers": _registers,
    "stack": _stack,
    "free memory": _free,
    "kernel": _kernel,
    "wild": _wild,
    "output window": _output,
    "unlogged memory": _unlogged,
    "output": _text,
}

# ---- Ends ----


def _result(mark: bytes) -> str:
    return mark.hex()


def _exception(mark: bytes) -> str:
    raise ValueError(mark.hex())


def _endless(mark: bytes) -> str:
    while True:
        pass


def _crash(mark: bytes) -> str:
    return str(ctypes.string_at(8))


def _abort(mark: bytes) -> str:
    os.abort()


def _exit(mark: bytes) -> str:
    os._exit(7)


def _killed(mark: bytes) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return _endless(mark)


def _memory(mark: bytes) -> str:
    while True:
        kept.append(mark * (1 << 20))


def _deadlock(mark: bytes) -> str:
    lock = threading.Lock()
    lock.acquire()
    return str(lock.acquire())


def _recursion(mark: bytes) -> str:
    return _recursion(mark + b"")


def _protocol(mark: bytes) -> str:
    """A reply that is none: its length is that of all windows."""
    ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(VECTOR_COMPLETE)(0, 1 << 40)
    return ""


ENDS: dict[str, Callable[[bytes], str]] = {
    "result": _result,
    "exception": _exception,
    "timeout": _endless,
    "interrupt": _endless,
    "crash": _crash,
    "abort": _abort,
    "exit": _exit,
    "killed": _killed,
    "out of memory": _memory,
    "deadlock": _deadlock,
    "recursion": _recursion,
    "protocol": _protocol,
}
