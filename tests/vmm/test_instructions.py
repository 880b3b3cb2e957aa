"""The instruction decoder of the guest kernel against objdump, on the libraries that it meets."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNEL = ROOT / "guest" / "kernel"
REWRITE = KERNEL / "rewrite"
MAX_TEXT = 1 << 20
FLOWS = {0: "next", 1: "branch", 2: "jump", 3: "indirect", 4: "end"}
UNKNOWN = re.compile(r"\(bad\)|^\.byte")
# Lines on which objdump shows prefixes as an instruction of their own, and instructions whose
# length depends on the processor.
PREFIXES_ALONE = re.compile(
    r"^((rex(\.[WRXB]+)?|data16|addr32|lock|repn?z|cs|ds|es|fs|gs|ss|notrack|bnd)\s*)+$"
)
DECLINED = re.compile(r"^(data16 )?(callw|jmpw|j[a-z]+w?|vmread|vmwrite|extrq|insertq|xbegin)\b")


class Instruction(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_uint8),
        ("flow", ctypes.c_uint8),
        ("rip_relative", ctypes.c_bool),
        ("is_call", ctypes.c_bool),
        ("is_syscall", ctypes.c_bool),
        ("displacement", ctypes.c_int32),
    ]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    library = tmp_path_factory.mktemp("decoder") / "decoder.so"
    flags = [
        "-std=gnu17",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fPIC",
        "-shared",
        "-fsanitize=undefined",
        "-fno-sanitize-recover",
        f"-I{KERNEL}",
    ]
    subprocess.run(["gcc", *flags, str(REWRITE / "instruction.c"), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.instruction_decode.restype = ctypes.c_bool
    loaded.instruction_decode.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.POINTER(Instruction),
    ]
    loaded.instruction_padding.restype = ctypes.c_size_t
    loaded.instruction_padding.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return loaded


def module_library(module: str, pattern: str) -> Path | None:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return None
    return next(iter(sorted(Path(found.origin).parent.parent.glob(pattern))), None)


def libraries() -> list[Any]:
    candidates = {
        "libc": Path("/lib/x86_64-linux-gnu/libc.so.6"),
        "libm": Path("/lib/x86_64-linux-gnu/libm.so.6"),
        "ld.so": Path("/lib64/ld-linux-x86-64.so.2"),
        "python": Path(sys.executable).resolve(),
        "libpython": Path(sysconfig.get_config_var("LIBDIR") or "")
        / (sysconfig.get_config_var("INSTSONAME") or "none"),
        "libarrow": module_library("pyarrow", "pyarrow/libarrow.so.*"),
        "openblas": module_library("numpy", "numpy.libs/libscipy_openblas*"),
        "numpy": module_library("numpy", "numpy/_core/_multiarray_umath*.so"),
    }
    return [
        pytest.param(path, id=name)
        for name, path in candidates.items()
        if path is not None and path.exists()
    ]


def text_section(path: Path) -> tuple[int, bytes]:
    """Address and contents of .text."""
    table = subprocess.run(
        ["objdump", "-h", "-w", str(path)], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r" \.text +([0-9a-f]+) +([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+)", table)
    assert match
    size, address, offset = (int(word, 16) for word in match.groups())
    with path.open("rb") as file:
        file.seek(offset)
        return address, file.read(size)


def disassembled(path: Path, start: int, stop: int) -> Iterator[tuple[int, str]]:
    """Address and text of every instruction."""
    limits = (f"--start-address={start}", f"--stop-address={stop}")
    command = ["objdump", "-d", "-w", "-j", ".text", "--no-show-raw-insn", *limits, str(path)]
    for line in subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.splitlines():
        match = re.match(r" *([0-9a-f]+):\t(.*)", line)
        if match:
            yield int(match[1], 16), match[2].split("#")[0].strip()


def flow_of(text: str) -> str:
    """Where an instruction goes on, by its name."""
    prefixes = ("bnd", "notrack", "rep", "repz", "cs", "ds")
    words = [
        word for word in text.replace(",pt", "").replace(",pn", "").split() if word not in prefixes
    ]
    name = words[0]
    if name in ("jmp", "jmpq", "ljmp"):
        return "indirect" if " *" in text else "jump"
    if name.startswith(("j", "loop")):
        return "branch"
    return (
        "end"
        if name
        in (
            "ret",
            "retq",
            "lret",
            "iret",
            "iretq",
            "hlt",
            "ud2",
            "ud1",
            "ud0",
            "int3",
            "sysret",
            "sysexit",
        )
        else "next"
    )


@pytest.mark.parametrize("path", libraries())
def test_agrees_with_objdump(decoder: Any, path: Path) -> None:
    address, code = text_section(path)
    start = address + (len(code) // 3 & ~15 if len(code) > 3 * MAX_TEXT else 0)
    stop = min(start + MAX_TEXT, address + len(code))
    listing = list(disassembled(path, start, stop))[16:]  # it may have begun inside an instruction
    assert listing
    instruction = Instruction()
    declined = 0
    for (at, text), (after, _) in itertools.pairwise(listing):
        waits = code[at - address] == 0x9B  # fwait, which objdump shows with what follows as one
        if waits or UNKNOWN.search(text) or PREFIXES_ALONE.match(text):
            continue
        if not decoder.instruction_decode(code[at - address : at - address + 15], 15, instruction):
            declined += 1
            assert DECLINED.match(text), f"{at:x}: {text}"
            continue
        assert instruction.length == after - at or after - at > 15, f"{at:x}: {text}"
        assert FLOWS[instruction.flow] == flow_of(text), f"{at:x}: {text}"
        assert instruction.rip_relative == ("(%rip)" in text or "(%eip)" in text), f"{at:x}: {text}"
        assert instruction.is_syscall == (text == "syscall"), f"{at:x}: {text}"
        if flow_of(text) in ("jump", "branch"):
            target = re.search(r"\b([0-9a-f]+)( <|$)", text)
            assert target and at + instruction.length + instruction.displacement == int(
                target[1], 16
            ), f"{at:x}: {text}"
    assert declined <= len(listing) // 1000


@pytest.mark.parametrize(
    ("code", "length"),
    [
        ("0f05", 2),
        ("b827000000", 5),
        ("48c7c00f000000", 7),
        ("31c0", 2),
        ("66b83412", 4),
        ("48b8" + "11" * 8, 10),
        ("48a1" + "11" * 8, 10),
        ("67a111111111", 6),
        ("f60001", 3),
        ("f610", 2),
        ("66f7000101", 5),
        ("660f1f840000000000", 9),
        ("666648e800000000", 8),
        ("4866b83412", 5),
        ("62f17c48100500000000", 10),
        ("c5f877", 3),
        ("c4e3790e0011", 6),
        ("8f4010", 3),
        ("8fe97812c8", 5),
        ("c8111122", 4),
        ("0f0fc0bf", 4),
    ],
)
def test_lengths(decoder: Any, code: str, length: int) -> None:
    """By hand from the Intel SDM; cut off anywhere it is none."""
    raw, instruction = bytes.fromhex(code), Instruction()
    assert decoder.instruction_decode(raw + bytes(15), len(raw), instruction)
    assert instruction.length == length == len(raw)
    for cut in range(len(raw)):
        assert not decoder.instruction_decode(raw, cut, instruction)


@pytest.mark.parametrize(
    "code",
    [
        "06",
        "60",
        "9a",
        "ea",
        "d6",
        "0f04",
        "0f24",
        "66e90000",
        "48c5f877",
        "66c5f877",
        "62f97c48100500000000",
        "c4e07900",
        "0fb8c0",
        "c7f800000000",
        "fff8",
        "66" * 16,
        "62f478481005",
    ],
)
def test_declines(decoder: Any, code: str) -> None:
    """Reserved encodings, those on which processors differ, and those not known here."""
    assert not decoder.instruction_decode(bytes.fromhex(code) + bytes(20), 20, Instruction())


@pytest.mark.parametrize(
    ("code", "length"),
    [
        ("90", 1),
        ("cc90c3", 2),
        ("662e0f1f840000000000" + "6690" + "c3", 12),
        ("f390", 0),
        ("4190", 0),
        ("f30f1efa", 0),
        ("0f1f4000", 4),
        ("0f1f40", 0),
        ("0f18c0", 0),
    ],
)
def test_padding(decoder: Any, code: str, length: int) -> None:
    raw = bytes.fromhex(code)
    assert decoder.instruction_padding(raw, len(raw)) == length
