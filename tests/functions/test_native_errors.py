"""Native programs that fail: backtraces, exceptions of C++, programs that never serve."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from native_programs import LINKS, SOURCE, build

import udfvm
from udfvm import errors


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
        __attribute__((noinline)) static int64_t innermost(int64_t at)
        {
            return *(volatile int8_t *)at + 1;
        }
        __attribute__((noinline)) static int64_t between(int64_t at) { return innermost(at) * 3; }
        UDFVM_SCALAR(crashes, i64, (i64, at)) { return between(at) - 1; }
        UDFVM_MAIN
    """
    crashes = udfvm.from_elf(build(tmp_path, LINKS["static, fixed"], source, *flags), "crashes")
    with pytest.raises(udfvm.GuestCrashError, match=rf"(?s){frames}\S* \(udf\)\nRegisters:"):
        crashes(24)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("link", [["-static"], ["-pie", "-fPIE"]], ids=["static", "dynamic"])
def test_exceptions_of_cplusplus(tmp_path: Path, link: list[str]) -> None:
    source = r"""
        #include <udfvm.h>
        #include <stdexcept>
        #include <string>
        static double root(double value)
        {
            if (value < 0)
                throw std::domain_error("no root of " + std::to_string(value));
            return value;
        }
        UDFVM_SCALAR(checked, f64, (f64, value))
        {
            try {
                return root(value);
            } catch (const std::exception &error) {
                udfvm_fail("%s", error.what());
                return 0;
            }
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


SANITIZED = """
#include <udfvm.h>
UDFVM_SCALAR(next, i32, (i32, value)) { return value + 1; }
UDFVM_MAIN
"""


def sanitized(folder: Path, *command: str) -> Path:
    made = folder / "made"
    done = subprocess.run(
        [*command, "-I", udfvm.get_include(), "-x", "c", "-", "-o", str(made)],
        input=SANITIZED, text=True, capture_output=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"{command[0]} has no {command[1]}")
    return made


@pytest.mark.parametrize("form", [("-shared", "-fPIC"), ("-pie", "-fPIE")], ids=["object", "exe"])
@pytest.mark.parametrize(
    ("compiler", "sanitizer"),
    [
        *(("gcc", sanitizer) for sanitizer in ("address", "thread", "leak")),
        *(("clang", sanitizer) for sanitizer in ("address", "thread", "memory", "dataflow")),
    ],
)
def test_sanitizers_of_memory_and_threads_are_refused(
    tmp_path: Path, compiler: str, sanitizer: str, form: tuple[str, str]
) -> None:
    made = sanitized(tmp_path, compiler, f"-fsanitize={sanitizer}", *form)
    with pytest.raises(
        errors.SignatureError, match=f"is built with -fsanitize={sanitizer}, .*: build it without"
    ):
        udfvm.from_elf(made, "next")


def test_the_sanitizer_of_undefined_behaviour_works(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ("-fsanitize=undefined", "-shared", "-fPIC")
    reports = udfvm.from_elf(sanitized(tmp_path, "gcc", *flags), "next")
    assert (reports(1), capfd.readouterr().err) == (2, "")
    assert reports(2**31 - 1) == -(2**31)
    assert "runtime error: signed integer overflow: 2147483647 + 1" in capfd.readouterr().err
    made = sanitized(tmp_path, "gcc", *flags, "-fsanitize-undefined-trap-on-error")
    traps = udfvm.from_elf(made, "next")
    assert traps(1) == 2
    with pytest.raises(udfvm.GuestCrashError, match=r"(?s)SIGILL.*udfvm_run_next"):
        traps(2**31 - 1)
    made = sanitized(tmp_path, "clang", *flags)
    with pytest.raises(errors.SignatureError, match="build the object with -fsanitize-trap=undef"):
        udfvm.from_elf(made, "next")


@pytest.mark.parametrize("use", EITHER_WAY, ids=["described", "declared"])
def test_programs_that_never_serve(tmp_path: Path, use: Callable[[Path], object]) -> None:
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
        match=r"linked to addresses 0x100000 to .*0x200000 to 0x.*-pie or .*leave out its base",
    ):
        use(build(tmp_path, static, SOURCE, "-Wl,-Ttext-segment=0x100000"))
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


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (
            "(x: i64) ->> i64",
            "is that of a table function, but 'same' is none in the code: use ->",
        ),
        ("(x: list<i64>) -> i64", "x is declared as list<item: int64>, and compiled as i64"),
        (
            "(x: i64) -> decimal128(5, 2)",
            "dates and timestamps, or a function in Python, which has",
        ),
        ("(x: list<time64[us]>) -> i64", "uint8, or a function in Python, which has all types"),
        ("(x: large_list<i64>) -> i64", "use list and struct, or a function in Python, which has"),
    ],
)
def test_types_that_native_code_has_not(signature: str, message: str) -> None:
    source = """
        #include <udfvm.h>
        UDFVM_SCALAR(same, i64, (i64, x)) { return x; }
    """
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_c(source, "same", signature=signature)


@pytest.mark.parametrize("compiler", [("gcc", "-std=gnu17"), ("g++", "-x", "c++", "-std=gnu++20")])
def test_more_parameters_than_the_maximum(compiler: tuple[str, ...]) -> None:
    def source(count: int) -> str:
        names = [f"p{index}" for index in range(count)]
        parameters = ", ".join(f"(i64, {name})" for name in names)
        return (
            '#include "udfvm.h"\n'
            f"UDFVM_SCALAR(total, i64, {parameters}) {{ return {' + '.join(names)}; }}\n"
        )

    total = udfvm.from_c(source(8), "total", compiler=compiler)
    assert total(*range(8)) == 28
    for count in (9, 32):
        with pytest.raises(udfvm.BuildError, match="total has too many parameters: the maximum is"):
            udfvm.from_c(source(count), "total", compiler=compiler)


ENVIRONMENT = """
#include <udfvm.h>

UDFVM_SCALAR(variable, text, (text, name))
{
    char copy[50] = "";
    memcpy(copy, name.data, name.length);
    const char *value = getenv(copy) ? getenv(copy) : "(none)";
    return (udfvm_text){ value, strlen(value) };
}
"""


def test_the_environment() -> None:
    many = {f"MANY{number}": "x" for number in range(30)}
    env = {"HOME": "/nowhere", "LANG": "é=1", **many}
    variable = udfvm.from_c(ENVIRONMENT, "variable", env=env)
    assert variable(pa.array(["HOME", "LANG", "MANY29", "OTHER"])).to_pylist() == [
        "/nowhere",
        "é=1",
        "x",
        "(none)",
    ]
    for wrong, message in (
        ({**env, "MORE": ""}, "env= has 33 variables with .*, more than 32, or than 16 KiB"),
        ({"A": "x" * (16 << 10)}, r"env= has 1 variable with .*, more than 32, or than 16 KiB"),
        ({"A=B": ""}, "env= has 'A=B', which is not the name of a variable"),
        ({"A": 1}, "env= has 1, which is no text"),
        (["A"], "env= must be a mapping"),
    ):
        with pytest.raises(udfvm.OptionError, match=f"UDF 'variable': {message}"):
            udfvm.from_elf(b"", "variable", env=wrong)  # type: ignore[arg-type]


EXCEPTIONS = r"""
#include <udfvm.h>
#include <stdexcept>
#include <vector>

namespace mine {
struct odd : std::runtime_error {
    using runtime_error::runtime_error;
};
struct no_exception {};
}

UDFVM_SCALAR(throws, i64, (i64, how))
{
    if (how == 1)
        return std::vector<int>(3).at((size_t)how + 2);
    if (how == 2)
        throw mine::odd("is odd");
    if (how == 3)
        throw mine::no_exception();
    if (how == 4)
        throw 4;
    return how;
}
UDFVM_VECTOR(throws_whole, i64, (i64, how))
{
    if (result->length > 1)
        throw mine::odd("is long");
    ((int64_t *)result->buffers[1])[0] = ((const int64_t *)arguments[0].buffers[1])[0];
}
"""


@pytest.mark.parametrize(
    ("how", "type_", "message"),
    [
        (1, "std::out_of_range", "vector::_M_range_check"),
        (2, "mine::odd", "is odd"),
        (3, "mine::no_exception", "was thrown, and is no std::exception"),
        (4, "int", "was thrown, and is no std::exception"),
    ],
)
def test_exceptions_of_cpp_are_errors(how: int, type_: str, message: str) -> None:
    throws = udfvm.from_c(EXCEPTIONS, "throws")
    with pytest.raises(udfvm.UDFError, match=f"row 2: {type_}: {message}") as caught:
        throws(pa.array([0, None, how]))
    assert caught.value.guest_type == type_
    assert throws(7) == 7


def test_exceptions_of_whole_columns_are_errors() -> None:
    throws = udfvm.from_c(EXCEPTIONS, "throws_whole")
    with pytest.raises(udfvm.UDFError, match="'throws_whole': mine::odd: is long"):
        throws(pa.array([1, 2]))
    assert throws(7) == 7


FILE_LIMIT = """
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <udfvm.h>

UDFVM_SCALAR(write_some, i64, (i64, length))
{
    static char bytes[100];
    const int file = open("/tmp/file", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 50, 50 });
    write(file, bytes, length);
    return write(file, bytes, 1);
}
"""


def test_a_file_that_exceeds_a_limit_is_the_error() -> None:
    write_some = udfvm.from_c(FILE_LIMIT, "write_some", flags=["-Wno-unused-result"])
    assert write_some(49) == 1
    with pytest.raises(udfvm.GuestCrashError, match=r"\(XFSZ\).*RLIMIT_FSIZE"):
        write_some(50)
    assert write_some(10) == 1
