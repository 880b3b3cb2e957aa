"""Filters network packets in batches: by a WebAssembly function over their header fields, and by a
native function over their bytes. Prints packets a second, beside those of the same C code in this
process, which trusts it.

    python packets.py [PACKETS]

It makes a file in the format of pcap, reads it, and keeps DNS queries: UDP to port 53. The filters
may be anybody's: a wrong length or pointer ends a call with an error, and harms nothing here.
"""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import udfvm

# The filter in C, over the bytes of a packet: Ethernet, IPv4, UDP. And a loop over many packets,
# which only this process uses.
FILTER = """
#include <stdbool.h>
#include <stdint.h>

bool is_query(const uint8_t *packet, int64_t length)
{
    if (length < 42 || packet[12] != 0x08 || packet[13] != 0x00)
        return false;
    const int64_t header = (packet[14] & 15) * 4;
    if (packet[14] >> 4 != 4 || header < 20 || packet[23] != 17 || length < 14 + header + 8)
        return false;
    return packet[14 + header + 2] == 0 && packet[14 + header + 3] == 53;
}

void are_queries(const uint8_t *data, const int32_t *offsets, int64_t count, uint8_t *results)
{
    for (int64_t i = 0; i < count; i++)
        results[i] = is_query(data + offsets[i], offsets[i + 1] - offsets[i]);
}
"""

# The same over fields of the header: what it takes are numbers.
FIELDS = """
(module (func (export "is_query_field") (param $kind i32) (param $protocol i32) (param $port i32)
                                        (result i32)
  (i32.and (i32.eq (local.get $kind) (i32.const 0x0800))
    (i32.and (i32.eq (local.get $protocol) (i32.const 17))
             (i32.eq (local.get $port) (i32.const 53))))))
"""

_GLOBAL = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")


def write_pcap(path: Path, count: int) -> None:
    """Writes packets of three kinds: DNS queries, other UDP, and TCP."""
    with path.open("wb") as file:
        file.write(_GLOBAL.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(count):
            protocol, port = ((17, 53), (17, 123), (6, 443))[number % 3]
            body = bytes(8 + number % 40)
            address = number.to_bytes(4, "big")
            head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(body), 0, 0, 64, protocol, 0,
                               address, b"\x0a\x00\x00\x01")  # fmt: skip
            udp = struct.pack(">HHHH", 40_000, port, 8 + len(body), 0)
            packet = bytes(12) + b"\x08\x00" + head + udp + body
            file.write(_RECORD.pack(number, 0, len(packet), len(packet)) + packet)


def read_pcap(path: Path) -> pa.Array:
    """Returns the packets of a file, as a column of bytes."""
    data = path.read_bytes()
    packets, at = [], _GLOBAL.size
    while at + _RECORD.size <= len(data):
        length = _RECORD.unpack_from(data, at)[2]
        at += _RECORD.size
        packets.append(data[at : at + length])
        at += length
    return pa.array(packets, pa.binary())


def header_fields(packets: pa.Array) -> list[np.ndarray[Any, Any]]:
    """Returns kind, protocol and port of packets that have no options in their headers."""
    _, offsets, data = packets.buffers()
    begin = np.frombuffer(offsets, np.int32)[: len(packets)]
    octets = np.frombuffer(data, np.uint8)

    def word(at: int) -> np.ndarray[Any, Any]:
        return octets[begin + at].astype(np.int32) << 8 | octets[begin + at + 1]

    return [word(12), octets[begin + 23].astype(np.int32), word(36)]


def compiled(folder: Path) -> bytes:
    """Returns the filter in C as a shared object."""
    (folder / "filter.c").write_text(FILTER)
    command = ["gcc", "-O2", "-shared", "-fPIC", folder / "filter.c", "-o", folder / "filter.so"]
    subprocess.run(command, check=True)
    return (folder / "filter.so").read_bytes()


def in_process(path: Path) -> Callable[[pa.Array], pa.Array]:
    """Returns the filter as a function of this process."""
    library = ctypes.CDLL(str(path))

    def run(packets: pa.Array) -> pa.Array:
        _, offsets, data = packets.buffers()
        results = np.empty(len(packets), np.uint8)
        library.are_queries(
            ctypes.c_void_p(data.address),
            ctypes.c_void_p(offsets.address),
            ctypes.c_int64(len(packets)),
            results.ctypes.data_as(ctypes.c_void_p),
        )
        return pa.array(results.astype(bool))

    return run


def filters(folder: Path) -> dict[str, Callable[[pa.Array], pa.Array]]:
    """Returns the three filters: columns of packets in, columns of truth out."""
    native = udfvm.from_elf(compiled(folder), "is_query", signature="(packet: blob) -> bool")
    wasm = udfvm.from_wasm(FIELDS.encode(), "is_query_field")
    return {
        "C in this process": in_process(folder / "filter.so"),
        "native in a micro-VM": native,
        "Wasm in a micro-VM": lambda packets: pa.array(
            np.asarray(wasm(*header_fields(packets))).astype(bool)
        ),
    }


def main(count: int) -> dict[str, tuple[int, float]]:
    """Returns of each filter how many packets it kept, and packets a second."""
    folder = Path(tempfile.mkdtemp(prefix="packets-"))
    try:
        write_pcap(folder / "traffic.pcap", count)
        packets = read_pcap(folder / "traffic.pcap")
        results = {}
        for name, run in filters(folder).items():
            run(packets)  # builds the image
            started = time.perf_counter()
            kept = packets.filter(run(packets))
            results[name] = len(kept), count / (time.perf_counter() - started)
        return results
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    for name, (kept, speed) in main(int(sys.argv[1]) if sys.argv[1:] else 300_000).items():
        print(f"{name:22} kept {kept}, {speed / 1e6:6.2f} million packets a second")
