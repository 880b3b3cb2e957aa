"""Makes compilers whose programs run with C libraries since glibc 2.28: those of manylinux_2_28.

They are the machine's gcc and g++, with other headers and libraries of C, which Zig has for every
version of glibc. Of C++ they see what libstdc++ had in 2018; what is newer and is used comes from
the static library, hidden. So objects of C++ are still shared with other libraries. This is what
the compiler of the image manylinux_2_28 does.

Usage: python -m build_native.oldest_c_library FOLDER, and FOLDER/bin belongs on PATH.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

GLIBC = (2, 28)
# What the policy manylinux_2_28 allows, and nothing newer.
NEWEST_OF_CXX = {"GLIBCXX_3.4": 24, "CXXABI_1.3": 11}
KINDS = {"FUNC": "function", "OBJECT": "object", "TLS": "tls_object"}
SECTIONS = {"FUNC": ".text", "OBJECT": ".data", "TLS": '.tbss,"awT",@nobits'}
COMPILERS = ("gcc", "cc", "g++", "c++")

# The machine's headers that are wanted beside those of C. Zig's of the kernel are newer than any.
OTHER_HEADERS = ("sqlite3.h", "sqlite3ext.h", "x86_64-linux-gnu/python3.*")
HEADERS = ("x86-linux-gnu", "generic-glibc", "x86-linux-any", "any-linux-any")
# Headers that later versions of glibc brought, and whose mere presence C++ asks for.
NEWER_HEADERS = ("sys/single_threaded.h",)


def main(folder: str) -> None:
    """Makes the folder. Whatever is in it goes."""
    made = Path(folder).resolve()
    shutil.rmtree(made, ignore_errors=True)
    (made / "lib").mkdir(parents=True)
    (made / "bin").mkdir()
    copy_headers(made / "usr" / "include")
    make_c_library(made / "lib")
    make_library_of_cxx(made / "lib")
    for name in COMPILERS:
        make_compiler(made, name)


def run(*command: str | Path) -> str:
    """Runs a program. Returns its output, or ends with its errors."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))}:\n{done.stdout}")
    return done.stdout


def copy_headers(include: Path) -> None:
    """Puts Zig's headers of glibc and of the kernel into one folder, and the others beside them."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        sys.exit("Zig is not installed: pip install ziglang")
    zig = Path(found.origin).parent / "lib" / "libc" / "include"
    for each in reversed(HEADERS):  # the first has precedence
        shutil.copytree(zig / each, include, dirs_exist_ok=True)
    for each in NEWER_HEADERS:
        (include / each).unlink()
    machine = Path("/usr/include")
    for pattern in OTHER_HEADERS:
        for path in machine.glob(pattern):
            link = include / path.relative_to(machine)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path)


def make_c_library(lib: Path) -> None:
    """Lets Zig make what programs are linked with: libraries that have the symbols of the version
    and no code. They are what it links a program with, of either kind.
    """
    program = lib / "program.c"
    program.write_text("int main(void) { return 0; }\n")
    target = "x86_64-linux-gnu.{}.{}".format(*GLIBC)
    command = [sys.executable, "-m", "ziglang", "build-exe", "-lc", "-target", target]
    for kind in ("-fno-PIE", "-fPIE"):
        linked = run(*command, kind, "--verbose-link", program, f"-femit-bin={lib / 'program'}")
        for path in re.findall(r"\S+/(?:lib\w+\.so\.\d+|S?crt1\.o|libc_nonshared\.a)\b", linked):
            shutil.copy(path, lib)
    for path in lib.glob("*.so.*"):
        (lib / f"{path.name.partition('.so.')[0]}.so").symlink_to(path.name)
    (lib / "libc.so").unlink()
    (lib / "libc.so").write_text("INPUT(libc.so.6 libc_nonshared.a AS_NEEDED(libld.so.2))\n")


def make_library_of_cxx(lib: Path) -> None:
    """Makes a libstdc++.so.6 that has the symbols of 2018 and no code. What it lacks, the static
    library has.
    """
    of_machine = run("g++", "-print-file-name=libstdc++.so.6").strip()
    shutil.copy(run("g++", "-print-file-name=libstdc++.a").strip(), lib)
    versions: dict[str, str] = {}
    lines: list[str] = []
    for symbol, version, kind, size in old_symbols(run("readelf", "-W", "--dyn-syms", of_machine)):
        versions.setdefault(version, "")
        versions[version] += f" {symbol};"
        lines += [f".section {SECTIONS[kind]}", f".globl {symbol}", f".size {symbol},{size}"]
        lines += [f".type {symbol},@{KINDS[kind]}", f"{symbol}:"]
    assembly, script = lib / "cxx.s", lib / "cxx.map"
    assembly.write_text("\n".join([*lines, ""]))
    script.write_text("".join(f"{each} {{{names} }};\n" for each, names in versions.items()))
    library = lib / "libstdc++.so.6"
    run("gcc", "-shared", "-nostdlib", f"-Wl,--version-script={script}",
        "-Wl,-soname,libstdc++.so.6", assembly, "-o", library)  # fmt: skip
    (lib / "libstdc++.so").write_text("INPUT(libstdc++.so.6 libstdc++.a)\n")


def old_symbols(listing: str) -> list[tuple[str, str, str, int]]:
    """Returns each symbol that was there in 2018, with the newest version that it had then, its
    kind and its size.
    """
    found: dict[str, tuple[int, str, str, int]] = {}
    pattern = r"\d+: \w+ +(\w+) (\w+) +\w+ +DEFAULT +\w+ (\w+)@+((\w+\.\d+)(?:\.(\d+))?)$"
    for line in listing.splitlines():
        match = re.search(pattern, line)
        if match is None:
            continue
        size, kind, symbol, version, family, number = match.groups()
        age = int(number or 0)
        if symbol == version or kind not in KINDS:
            continue
        if age > NEWEST_OF_CXX.get(family, -1) or age < found.get(symbol, (0,))[0]:
            continue
        found[symbol] = (age, version, kind, int(size, 0))
    return [(symbol, version, kind, size) for symbol, (_, version, kind, size) in found.items()]


def make_compiler(made: Path, name: str) -> None:
    """Writes a script that calls a compiler of the machine."""
    compiler = shutil.which(name)
    if compiler is None:
        sys.exit(f"{name} is not installed.")
    options = [f"--sysroot={made}", f"-B{made}/lib/", f"-D__GLIBC_MINOR__={GLIBC[1]}"]
    # The machine's libgcc_s.so is of its own C library.
    options += ["-Wl,--exclude-libs,libstdc++.a", "-Wl,--allow-shlib-undefined"]
    script = made / "bin" / name
    script.write_text(f'#!/bin/sh\nexec {shlex.join([compiler, *options])} "$@"\n')
    script.chmod(0o755)


if __name__ == "__main__":
    main(*sys.argv[1:])
