"""The fuzzers of tests/fuzz: what each attacks, and how they are compiled.

With clang they are libFuzzer's. gcc makes programs of them that run the inputs that they are given.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
FUZZ: Final = ROOT / "tests" / "fuzz"
CORPUS: Final = FUZZ / "corpus"
CORE: Final = ROOT / "udfvm" / "vmm" / "core"
EXTENSION: Final = ROOT / "udfvm" / "sqlite" / "src"
CALL: Final = ROOT / "udfvm" / "call"
ABI: Final = ROOT / "guest" / "include"
FOLDERS: Final = ("core", "sqlite", "call")
OWN: Final = ("guest", "idle_hypervisor", "input", "sealed", "sql", "replay")  # in all, or some
_FLAGS: Final = ["-std=gnu17", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror"]
_SANITIZERS: Final = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Loops over whole pages, which parse nothing: tracing what they compare takes most of the time.
_UNTRACED: Final = ("pages.c", "sha256.c", "copy.c", "checksum.c")
_COVERAGE: Final = ["-fprofile-instr-generate", "-fcoverage-mapping"]


class Kind(NamedTuple):
    """How programs are made: the compiler, its flags for all files, and those for linking."""

    name: str
    compiler: str
    flags: Sequence[str]
    link: Sequence[str]
    has_driver: bool  # libFuzzer's; else tests/fuzz/replay.c

    def flags_of(self, source: Path) -> list[str]:
        untraced = self.has_driver and source.name in _UNTRACED
        return [*self.flags, *(["-fno-sanitize-coverage=trace-cmp"] if untraced else [])]


def clang() -> str | None:
    """The newest clang that has libFuzzer, by its name."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    found = {"clang"} | {path.name for each in folders for path in Path(each).glob("clang-[0-9]*")}
    names = [name for name in found if re.fullmatch(r"clang(-\d+)?", name)]
    names.sort(key=lambda name: int(name.partition("-")[2] or 1000), reverse=True)
    return next((name for name in names if shutil.which(name) and _has_fuzzer(name)), None)


def _has_fuzzer(compiler: str) -> bool:
    program = "int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }"
    command = [compiler, "-fsanitize=fuzzer", "-x", "c", "-", "-o", os.devnull]
    return not subprocess.run(command, input=program, text=True, capture_output=True).returncode


def fuzzing(compiler: str, level: str = "-O1") -> Kind:
    """libFuzzer's programs. Those that only run a corpus take less to compile than to optimise."""
    flags = [level, "-fsanitize=fuzzer-no-link", *_SANITIZERS]
    return Kind("fuzz", compiler, flags, ["-fsanitize=fuzzer", *_SANITIZERS], True)


def covering(compiler: str) -> Kind:
    """Programs that tell which lines ran."""
    return Kind("cover", compiler, ["-O1", *_COVERAGE], _COVERAGE, False)


REPLAYING: Final = Kind("replay", "gcc", ["-O0", *_SANITIZERS], _SANITIZERS, False)


class Target(NamedTuple):
    """A fuzzer in C, tests/fuzz/FOLDER/NAME.c; or (python) tests/fuzz/python/NAME.py."""

    folder: str
    name: str

    @property
    def path(self) -> Path:
        suffix = ".py" if self.folder == "python" else ".c"
        return FUZZ / self.folder / f"{self.name}{suffix}"

    @property
    def title(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def corpus(self) -> Path:
        """Its inputs, a line of base64 each."""
        return CORPUS / self.folder / f"{self.name}.txt"

    def inputs(self) -> list[bytes]:
        if not self.corpus.is_file():
            return []
        return [base64.b64decode(line) for line in self.corpus.read_text().splitlines()]

    def unpack(self, folder: Path) -> Path:
        """Writes the inputs into a folder, a file each."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(self.inputs()):
            (folder / f"{number:04}").write_bytes(data)
        return folder

    def pack(self, inputs: Iterable[bytes]) -> None:
        """Makes these the corpus."""
        self.corpus.parent.mkdir(parents=True, exist_ok=True)
        lines = sorted(base64.b64encode(data).decode() for data in inputs)
        self.corpus.write_text("".join(f"{line}\n" for line in lines))


def targets(folder: str) -> list[Target]:
    suffix = "py" if folder == "python" else "c"
    return [Target(folder, path.stem) for path in sorted((FUZZ / folder).glob(f"*.{suffix}"))]


def c_targets() -> list[Target]:
    return [target for folder in FOLDERS for target in targets(folder)]


def load(target: Target) -> Any:
    """The module of a fuzzer in Python."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{target.name}", target.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_ROW: Final = re.compile(r"^\| `(udfvm/[^`]+)` \|[^|]+\|([^|]*)\|$", re.MULTILINE)


def parsers() -> dict[Path, list[str]]:
    """The files that docs/fuzzing.md lists, and the fuzzers that it names for each."""
    text = (ROOT / "docs" / "fuzzing.md").read_text()
    return {ROOT / path: re.findall(r"`([^`]+)`", names) for path, names in _ROW.findall(text)}


def run(*command: str | Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, " ".join(words) + done.stdout + done.stderr
    return done.stdout


def sources() -> list[Path]:
    """All that the programs are made of."""
    folders = (CORE, EXTENSION, CALL, ABI, FUZZ)
    found = [path for folder in folders for path in folder.rglob("*.[chS]")]
    return sorted([*found, Path(__file__), ROOT / "udfvm" / "types" / "type_names.py"])


def digest() -> str:
    made = hashlib.sha256()
    for path in sources():
        made.update(f"{path} ".encode() + path.read_bytes())
    return made.hexdigest()[:20]


class Fuzzers:
    """The programs of a kind, in a folder. Objects are compiled once."""

    def __init__(self, folder: Path, kind: Kind, core: Iterable[Path] | None = None) -> None:
        """``core``: objects of the core that were compiled already, but for those of KVM."""
        self.folder = folder
        self.kind = kind
        self._core = core

    @staticmethod
    def program(folder: Path, target: Target) -> Path:
        """Where that of a fuzzer is."""
        return folder / f"{target.folder}-{target.name}"

    def build(self) -> dict[Target, Path]:
        """Builds all, unless they are of the sources as they are now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made_of = self.folder / "digest"
        if made_of.is_file() and made_of.read_text() == digest():
            return {target: self.program(self.folder, target) for target in c_targets()}
        names = self.folder / "sql_type_names.h"
        script = ROOT / "build_native" / "sqlite_type_names.py"
        run(sys.executable, script, ROOT / "udfvm" / "types" / "type_names.py", names)
        core = [path for path in sorted(CORE.rglob("*.[cS]")) if path.parent.name != "kvm"]
        parts = {
            "core": [] if self._core is not None else core,
            "sqlite": sorted(EXTENSION.rglob("*.c")),
            "call": [CALL / "number_replies.c", CALL / "arrow_arrays.c"],
            "own": [FUZZ / f"{name}.c" for name in OWN],
            "targets": [target.path for target in c_targets()],
        }
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            made = {
                part: [threads.submit(self._compile, path) for path in paths]
                for part, paths in parts.items()
            }
            objects = {part: [each.result() for each in files] for part, files in made.items()}
            objects["core"] += self._core or []
            linked = [
                threads.submit(self._link, target, objects, own)
                for target, own in zip(c_targets(), objects["targets"], strict=True)
            ]
            made_programs = [each.result() for each in linked]
        made_of.write_text(digest())
        return dict(zip(c_targets(), made_programs, strict=True))

    def _compile(self, source: Path) -> Path:
        made = self.folder / (str(source.relative_to(ROOT)).replace("/", "-") + ".o")
        includes = [self.folder, CORE, ABI, EXTENSION, CALL, FUZZ]
        includes.append(Path(sysconfig.get_paths()["include"]))
        words = [word for path in includes for word in ("-I", path)]
        run(
            self.kind.compiler,
            *_FLAGS,
            *self.kind.flags_of(source),
            *words,
            "-c",
            source,
            "-o",
            made,
        )
        return made

    def _link(self, target: Target, objects: dict[str, list[Path]], own: Path) -> Path:
        made = self.program(self.folder, target)
        *guest, sql, replay = objects["own"]
        parts: list[Path | str] = [own, *guest, *objects["core"]]
        if target.folder == "sqlite":
            parts += [sql, *objects["sqlite"], "-lsqlite3"]
        elif target.folder == "call":  # what calls Python is not called
            unresolved = ["-Wl,--unresolved-symbols=ignore-all", "-Wl,-z,lazy", "-no-pie"]
            parts += [*objects["call"], *unresolved]
        if not self.kind.has_driver:
            parts.append(replay)
        if target.name == "jail":
            parts += [f"-Wl,--wrap=udfvm_{each}" for each in ("warden_start", "cell_freeze")]
        run(self.kind.compiler, *self.kind.link, *parts, "-lpthread", "-o", made)
        return made


def core_objects(folder: Path) -> list[Path]:
    """Of the core as tests/core_programs.py compiled it into a folder, those that are not KVM's."""
    return [
        folder / f"{number:03}.o"
        for number, source in enumerate(sorted(CORE.rglob("*.[cS]")))
        if source.parent.name != "kvm"
    ]
