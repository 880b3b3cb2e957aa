"""Programs as UDFs: how they are linked, what they do before they serve and while they do, what is
told where one does not come to that.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import udfvm
from udfvm import errors

SOURCE = r"""
#include <udfvm.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

static char *prepared;
static int arguments;

UDFVM_SCALAR(half, f64, (f64, value)) { return value / 2; }
UDFVM_SCALAR(letter, text, (i64, index)) { return (udfvm_text){ prepared + index, 1 }; }
UDFVM_SCALAR(started, i64) { return arguments; }
UDFVM_SCALAR(serves_again, i64) { return udfvm_serve(); }
UDFVM_SCALAR(leaves, i64, (i64, status)) { exit((int)status); }
UDFVM_SCALAR(says, i64, (i64, value)) { return printf("%lld\n", (long long)value); }

double twice(double value) { return 2 * value; }
__attribute__((used)) static double thrice(double value) { return 3 * value; }

/* ---- Memory ---- */

static void *volatile kept;
static int64_t take(size_t bytes, int64_t most)
{
    int64_t taken = 0;
    while (taken < most && (kept = malloc(bytes)) != NULL) {
        memset(kept, 1, bytes);
        taken++;
    }
    return taken;
}
UDFVM_SCALAR(takes_large, i64, (i64, mib)) { return take(1 << 20, mib); }
UDFVM_SCALAR(takes_small, i64, (i64, mib)) { return take(4000, mib * 256) / 256; }

/* Its own memory and what it asks the runtime for, in turns. */
UDFVM_SCALAR(turns, text, (i64, rounds))
{
    enum { MOST = 300, BYTES = 5000 };
    char *mine[MOST], *theirs[MOST];
    for (int64_t i = 0; i < rounds && i < MOST; i++) {
        mine[i] = malloc(BYTES);
        memset(mine[i], 'm', BYTES);
        theirs[i] = udfvm_allocate(BYTES);
        memset(theirs[i], 't', BYTES);
    }
    for (int64_t i = 0; i < rounds && i < MOST; i++)
        for (int k = 0; k < BYTES; k++)
            if (mine[i][k] != 'm' || theirs[i][k] != 't')
                udfvm_fail("block %d was overwritten", (int)i);
    return (udfvm_text){ theirs[0], 3 };
}

/* ---- Threads, and what is theirs ---- */

static _Thread_local int64_t mine = 7;
static void *add(void *sum)
{
    mine = 1;
    usleep(10);
    *(int64_t *)sum += 5;
    return NULL;
}
UDFVM_SCALAR(threads, i64, (i64, count))
{
    pthread_t made[8];
    int64_t sum = mine;
    for (int64_t i = 0; i < count && i < 8; i++)
        if (pthread_create(&made[i], NULL, add, &sum) != 0)
            udfvm_fail("no thread %d", (int)i);
    for (int64_t i = 0; i < count && i < 8; i++)
        pthread_join(made[i], NULL);
    return sum;
}
static void *fault(void *at) { *(volatile int *)at = 1; return NULL; }
UDFVM_SCALAR(thread_crashes, i64, (i64, address))
{
    pthread_t made;
    pthread_create(&made, NULL, fault, (void *)(intptr_t)address);
    pthread_join(made, NULL);
    return 0;
}

/* ---- Signals ---- */

static sigjmp_buf before;
static void recover(int number) { siglongjmp(before, number); }
UDFVM_SCALAR(recovers, i64, (i64, address))
{
    if (sigsetjmp(before, 1))
        return -1;
    return *(volatile int *)(intptr_t)address;
}

/* ---- Host functions ---- */

UDFVM_SCALAR(converts, f64, (text, currency))
{
    struct udfvm_any argument = udfvm_any_text(currency), found;
    return udfvm_call_host("rate", &argument, 1, &found) ? found.real : 0;
}

int main(int count, char **given)
{
    arguments = count * 100 + (getenv("HOME") != NULL) * 10 + (strrchr(given[0], '/') != NULL);
    prepared = malloc(3 << 20);
    for (int i = 0; i < 3 << 20; i++)
        prepared[i] = (char)('a' + i % 26);
    if (getenv("UDFVM_RUNTIME"))
        signal(SIGSEGV, SIGSEGV_IS);
    return udfvm_serve();
}
"""

MUSL = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl"]  # fixed at 0x1000000
LINKS = {
    "dynamic": ["gcc", "-pie", "-fPIE"],
    "dynamic, fixed": ["gcc", "-no-pie"],
    "static": ["gcc", "-static-pie", "-fPIE"],
    "static, fixed": ["gcc", "-static", "-no-pie"],
    "musl": MUSL,
}


def build(folder: Path, command: list[str], source: str, *flags: str) -> Path:
    program = folder / "program"
    words = [
        *command,
        "-O2",
        "-g",
        "-I",
        udfvm.get_include(),
        "-DSIGSEGV_IS=SIG_DFL",
        *flags,
        "-x",
        "c",
        "-",
        "-o",
        str(program),
    ]
    done = subprocess.run(words, input=source, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return program


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
    assert udfvm.from_elf(program, "started")() == 111
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


def test_plain_functions(static: Path, tmp_path: Path) -> None:
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


# By frame pointers a function that has not set up its frame yet hides its caller.
@pytest.mark.parametrize(
    ("flags", "frames"),
    [
        ((), r"#0 0x\w+ innermost.*#1 0x\w+ between.*#2 0x\w+ udfvm_run_crashes"),
        (
            ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-omit-frame-pointer"),
            r"#0 0x\w+ innermost.* udfvm_run_crashes",
        ),
    ],
    ids=["tables", "frame pointers"],
)
def test_backtraces(tmp_path: Path, flags: tuple[str, ...], frames: str) -> None:
    source = r"""
        #include <udfvm.h>
        __attribute__((noinline)) static int64_t innermost(int64_t at) { return *(volatile int8_t *)at + 1; }
        __attribute__((noinline)) static int64_t between(int64_t at) { return innermost(at) * 3; }
        UDFVM_SCALAR(crashes, i64, (i64, at)) { return between(at) - 1; }
        UDFVM_MAIN
    """
    crashes = udfvm.from_elf(build(tmp_path, LINKS["static, fixed"], source, *flags), "crashes")
    with pytest.raises(udfvm.GuestCrashError, match=rf"(?s){frames}.*\(native\)"):
        crashes(24)


def test_a_program_keeps_its_signal_handlers(static: Path) -> None:
    assert udfvm.from_elf(static, "recovers")(8) == -1


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("link", [["-static"], ["-pie", "-fPIE"]], ids=["static", "dynamic"])
def test_exceptions_of_cplusplus(tmp_path: Path, link: list[str]) -> None:
    source = r"""
        #include <udfvm.h>
        #include <stdexcept>
        #include <string>
        static double root(double value) { if (value < 0) throw std::domain_error("no root of " + std::to_string(value)); return value; }
        UDFVM_SCALAR(checked, f64, (f64, value))
        {
            try { return root(value); } catch (const std::exception &problem) { udfvm_fail("%s", problem.what()); return 0; }
        }
        UDFVM_MAIN
    """
    command = [
        "g++",
        "-std=gnu++20",
        "-O2",
        *link,
        "-I",
        udfvm.get_include(),
        "-x",
        "c++",
        "-",
        "-o",
        str(tmp_path / "program"),
    ]
    subprocess.run(command, input=source, text=True, check=True)
    checked = udfvm.from_elf(tmp_path / "program", "checked")
    assert checked(4.0) == 4
    with pytest.raises(udfvm.UDFError, match=r"row 1: RuntimeError: no root of -1\.0"):
        checked(pa.array([1.0, -1.0]))


EITHER_WAY: list[Callable[[Path], object]] = [
    lambda path: udfvm.from_elf(path, "half"),
    lambda path: udfvm.from_elf(path, "half", signature="(value: f64) -> f64").prepare(),
]


@pytest.mark.parametrize("use", EITHER_WAY, ids=["described", "declared"])
def test_programs_that_do_not_come_to_serve(tmp_path: Path, use: Callable[[Path], object]) -> None:
    static = LINKS["static, fixed"]
    with pytest.raises(
        errors.BuildError,
        match=r"(?s)exit status 3; the function was not ready.*udfvm_serve\(\).*no configuration",
    ):
        use(
            build(
                tmp_path,
                static,
                'int main(void) { __builtin_printf("no configuration\\n"); return 3; }',
            )
        )
    with pytest.raises(
        (errors.SignatureError, udfvm.GuestCrashError), match=r"(?s)SIGSEGV.*address 0x10.*main\+0x"
    ):
        use(build(tmp_path, static, "int main(void) { return *(volatile int *)16; }"))
    with pytest.raises(
        (errors.SignatureError, udfvm.UDFError),
        match=r"linked to addresses 0x200000 to .*0x400000 to 0x.*-pie",
    ):
        use(build(tmp_path, static, SOURCE, "-Wl,-Ttext-segment=0x200000"))
    with pytest.raises((errors.SignatureError, udfvm.UDFError), match="raise memory="):
        use(build(tmp_path, static, SOURCE, "-Wl,-Ttext-segment=0x10000000"))
    foreign = bytearray(build(tmp_path, static, SOURCE).read_bytes())
    foreign[18] = 0xB7  # e_machine: AArch64
    (tmp_path / "foreign").write_bytes(foreign)
    with pytest.raises((errors.SignatureError, udfvm.UDFError), match="not for x86-64"):
        use(tmp_path / "foreign")
    linked = build(tmp_path, LINKS["dynamic"], SOURCE, "-Wl,--dynamic-linker=/lib/ld-other.so.1")
    with pytest.raises(
        (errors.SignatureError, udfvm.UDFError),
        match=r"dynamic linker /lib/ld-other\.so\.1 .*cannot be opened",
    ):
        use(linked)


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
