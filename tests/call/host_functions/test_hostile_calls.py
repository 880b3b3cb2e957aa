"""A hostile guest reaches no other host function, and no other memory."""

from __future__ import annotations

import struct

import pytest
from shared_host_functions import rate, seen

import udfvm
from udfvm.call.host_functions import HostFunctions
from udfvm.protocol import INPUT_BASE, MAX_HOST_MESSAGE, MAX_HOST_NAME, PROGRAM_BASE


def test_other_names_are_refused() -> None:
    @udfvm.udf(host_functions=[rate])
    def ask(name: str) -> str:
        import _udfvm_agent

        try:
            return repr(_udfvm_agent.host_call(name.encode(), bytes(8)))
        except RuntimeError as error:
            return str(error)

    for name in ("ratex", "rat", "", "__import__", "x" * 300, "rate\0x"):
        assert "there is no such host function" in ask(name)

    @udfvm.udf
    def without() -> str:
        import _udfvm_agent

        try:
            return repr(_udfvm_agent.host_call(b"rate", bytes(8)))
        except RuntimeError as error:
            return str(error)

    assert "there is no such host function" in without()
    assert not seen


def row(*values: tuple[int, int, int], count: int | None = None, tail: bytes = b"") -> bytes:
    return (
        struct.pack("<II", len(values) if count is None else count, 0)
        + b"".join(struct.pack("<IIQ", *value) for value in values)
        + tail
    )


HOSTILE = {
    "nothing": b"",
    "a part": b"\1\0\0",
    "no value": row(count=1),
    "two values": row((3, 0, 24), (3, 0, 24)),
    "another type": row((1, 0, 7)),
    "an unknown type": row((77, 0, 0)),
    "bytes outside": row((3, 1, 24)),
    "an offset outside": row((3, 0, 25)),
    "a huge length": row((3, 2**32 - 1, 24), tail=b"abc"),
    "a huge offset": row((3, 3, 2**64 - 1), tail=b"abc"),
    "no UTF-8": row((3, 1, 24), tail=b"\xff"),
    "many": row((3, 0, 24), count=2**32 - 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arguments(name: str) -> None:
    payload = HOSTILE[name]

    @udfvm.udf(host_functions=[rate])
    def ask(x: int) -> bytes:
        import _udfvm_agent

        return bytes(_udfvm_agent.host_call(b"rate", payload))

    with pytest.raises(
        udfvm.ProtocolError,
        match="UDF 'ask': the guest's arguments for host function 'rate' are not valid",
    ):
        ask(1)
    assert not seen
    with pytest.raises((ValueError, struct.error, OverflowError, udfvm.ProtocolError)):
        HostFunctions("f", [rate]).call(b"rate", payload)


def test_hostile_hypercalls() -> None:
    """Invalid addresses and lengths, given to the hypercall itself."""

    @udfvm.udf(host_functions=[rate], memory="128MiB")
    def ask(
        name: int, name_length: int, arguments: int, length: int, reply: int, capacity: int
    ) -> int:
        import ctypes
        import mmap

        # rdi rsi rdx are in place; r10 = rcx (4th), r8 and r9 are the 5th and 6th argument; eax =
        # 6; out %al, $0x55; ret
        code = bytes.fromhex("4989ca b806000000 e655 c3".replace(" ", ""))
        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        call = ctypes.CFUNCTYPE(ctypes.c_int64, *([ctypes.c_uint64] * 6))(address)
        text = ctypes.create_string_buffer(b"rate")
        addresses = {-1: ctypes.addressof(text)}
        values = [
            value % 2**64
            for value in (
                addresses.get(name, name),
                name_length,
                arguments,
                length,
                reply,
                capacity,
            )
        ]
        return int(call(*values))

    enoent, efault, e2big = -2, -14, -7
    top, system, program = 2**63 - 1, 0x1000, PROGRAM_BASE
    assert ask(top, 4, program, 8, program, 64) == efault
    assert ask(system, 4, program, 8, program, 64) == efault
    assert ask(program, -1, program, 8, program, 64) == enoent
    assert ask(program, MAX_HOST_NAME + 1, program, 8, program, 64) == enoent
    assert ask(-1, 4, system, 8, program, 64) == efault
    assert ask(-1, 4, INPUT_BASE, 8, program, 64) == efault
    assert ask(-1, 4, (128 << 20) - 4, 8, program, 64) == efault
    assert ask(-1, 4, program, -1, program, 64) == e2big
    assert ask(-1, 4, program, MAX_HOST_MESSAGE + 1, program, 64) == e2big
    assert ask(-1, 4, program, 8, program, -1) == e2big
    assert not seen


def test_replies_go_nowhere_else() -> None:
    """Neither to addresses of the host's own pages, nor past the capacity."""
    payload = row((3, 3, 24), tail=b"EUR")

    @udfvm.udf(host_functions=[rate], memory="128MiB")
    def ask(reply: int, capacity: int) -> int:
        import ctypes
        import mmap

        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(bytes.fromhex("4989cab806000000e655c3"))
        call = ctypes.CFUNCTYPE(ctypes.c_int64, *([ctypes.c_void_p] * 6))(
            ctypes.addressof(ctypes.c_char.from_buffer(memory))
        )
        return int(
            call(
                ctypes.create_string_buffer(b"rate"),
                4,
                ctypes.create_string_buffer(payload),
                len(payload),
                reply,
                capacity,
            )
        )

    for address in (0, 0x1000, 0x10000, INPUT_BASE, 2**47, 2**63 - 8):
        assert ask(address, 64) == -14
    assert ask(PROGRAM_BASE, 15) == -90  # EMSGSIZE
    assert ask(PROGRAM_BASE, 0) == -90
    assert [currency for currency, _ in seen] == ["EUR"] * 8
