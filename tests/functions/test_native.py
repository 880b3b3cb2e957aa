"""UDFs in C, in shared objects and in programs: types, nulls, vectors, errors, crashes; the same
through SQL and Arrow as in Python.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
from pathlib import Path

import apsw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from native_programs import MUSL, MUSL_OF_DISTRIBUTION

import udfvm
from udfvm import errors
from udfvm.types.signature_text import parse_signature

SOURCE = r"""
#include <udfvm.h>
#include <stdlib.h>

UDFVM_SCALAR(score, optional_f64, (f64, dep_delay), (f64, distance))
{
    return distance == 0 ? udfvm_null_f64() : udfvm_some_f64(dep_delay / distance * 100);
}
UDFVM_SCALAR(or_zero, i64, (optional_i64, value)) { return value.valid ? value.value : 0; }
UDFVM_SCALAR(negate, boolean, (boolean, value)) { return !value; }
UDFVM_SCALAR(narrow, i8, (i16, a), (u32, b), (f32, c)) { return (int8_t)(a + (int)b + (int)c); }
UDFVM_SCALAR(seven, u8) { return 7; }
UDFVM_SCALAR(twice, text, (text, value))
{
    udfvm_text made = { udfvm_allocate(2 * value.length + 1), 2 * value.length };
    memcpy((char *)made.data, value.data, value.length);
    memcpy((char *)made.data + value.length, value.data, value.length);
    return made;
}
UDFVM_SCALAR(not_text, text, (blob, value)) { return value; }
UDFVM_SCALAR(first, optional_blob, (blob, value))
{
    return value.length ? udfvm_some_blob((udfvm_blob){ value.data, 1 }) : udfvm_null_blob();
}
UDFVM_SCALAR(root, f64, (f64, value))
{
    if (value < 0)
        udfvm_fail("no root of %g", value);
    return value * value;
}
UDFVM_VECTOR(total, f64, (f64, a), (f64, b))
{
    const double *a = arguments[0].buffers[1], *b = arguments[1].buffers[1];
    double *out = (double *)result->buffers[1];
    for (int64_t row = 0; row < result->length; row++)
        out[row] = a[row] + b[row];
}
static void release(struct ArrowArray *array)
{
    free((void *)array->buffers[2]);
    array->release = NULL;
}
UDFVM_VECTOR(dashes, optional_text, (i32, count))
{
    static int32_t offsets[1000];
    const int32_t *counts = arguments[0].buffers[1];
    char *bytes = malloc(10000);
    memset(bytes, '-', 10000);
    for (int64_t row = 0; row < result->length; row++)
        offsets[row + 1] = offsets[row] + counts[row];
    result->buffers[1] = offsets;
    result->buffers[2] = bytes;
    result->release = release;
}
UDFVM_VECTOR(short_result, f64, (f64, a)) { result->length = 0; }
UDFVM_VECTOR(fails, f64, (f64, a)) { udfvm_fail("not today"); }

static int state;
UDFVM_SCALAR(calls, i32, (i32, unused)) { return ++state; }

double plain_score(double dep_delay, double distance) { return dep_delay / distance * 100; }
int plain_mixed(int8_t a, double b, const char *text, size_t length, float c, unsigned char d)
{
    return a + (int)b + (length ? text[0] : 0) + (int)c + d;
}
float plain_float(float value) { return value / 2; }
_Bool plain_odd(int64_t value) { return value & 1; }

__attribute__((noinline)) static int *inner(int *pointer) { *pointer = 3; return pointer; }
UDFVM_SCALAR(crash_write, i32, (i32, value)) { return *inner((int *)(intptr_t)(0x10 + value)); }
UDFVM_SCALAR(crash_divide, i32, (i32, value)) { return 5 / value; }
UDFVM_SCALAR(crash_abort, i32, (i32, value)) { if (value == 0) abort(); return 1; }
UDFVM_SCALAR(crash_trap, i32, (i32, value)) { if (value == 0) __builtin_trap(); return 1; }
__attribute__((noinline)) static int deep(volatile char *below, int depth)
{
    volatile char frame[4096];
    frame[0] = below[0];
    return depth == 0 ? frame[0] : deep(frame, depth + 1) + frame[0];
}
UDFVM_SCALAR(crash_stack, i32, (i32, value))
{
    volatile char top[1] = { 1 };
    return deep(top, value + 1);
}

UDFVM_MAIN
"""

# A shared object, and programs linked in the ways that test_native_programs.py does not try alone.
BUILDS = {
    "shared": ["gcc", "-shared", "-fPIC"],
    "dynamic": ["gcc", "-fPIE", "-pie"],
    "static": ["gcc", "-static", "-no-pie"],
    "musl": MUSL["pie"],
}


@pytest.fixture(scope="module", params=BUILDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What they are built into; crash reports call it by its name here."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "udfs.c").write_text(SOURCE)
    made = folder / ("udf.so" if request.param == "shared" else "udf")
    command = [
        *BUILDS[request.param],
        "-std=gnu17",
        "-O2",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-parameter",
        "-I",
        udfvm.get_include(),
        "-o",
        str(made),
        str(folder / "udfs.c"),
    ]
    subprocess.run(command, check=True)
    return made


def test_signature_comes_from_the_object(made: Path) -> None:
    assert (
        repr(udfvm.from_elf(made, "score"))
        == "<UDF score(dep_delay: double, distance: double) -> double>"
    )
    assert udfvm.from_elf(made, "or_zero").parameters[0].nullable
    assert udfvm.from_elf(made, "score").result.nullable


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("score", (12.0, 300.0), 4.0),
        ("score", (1.0, 0.0), None),
        ("score", (None, 1.0), None),
        ("or_zero", (None,), 0),
        ("or_zero", (-(2**63),), -(2**63)),
        ("negate", (True,), False),
        ("narrow", (-5, 2, 1.5), -2),
        ("seven", (), 7),
        ("twice", ("ab\0é",), "ab\0éab\0é"),
        ("twice", ("",), ""),
        ("first", (b"\xff\x00",), b"\xff"),
        ("first", (b"",), None),
    ],
)
def test_row_and_batch_agree(
    made: Path, function: str, arguments: tuple[object, ...], expected: object
) -> None:
    udf = udfvm.from_elf(made, function)
    assert udf(*arguments) == expected
    if arguments:
        columns = [
            pa.array([value, None, value], each.type.arrow)
            for value, each in zip(arguments, udf.parameters, strict=True)
        ]
        null = 0 if function == "or_zero" else None
        assert udf(*columns).to_pylist() == [expected, null, expected]


def test_numpy(made: Path) -> None:
    a, b = np.arange(100_000, dtype=float), np.full(100_000, 4.0)
    np.testing.assert_array_equal(udfvm.from_elf(made, "score")(a, b), a / b * 100)
    np.testing.assert_array_equal(udfvm.from_elf(made, "total")(a, b), a + b)


def test_vectors(made: Path) -> None:
    total = udfvm.from_elf(made, "total")
    assert total(1.0, 2.0) == 3.0
    assert total(pa.array([1.0, None, 3.0]), pa.array([1.0, 2.0, None])).to_pylist() == [
        2.0,
        None,
        None,
    ]
    dashes = udfvm.from_elf(made, "dashes")
    assert dashes(pa.array([1, 0, None, 3], pa.int32())).to_pylist() == ["-", "", None, "---"]


def test_plain_functions(made: Path) -> None:
    assert udfvm.from_elf(made, "plain_score", signature="(f64, f64) -> f64")(12.0, 300.0) == 4.0
    mixed = udfvm.from_elf(
        made, "plain_mixed", signature="(a: i8, b: f64, text: text, c: f32, d: u8) -> i32"
    )
    assert mixed(-3, 10.5, "A", 1.5, 255) == -3 + 10 + 65 + 1 + 255
    assert mixed(pa.array([-3, None], pa.int8()), 10.5, "", 1.5, 255).to_pylist() == [263, None]
    assert udfvm.from_elf(made, "plain_float", signature="(f32) -> f32")(3.0) == 1.5
    assert udfvm.from_elf(made, "plain_odd", signature="(i64) -> bool")(
        pa.array([1, 2])
    ).to_pylist() == [True, False]


def test_errors_name_the_row(made: Path) -> None:
    root = udfvm.from_elf(made, "root")
    with pytest.raises(udfvm.UDFError, match=r"UDF 'root', row 2: RuntimeError: no root of -1"):
        root(pa.array([1.0, 2.0, -1.0]))
    assert root(pa.array([2.0, None])).to_pylist() == [4.0, None]
    with pytest.raises(udfvm.UDFError, match="not today"):
        udfvm.from_elf(made, "fails")(1.0)
    with pytest.raises(udfvm.UDFError, match="length 0"):
        udfvm.from_elf(made, "short_result")(1.0)
    with pytest.raises(udfvm.UDFError, match="not valid UTF-8"):
        udfvm.from_elf(made, "not_text")(b"\xff")


@pytest.mark.parametrize(
    ("function", "name", "address", "words"),
    [
        (
            "crash_write",
            "SIGSEGV",
            0x10,
            ["address 0x10", "#0", "inner+0x", "rax=0x", "udfvm_run_crash_write+0x"],
        ),
        ("crash_divide", "SIGFPE", 0, ["division by zero", "udfvm_run_crash_divide+0x"]),
        ("crash_abort", "SIGABRT", 0, ["abort() was called", "udfvm_run_crash_abort"]),
        ("crash_trap", "SIGILL", 0, ["an invalid instruction", "udfvm_run_crash_trap"]),
    ],
)
def test_a_crash_says_where(
    request: pytest.FixtureRequest,
    made: Path,
    function: str,
    name: str,
    address: int,
    words: list[str],
) -> None:
    udf = udfvm.from_elf(made, function)
    if request.node.callspec.params["made"] == "musl" and function == "crash_abort":
        # musl of the distribution has no tables for unwinding: the backtrace ends in its abort().
        words = [words[0], *words[1:] * (not MUSL_OF_DISTRIBUTION), "#0"]
    for argument in (0, pa.array([0], pa.int32())):
        with pytest.raises(udfvm.GuestCrashError) as caught:
            udf(argument)
        text = str(caught.value)
        assert caught.value.signal == signal.Signals[name]
        assert caught.value.address == address
        assert caught.value.rip > 0
        assert [word for word in (name, *words, f"({made.name})") if word not in text] == [], text


@pytest.mark.parametrize("memory", ["16MiB", "64MiB", "3GiB"])
def test_endless_recursion_meets_the_guard_of_the_stack(made: Path, memory: str) -> None:
    deep = udfvm.from_elf(made, "crash_stack", memory=memory)
    for argument in (0, pa.array([0], pa.int32())):
        with pytest.raises(udfvm.GuestCrashError) as caught:
            deep(argument)
        text = str(caught.value)
        assert caught.value.signal == signal.SIGSEGV
        wanted = ("the stack overflowed", "rsp=0x", "#0", "#1", "deep+0x", f"({made.name})")
        assert [word for word in wanted if word not in text] == [], text


THREAD = """
#include <pthread.h>
#include <udfvm.h>

static volatile int64_t frames;
__attribute__((noinline)) static int64_t deep(int64_t n)
{
    volatile char room[512];
    room[0] = (char)n;
    frames++;
    return n ? deep(n - 1) + room[0] : 0;
}
static void *run(void *n) { return (void *)(intptr_t)deep(*(int64_t *)n); }
UDFVM_SCALAR(in_thread, i64, (i64, depth))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, &depth) == 0)
        pthread_join(thread, NULL);
    return frames;
}
"""


def test_endless_recursion_in_a_thread_meets_its_guard() -> None:
    """As the page on native functions says of glibc."""
    in_thread = udfvm.from_c(THREAD, "in_thread", flags=("-O0", "-g"))
    assert in_thread(1000) == 1001
    with pytest.raises(udfvm.GuestCrashError, match="the stack overflowed"):
        in_thread(10_000_000)
    assert in_thread(10) == 11


def test_every_call_is_fresh(made: Path) -> None:
    calls = udfvm.from_elf(made, "calls")
    assert [calls(0), calls(0)] == [1, 1]
    assert calls(pa.array([0, 0, 0], pa.int32())).to_pylist() == [1, 2, 3]


def test_sql(made: Path) -> None:
    connection = apsw.Connection(":memory:")
    rows = udfvm.from_elf(made, "calls", isolation="row", name="rows")
    udfvm.sqlite.register(
        connection,
        *(
            udfvm.from_elf(made, name)
            for name in ("score", "twice", "calls", "root", "crash_write")
        ),
        rows,
    )
    connection.execute(
        "CREATE TABLE t AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x <"
        " 20) SELECT x FROM n"
    )
    found = connection.execute(
        "SELECT score(12, 300), twice('ab'), score(NULL, 1), vm_udf('score', 1, 0)"
    ).fetchall()
    assert found == [(4.0, "abab", None, None)]
    assert [x for (x,) in connection.execute("SELECT calls(x) FROM t")] == list(range(1, 21))
    assert {x for (x,) in connection.execute("SELECT rows(x) FROM t")} == {1}
    with pytest.raises(apsw.SQLError, match="row 10: RuntimeError: no root of -1"):
        connection.execute("SELECT root(10 - x) FROM t").fetchall()
    with pytest.raises(apsw.SQLError, match=r"(?s)SIGSEGV.*inner\+0x"):
        connection.execute("SELECT crash_write(0)").fetchall()
    assert connection.execute("SELECT score(12, 300)").fetchall() == [(4.0,)]


def test_arrow(made: Path) -> None:
    udf = udfvm.from_elf(made, "score", name="native_score")
    udfvm.arrow.register(None, udf)
    assert pc.call_function(
        "native_score", [pa.array([12.0, None]), pa.array([300.0, 1.0])]
    ).to_pylist() == [4.0, None]


def test_pickle(made: Path) -> None:
    assert pickle.loads(pickle.dumps(udfvm.from_elf(made, "score")))(12.0, 300.0) == 4.0


def test_what_cannot_be_a_udf(made: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.SignatureError, match=r"no function nothing"):
        udfvm.from_elf(made, "nothing")
    with pytest.raises(errors.SignatureError, match="pass signature="):
        udfvm.from_elf(made, "plain_score")
    with pytest.raises(errors.SignatureError, match="2 parameters where the signature declares 1"):
        udfvm.from_elf(made, "score", signature="(f64) -> f64")
    with pytest.raises(errors.SignatureError, match="dep_delay is declared"):
        udfvm.from_elf(made, "score", signature="(dep_delay: i64, distance: f64) -> f64?")
    with pytest.raises(errors.SignatureError, match="plain C function takes and returns no nulls"):
        udfvm.from_elf(made, "plain_score", signature="(f64, f64?) -> f64")
    with pytest.raises(errors.SignatureError, match="no function nothing"):
        udfvm.from_elf(made, "nothing", signature="(f64) -> f64")
    (tmp_path / "junk.so").write_bytes(b"\x7fELF" + bytes(range(256)) * 20)
    with pytest.raises(errors.SignatureError, match=r"^UDF '\w+': (?!ImportError)"):
        udfvm.from_elf(tmp_path / "junk.so", "score")
    with pytest.raises(errors.BuildError, match="does not compile"):
        udfvm.from_c("int score(", "score")


@pytest.mark.parametrize(
    "text",
    [
        "f64 -> f64",
        "(f65) -> f64",
        "(a: f64, a: f64) -> f64",
        "(f64) ->",
        "(1a: f64) -> f64",
        "(null) -> f64",
    ],
)
def test_signatures_that_are_none(text: str) -> None:
    with pytest.raises(errors.SignatureError):
        parse_signature("score", text)
