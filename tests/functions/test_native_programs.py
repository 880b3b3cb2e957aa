"""Native programs serve functions, however they are linked, with all that they prepared before."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from native_programs import LINKS, SOURCE, build

import udfvm
from udfvm import errors


@pytest.fixture(scope="module", params=LINKS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(
        tmp_path_factory.mktemp("program"),
        LINKS[request.param],
        SOURCE.replace("signal(SIGSEGV, SIGSEGV_IS)", "(void)recover"),
    )


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that handles SIGSEGV itself."""
    return build(
        tmp_path_factory.mktemp("static"),
        LINKS["static, fixed"],
        SOURCE,
        "-USIGSEGV_IS",
        "-DSIGSEGV_IS=recover",
    )


def test_what_main_prepared_is_there_in_every_call(program: Path) -> None:
    letter = udfvm.from_elf(program, "letter")
    assert [letter(0), letter(27), letter((3 << 20) - 1)] == [
        "a",
        "b",
        chr(ord("a") + ((3 << 20) - 1) % 26),
    ]
    assert letter(pa.array([0, None, 25])).to_pylist() == ["a", None, "z"]
    assert udfvm.from_elf(program, "started", env={"GIVEN": "me", "EMPTY": ""})() == 2111
    assert udfvm.from_elf(program, "serves_again")() == 1
    assert udfvm.from_elf(program, "half", files=False, deterministic=True)(3.0) == 1.5


def test_threads(program: Path) -> None:
    # A library of musl gives a thread as much stack as the program's first has, by the word of its
    # linker.
    assert udfvm.from_elf(program, "threads", memory="256MiB")(5) == 7 + 5 * 5
    with pytest.raises(
        udfvm.GuestCrashError, match=r"(?s)SIGSEGV.*address 0x18.*fault\+0x"
    ) as caught:
        udfvm.from_elf(program, "thread_crashes", memory="256MiB")(0x18)
    assert caught.value.signal == signal.SIGSEGV


def test_memory(program: Path) -> None:
    for function in ("takes_large", "takes_small"):
        takes = udfvm.from_elf(program, function, memory="64MiB")
        assert takes(20) == 20
        assert 20 < takes(100) < 64
        assert takes(20) == 20
    turns = udfvm.from_elf(program, "turns")
    assert [turns(300), turns(1), turns(300)] == ["ttt"] * 3


def test_host_functions(program: Path) -> None:
    def rate(currency: str) -> float:
        return {"EUR": 1.25}[currency]

    converts = udfvm.from_elf(program, "converts", host_functions=[rate])
    assert converts(pa.array(["EUR", None, "EUR"])).to_pylist() == [1.25, None, 1.25]
    with pytest.raises(errors.HostFunctionError):
        converts("XXX")
    with pytest.raises(udfvm.UDFError, match="rate: "):
        udfvm.from_elf(program, "converts")("EUR")


def test_ends_and_limits(program: Path) -> None:
    with pytest.raises(udfvm.GuestExitError) as caught:
        udfvm.from_elf(program, "leaves")(4)
    assert caught.value.status == 4
    says = udfvm.from_elf(program, "says", max_log=16, log="strict")
    assert says(12345) == 6
    with pytest.raises(udfvm.LogLimitError):
        says(pa.array([12345, 12345, 12345]))


def test_functions_without_the_macros(static: Path, tmp_path: Path) -> None:
    assert udfvm.from_elf(static, "twice", signature="(f64) -> f64")(
        pa.array([1.5, None])
    ).to_pylist() == [3.0, None]
    assert udfvm.from_elf(static, "thrice", signature="(f64) -> f64")(1.5) == 4.5
    with pytest.raises(errors.SignatureError, match="pass signature="):
        udfvm.from_elf(static, "twice")
    with pytest.raises(
        errors.SignatureError, match=r"no function nothing.*offered .*half"
    ) as caught:
        udfvm.from_elf(static, "nothing")
    assert "twice" not in str(caught.value).partition("offered")[2]
    stripped = build(
        tmp_path,
        ["gcc", "-static", "-s", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"],
        SOURCE.replace("int main(", "UDFVM_C_FUNCTION(twice)\nint main("),
    )
    assert udfvm.from_elf(stripped, "half")(5.0) == 2.5
    assert udfvm.from_elf(stripped, "twice", signature="(f64) -> f64")(5.0) == 10
    with pytest.raises(errors.SignatureError, match="no function thrice"):
        udfvm.from_elf(stripped, "thrice", signature="(f64) -> f64")


def test_a_program_keeps_its_signal_handlers(static: Path) -> None:
    assert udfvm.from_elf(static, "recovers")(8) == -1


def test_fixed_addresses_where_memory_has_them(tmp_path: Path) -> None:
    high = build(tmp_path, LINKS["static, fixed"], SOURCE, "-Wl,-Ttext-segment=0x10000000")
    assert udfvm.from_elf(high, "half", memory="512MiB")(3.0) == 1.5


def test_the_c_library_is_no_program() -> None:
    found = [
        path
        for path in map(Path, ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"))
        if path.exists()
    ]
    assert udfvm.from_elf(found[0], "labs", signature="(i64) -> i64")(-4) == 4


def test_outside_of_a_micro_vm(static: Path) -> None:
    done = subprocess.run([static], env={}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "udfvm.from_elf" in done.stderr
