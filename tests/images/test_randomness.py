"""Randomness is new in every call, whatever was drawn before the image was sealed: a hundred calls
of each source, with a sample and without."""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import udfvm

CALLS = 100
SAMPLES = [None, (1,)]


def sources() -> dict[str, Callable[[], object]]:
    """By name, every way to a random value that a program has. Runs in the guest."""
    import ctypes
    import os
    import random
    import secrets
    import ssl
    import tempfile
    import uuid

    import numpy as np
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

    library = ctypes.CDLL(None)

    def system_call() -> bytes:
        buffer = ctypes.create_string_buffer(8)
        assert library.getrandom(buffer, 8, 0) == 8
        return buffer.raw

    def entropy() -> bytes:
        buffer = ctypes.create_string_buffer(8)
        assert library.getentropy(buffer, 8) == 0
        return buffer.raw

    def device(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read(8)

    def auxiliary() -> bytes:
        library.getauxval.restype = ctypes.c_void_p
        return ctypes.string_at(library.getauxval(25), 16)

    def shuffled() -> list[int]:
        numbers = list(range(60))
        random.shuffle(numbers)
        return numbers

    return {
        "os.urandom": lambda: os.urandom(8),
        "getrandom": system_call,
        "getentropy": entropy,
        "/dev/urandom": lambda: device("/dev/urandom"),
        "/dev/random": lambda: device("/dev/random"),
        "AT_RANDOM": auxiliary,
        "random.random": random.random,
        "random.getrandbits": lambda: random.getrandbits(64),
        "random.gauss": lambda: random.gauss(0, 1),
        "random.shuffle": shuffled,
        "random.getstate": random.getstate,
        "random.Random": lambda: random.Random().random(),
        "random.SystemRandom": lambda: random.SystemRandom().random(),
        "secrets": lambda: secrets.token_hex(8),
        "uuid1": uuid.uuid1,
        "uuid4": uuid.uuid4,
        "numpy, old": np.random.random_sample,
        "numpy, old, normal": np.random.standard_normal,
        "numpy, old, integers": lambda: np.random.randint(0, 2**62),
        "numpy, old, state": lambda: bytes(np.random.get_state()[1]),  # type: ignore[index]
        "numpy.random.default_rng": lambda: np.random.default_rng().random(),
        "ssl": lambda: ssl.RAND_bytes(8),
        "tempfile": tempfile.mktemp,
        "ed25519": lambda: ed25519.Ed25519PrivateKey.generate().private_bytes_raw(),
        "x25519": lambda: x25519.X25519PrivateKey.generate().private_bytes_raw(),
        "elliptic": lambda: ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value,
        "fernet": Fernet.generate_key,
        "rsa": lambda: rsa.generate_private_key(65537, 1024).private_numbers().p,
    }


SLOW = {"rsa"}
EXPECTED = 20


@pytest.mark.parametrize("sample", SAMPLES, ids=["no sample", "sample"])
def test_nothing_that_python_draws_repeats(sample: object) -> None:
    @udfvm.udf(sample=sample, packages=["cryptography", "numpy"], memory="1GiB", timeout=60)
    def draw(slow: int) -> str:
        return repr(
            {name: repr(source()) for name, source in sources().items() if slow or name not in SLOW}
        )

    values: dict[str, list[str]] = {}
    for index in range(CALLS):
        for name, value in ast.literal_eval(draw(index < 3)).items():
            values.setdefault(name, []).append(value)
    assert len(values) > EXPECTED
    assert {name for name, drawn in values.items() if len(set(drawn)) != len(drawn)} == set()
    assert all(len(drawn) == CALLS for name, drawn in values.items() if name not in SLOW)


@udfvm.udf(sample=(1,))
def seeded(_: int) -> str:
    import random

    import numpy as np

    random.seed(5)
    np.random.seed(5)
    state, old = random.getstate(), np.random.get_state()
    first = [
        random.random(),
        random.gauss(0, 1),
        np.random.random_sample(),
        np.random.standard_normal(),
    ]
    random.setstate(state)
    np.random.set_state(old)
    second = [
        random.random(),
        random.gauss(0, 1),
        np.random.random_sample(),
        np.random.standard_normal(),
    ]
    return repr((first, second))


def test_a_seed_that_the_call_sets_gives_the_numbers_of_that_seed() -> None:
    import random

    import numpy as np

    random.seed(5)
    np.random.seed(5)
    expected = [
        random.random(),
        random.gauss(0, 1),
        float(np.random.random_sample()),
        float(np.random.standard_normal()),
    ]
    np.random.seed()
    random.seed()
    first, second = eval(seeded(0), {"np": np})
    assert first == second == expected


def test_a_state_that_is_asked_for_first_comes_again() -> None:
    @udfvm.udf(sample=(1,))
    def again(_: int) -> bool:
        import random

        import numpy as np

        state, old = random.getstate(), np.random.get_state()
        first = random.random(), np.random.random_sample()
        random.setstate(state)
        np.random.set_state(old)
        return first == (random.random(), np.random.random_sample())

    assert again(0)


def test_every_call_is_another_process() -> None:
    @udfvm.udf
    def numbers(_: int) -> str:
        import os
        import signal
        import threading

        heard: list[int] = []
        signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        with open(f"/proc/{os.getpid()}/stat") as file:
            assert file.read().split()[0] == str(os.getpid())
        return repr((os.getpid(), threading.get_native_id(), os.getpgrp(), len(heard)))

    found = [ast.literal_eval(numbers(0)) for _ in range(20)]
    assert len({process for process, *_ in found}) > 15
    assert all(
        process == thread and group != process and heard == 2
        for process, thread, group, heard in found
    )


def test_an_exchange_that_goes_on_stays_the_same_process() -> None:
    @udfvm.udf
    def process(_: int) -> int:
        import os

        return os.getpid()

    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, process)
    query = """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
        SELECT count(DISTINCT process(i)) FROM n
    """
    assert list(connection.execute(query)) == [(1,)]
    assert (
        connection.execute("SELECT process(1)").fetchone()
        != connection.execute("SELECT process(1)").fetchone()
    )


LIBRARY = """
import os
import random

forks = []
numbers = random.Random()
os.register_at_fork(
    before=lambda: forks.append("before"), after_in_child=lambda: forks.append("child")
)
os.register_at_fork(after_in_child=numbers.seed)
"""


def test_what_libraries_register_for_forked_children_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fork_watcher.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))

    @udfvm.udf(sample=(1,))
    def draw(_: int) -> str:
        import fork_watcher  # type: ignore[import-not-found]

        return f"{fork_watcher.forks} {fork_watcher.numbers.random()}"

    drawn = [draw(0) for _ in range(10)]
    assert len(set(drawn)) == 10
    assert all(each.startswith("['before', 'child'] ") for each in drawn)


NATIVE = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <udfvm.h>
#include <unistd.h>

static int forks;
static int64_t *page;

static void in_child(void) { forks++; }

__attribute__((constructor)) static void prepare(void)
{
    pthread_atfork(NULL, NULL, in_child);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (madvise(page, 4096, MADV_WIPEONFORK) == 0)
        *page = 77;
}

UDFVM_SCALAR(drawn, blob, (i64, kind))
{
    uint8_t *bytes = udfvm_allocate(16);
    if (kind == 0 && getrandom(bytes, 16, 0) != 16)
        udfvm_fail("getrandom");
    if (kind == 1 && getentropy(bytes, 16) != 0)
        udfvm_fail("getentropy");
    if (kind == 2)
        memcpy(bytes, (const void *)getauxval(AT_RANDOM), 16);
    if (kind == 3) {
        const int64_t process = getpid();
        memset(bytes, 0, 16);
        memcpy(bytes, &process, 8);
    }
    return (udfvm_blob){ (const char *)bytes, 16 };
}
UDFVM_SCALAR(noticed, i64) { return forks * 1000 + (page ? *page : -1); }
"""


def test_native_functions() -> None:
    drawn = udfvm.from_c(NATIVE, "drawn")
    for kind in range(4):
        found = [drawn(kind) for _ in range(CALLS)]
        assert len(set(found)) > (CALLS - 5 if kind == 3 else CALLS - 1), kind
    assert all(struct.unpack("<qq", drawn(3))[0] > 2 for _ in range(3))
    assert udfvm.from_c(NATIVE, "noticed")() == 1000  # it forked once, and its page is zero


def test_where_a_thread_goes_on_in_the_image() -> None:
    @udfvm.udf(sample=(1,))
    def draw(_: int) -> str:
        import os
        import random
        import ssl
        import threading

        if threading.active_count() == 1:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        return (
            f"{threading.active_count()} {ssl.RAND_bytes(8)!r} {random.random()} {os.urandom(8)!r}"
        )

    drawn = [draw(0) for _ in range(20)]
    assert all(each.startswith("2 ") for each in drawn)
    for index in (1, 2, 3):
        assert len({each.split(" ")[index] for each in drawn}) == 20
