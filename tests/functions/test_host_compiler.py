"""The host's compiler, as ``from_c`` runs it: words in their places, and none that outlives its
time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import udfvm
from udfvm import errors
from udfvm.functions.source_language import compiler_for, is_cpp

CHECKSUM = """
#include <udfvm.h>
#include <zlib.h>
UDFVM_SCALAR(checksum, i64, (text, value))
{
    return crc32(0, (const unsigned char *)value.data, value.length);
}
"""
CALLER = "int helper(int);\nint caller(int x) { return helper(x) + 1; }"


@pytest.fixture
def helper(tmp_path: Path) -> Path:
    subprocess.run(
        ["gcc", "-x", "c", "-c", "-fPIC", "-o", str(tmp_path / "helper.o"), "-"],
        input="int helper(int x) { return 10 * x; }", text=True, check=True,
    )  # fmt: skip
    return tmp_path


def test_libraries_are_linked() -> None:
    import zlib

    made = udfvm.from_c(CHECKSUM, "checksum", flags=["-lz"])
    assert made("hello") == zlib.crc32(b"hello")


@pytest.mark.parametrize("compiler", [("gcc",), ("gcc", "-x", "c"), ("c++",)])
def test_objects_are_linked_as_what_they_are(helper: Path, compiler: tuple[str, ...]) -> None:
    source = CALLER if "gcc" in compiler else f'extern "C" {{ {CALLER} }}'
    made = udfvm.from_c(
        source,
        "caller",
        signature="(i32) -> i32",
        compiler=compiler,
        flags=[str(helper / "helper.o")],
    )
    assert made(4) == 41


def test_a_language_among_the_flags_is_that_of_the_source(helper: Path) -> None:
    made = udfvm.from_c(
        f'extern "C" {{ {CALLER} }}\ntemplate <class T> T same(T x) {{ return x; }}',
        "caller",
        signature="(i32) -> i32",
        compiler=["gcc", "-x", "c"],
        flags=["-x", "c++", str(helper / "helper.o")],
    )
    assert made(4) == 41


def test_paths_are_relative_to_the_present_directory(
    helper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(helper)
    (helper / "include").mkdir()
    (helper / "include" / "ten.h").write_text("#define TEN 10\n")
    made = udfvm.from_c(
        "#include <ten.h>\nint helper(int);\nint caller(int x) { return helper(x) + TEN; }",
        "caller",
        signature="(i32) -> i32",
        flags=["-Iinclude", "helper.o"],
    )
    assert made(4) == 50


def test_the_same_source_makes_the_same_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = udfvm.from_c(
        CALLER + "\nint helper(int x) { return x; }", "caller", signature="(i32) -> i32"
    )
    monkeypatch.chdir(tmp_path)
    two = udfvm.from_c(
        CALLER + "\nint helper(int x) { return x; }", "caller", signature="(i32) -> i32"
    )
    assert one._program.code == two._program.code  # type: ignore[attr-defined]


def test_a_compiler_that_does_not_end(tmp_path: Path) -> None:
    script = tmp_path / "compiler"
    script.write_text(f"#!/bin/sh\nsleep 100000 &\necho $! > {tmp_path}/child\nwait\n")
    script.chmod(0o755)
    with pytest.raises(errors.BuildError, match=r"did not end within 0\.5 s: raise build_timeout="):
        udfvm.from_c("", "f", signature="(i32) -> i32", compiler=[str(script)], build_timeout=0.5)
    child = int((tmp_path / "child").read_text())
    assert _ends(child)


def _ends(process: int) -> bool:
    """Whether a process that a compiler started ends."""
    for _ in range(1000):
        if not _runs(process):
            return True
        time.sleep(0.02)
    return False


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compiler": ["/nowhere/cc"]}, "the compiler /nowhere/cc does not start"),
        ({"flags": ["a\0b"]}, "does not start"),
        ({"compiler": ["true"]}, "succeeded but made no shared object"),
        ({"compiler": ["sh", "-c", "kill -9 $$"]}, "signal 9 ended the compiler"),
        ({"compiler": ["sh", "-c", "printf '\\033[31mred' >&2; exit 1"]}, r"\\x1b\[31mred"),
        ({"flags": ["-lnothing_of_that_name"]}, "(?s)does not compile.*nothing_of_that_name"),
    ],
)
def test_what_cannot_be_run(options: dict[str, object], message: str) -> None:
    with pytest.raises(errors.BuildError, match=message):
        udfvm.from_c("int f(int x) { return x; }", "f", signature="(i32) -> i32", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compiler": []}, "compiler= is empty"),
        ({"compiler": "gcc"}, "lists of texts; got 'gcc'"),
        ({"flags": "-lz"}, "lists of texts; got '-lz'"),
        ({"flags": [1]}, "lists of texts; got 1 in one"),
        ({"flags": None}, "lists of texts; got None"),
    ],
)
def test_what_is_no_command(options: dict[str, object], message: str) -> None:
    with pytest.raises(errors.OptionError, match=message):
        udfvm.from_c("int f(int x) { return x; }", "f", signature="(i32) -> i32", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("makes", ["mkfifo", "mkdir", "ln -s /etc/passwd"])
def test_a_compiler_that_makes_something_else(tmp_path: Path, makes: str) -> None:
    script = tmp_path / "compiler"
    script.write_text(f'#!/bin/bash\n{makes} "${{@: -1}}"\n')
    script.chmod(0o755)
    with pytest.raises(errors.BuildError, match="made no shared object"):
        udfvm.from_c("", "f", signature="(i32) -> i32", compiler=[str(script)])


def test_what_a_compiler_says_has_a_bound(tmp_path: Path) -> None:
    script = tmp_path / "compiler"
    script.write_text(
        "#!/bin/sh\necho first >&2\nyes | head -c 300000000 >&2\necho last >&2\nexit 1\n"
    )
    script.chmod(0o755)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        errors.BuildError, match=r"(?s)first.*of 300000011 are left out.*last$"
    ) as raised:
        udfvm.from_c("", "f", signature="(i32) -> i32", compiler=[str(script)])
    assert len(str(raised.value)) < 70 << 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_compiler_that_does_not_read_and_leaves_something_behind(tmp_path: Path) -> None:
    script = tmp_path / "compiler"
    script.write_text(
        f"#!/bin/sh\nexec 0<&-\nsleep 100000 &\necho $! > {tmp_path}/child\necho said >&2\nexit 4\n"
    )
    script.chmod(0o755)
    with pytest.raises(errors.BuildError, match="does not compile as C\nsaid"):
        udfvm.from_c(
            "/" * (8 << 20),
            "f",
            signature="(i32) -> i32",
            compiler=[str(script)],
            build_timeout=None,
        )
    child = int((tmp_path / "child").read_text())
    assert _ends(child)


@pytest.mark.parametrize(
    ("source", "error"),
    [(b"int f;", errors.OptionError), ("int f; //\udc80", errors.BuildError)],
)
def test_a_source_that_is_no_text(source: object, error: type[errors.Error]) -> None:
    with pytest.raises(error, match="source"):
        udfvm.from_c(source, "f", signature="(i32) -> i32")  # type: ignore[arg-type]


@pytest.mark.parametrize("declare", [udfvm.from_elf, udfvm.from_wasm])
def test_code_is_read_of_files_alone(tmp_path: Path, declare: Callable[..., object]) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(errors.SignatureError, match="not a regular file"):
            declare(path, "f")
    with open(tmp_path / "large", "wb") as large:
        large.truncate(1 << 40)
    with pytest.raises(errors.SignatureError, match="strip it"):
        declare(tmp_path / "large", "f")
    with pytest.raises(FileNotFoundError):
        declare(tmp_path / "none", "f")


def test_a_missing_symbol_is_told_at_the_declaration() -> None:
    with pytest.raises(errors.SignatureError, match="undefined symbol: helper"):
        udfvm.from_c(CALLER, "caller", signature="(i32) -> i32")


def test_loading_has_build_timeout(tmp_path: Path) -> None:
    source = """
        __attribute__((constructor)) static void begin(void) { for (;;) __asm__ volatile(""); }
        int f(int x) { return x; }
    """
    udfvm.from_c(
        "int f(int x) { return x; }", "f", signature="(i32) -> i32"
    ).prepare()  # the base image is built
    subprocess.run(
        ["gcc", "-x", "c", "-shared", "-fPIC", "-o", str(tmp_path / "f.so"), "-"],
        input=source,
        text=True,
        check=True,
    )
    with pytest.raises(
        errors.BuildError, match=r"not ready within 0\.5 s, .*: raise build_timeout="
    ):
        udfvm.from_elf(tmp_path / "f.so", "f", signature="(i32) -> i32", build_timeout=0.5)


def test_python_functions_have_build_timeout() -> None:
    def ends() -> int:
        return 1

    def spins() -> int:
        while True:
            pass

    udfvm.udf(ends).prepare()  # the base image is built
    with pytest.raises(errors.BuildError, match=r"not ready within 1 s, .*: raise build_timeout="):
        udfvm.udf(spins, sample=(), build_timeout=1).prepare()


@pytest.mark.parametrize(
    ("source", "cpp"),
    [
        ("#include <vector>\n", True),
        ("#  include  <Eigen/Dense>", True),
        ("int f() { return std::max(1, 2); }", True),
        ("using namespace a;", True),
        ("namespace a::b {\n}", True),
        ("template <class T> T same(T x);", True),
        ("class point final : base { };", True),
        ('extern "C" int f(void) { return 0; }', True),
        ("int f() { return static_cast<int>(2.5); }", True),
        ("#include <udfvm.h>\n#include <sys/types.h>\nint f(void);", False),
        ("// std::vector, #include <vector>\n/* template <class T>\nstd:: */ int class;", False),
        ('const char *a = "std::\\"string";\nchar b = \'"\';\nint std;', False),
        ('#ifdef __cplusplus\nextern "C"\n#endif\nint f(void) { return 0; }', False),
        ("int template(int a, int b) { return a < b; }", False),
    ],
)
def test_a_source_says_that_it_is_cpp(source: str, cpp: bool) -> None:
    assert is_cpp(source) == cpp
    assert compiler_for("f", source, None, None, []).command[0] == ("g++" if cpp else "gcc")


@pytest.mark.parametrize(
    ("language", "compiler", "flags", "expected"),
    [
        ("c", None, [], "c"),
        ("c++", ["gcc"], [], "c++"),
        (None, ["gcc"], [], "c"),
        (None, ["/usr/bin/x86_64-linux-gnu-g++-12", "-O1"], [], "c++"),
        (None, ["python", "-m", "ziglang", "c++"], [], "c++"),
        (None, ["g++", "-x", "c"], [], "c"),
        (None, ["clang++"], ["-x", "objective-c"], "objective-c"),
        (None, None, ["-x", "c"], "c"),
    ],
)
def test_the_language_that_is_said(
    language: str | None, compiler: list[str] | None, flags: list[str], expected: str
) -> None:
    assert compiler_for("f", "#include <vector>", language, compiler, flags).language == expected


def test_a_machine_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for source, message in (
        ("#include <vector>", r"its source is C\+\+, and this machine has no g\+\+"),
        ("", "its source is C, and this machine has no gcc, which compiles that: install it"),
    ):
        with pytest.raises(errors.BuildError, match=f"UDF 'f': {message}"):
            udfvm.from_c(source, "f")
    with pytest.raises(errors.OptionError, match=r"language='rust' must be 'c' or 'c\+\+'"):
        udfvm.from_c("", "f", language="rust")  # type: ignore[arg-type]
    with pytest.raises(errors.OptionError, match=r"must be the text of a source; got 'a\.cc'"):
        udfvm.from_c("a.cc", "f")


CPP_WITHOUT_MARKS = """
#include <udfvm.h>

static void double_it(int64_t &number) { number *= 2; }

UDFVM_SCALAR(twice, i64, (i64, number))
{
    auto more = [](int64_t given) { return given + 1; };
    double_it(number);
    return more(number);
}
"""


def test_a_source_that_does_not_compile_as_c_may_be_cpp() -> None:
    assert udfvm.from_c(CPP_WITHOUT_MARKS, "twice")(4) == 9
    with pytest.raises(errors.BuildError, match="does not compile as C\n"):
        udfvm.from_c(CPP_WITHOUT_MARKS, "twice", language="c")
    with pytest.raises(errors.BuildError, match="does not compile as C, nor as C") as caught:
        udfvm.from_c("int f(int x) { return nothing; }", "f", signature="(x: i32) -> i32")
    assert "nothing" in str(caught.value)
