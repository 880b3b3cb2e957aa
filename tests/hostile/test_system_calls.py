"""Every system call, with arguments that nobody should pass, from a Python function: each call ends
as an error of its own kind or harmlessly, and the next call on the same VM is right.

``UDFVM_HOSTILE=100`` tries a hundred times as many arguments.
"""

from __future__ import annotations

import os

import pytest

import udfvm
from udfvm import errors, protocol

TIMES = int(os.environ.get("UDFVM_HOSTILE", "1"))
LAST = 470  # past the last number that Linux has
TRIES = 3  # of a number in one call, until one of them ends it
ENDS = (
    errors.UDFError,
    errors.GuestCrashError,
    errors.GuestExitError,
    errors.GuestDeadlockError,
    errors.CallTimeoutError,
    errors.OutputLimitError,
    errors.ProtocolError,
)


@pytest.fixture(scope="module")
def functions() -> tuple[udfvm.ScalarFunction, udfvm.ScalarFunction]:
    pool = udfvm.Pool(size=1)  # one VM serves both
    program = [protocol.KERNEL_BASE, protocol.PROGRAM_BASE]
    mapped = [0x1A000, *program, protocol.INPUT_BASE, protocol.OUTPUT_BASE]

    @udfvm.udf(timeout=0.2, log="drop", pool=pool)
    def attack(number: int, tries: int, seed: int) -> int:
        import ctypes
        import random

        chance = random.Random(seed * 1000 + number)
        buffer = ctypes.create_string_buffer(4096)
        libc = ctypes.CDLL(None, use_errno=True)
        places = [0, *mapped, 1 << 47, -4096, -1]
        places += [ctypes.addressof(buffer), ctypes.addressof(buffer) + 4090]
        small = [0, 1, 2, 3, 5, 16, 255, 4096, 1 << 20, 1 << 31, -1, -100]
        for _ in range(tries):
            arguments = [chance.choice([*places, *small, chance.getrandbits(63)]) for _ in range(6)]
            libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
        return tries

    @udfvm.udf(pool=pool)
    def honest(a: int, b: int) -> int:
        import os

        with open("/tmp/honest", "x") as file:
            file.write(str(a + b))
        assert os.listdir("/tmp") == ["honest"]
        with open("/tmp/honest") as file:
            return int(file.read())

    assert honest(1, 2) == 3
    return attack, honest


def test_every_number(functions: tuple[udfvm.ScalarFunction, udfvm.ScalarFunction]) -> None:
    attack, honest = functions
    ended = set()
    for seed in range(TIMES):
        for number in range(LAST):
            try:
                assert attack(number, TRIES, seed) == TRIES
            except ENDS as failure:
                ended.add(type(failure))
            assert honest(number, seed) == number + seed
    assert ended  # exit, and signals that the program sent itself, at least


def test_numbers_that_linux_has_not(
    functions: tuple[udfvm.ScalarFunction, udfvm.ScalarFunction],
) -> None:
    attack, honest = functions
    for number in (512, 1 << 31, (1 << 63) - 2):
        assert attack(number, 1, number) == 1
        assert honest(number, 0) == number
