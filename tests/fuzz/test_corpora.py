"""Every fuzzer is built, and runs on its corpus. Without clang and atheris: see docs/fuzzing.md."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from core_programs import Programs
from fuzz_programs import (
    CORPUS,
    FOLDERS,
    REPLAYING,
    Fuzzers,
    Target,
    c_targets,
    clang,
    core_objects,
    digest,
    fuzzing,
    load,
    parsers,
    run,
    targets,
)

MAX_CORPORA = 300_000  # bytes of all


@pytest.fixture(scope="module")
def programs(kept_folder: Callable[[str], Path]) -> dict[Target, Path]:
    """Of clang where it is installed, else of gcc, with the objects of tests/core."""
    core = Programs(kept_folder("core"))
    compiler = clang()

    def build(folder: Path) -> None:
        if compiler:
            Fuzzers(folder, fuzzing(compiler, "-O0")).build()
        else:
            objects = core.made("core-asan-ubsan", core.compiler("asan-ubsan"))
            Fuzzers(folder, REPLAYING, core_objects(objects)).build()

    made = Programs(kept_folder("fuzz"), digest()).made(f"programs-{compiler}", build)
    return {target: Fuzzers.program(made, target) for target in c_targets()}


@pytest.mark.parametrize("target", c_targets(), ids=lambda target: target.title)
def test_a_parser_in_c_withstands_its_corpus(
    programs: dict[Target, Path], target: Target, tmp_path: Path
) -> None:
    inputs = target.unpack(tmp_path)
    assert any(inputs.iterdir())
    # The largest memory that libFuzzer sees is that of the tests' process, from before execve(2):
    # getrusage(2) keeps it.
    options = ["-runs=0", "-rss_limit_mb=0"] if clang() else []
    run(programs[target], *options, inputs)


@pytest.mark.parametrize("target", targets("python"), ids=lambda target: target.title)
def test_a_parser_in_python_withstands_its_corpus(target: Target) -> None:
    one_input = load(target).one_input
    assert target.inputs()
    for data in target.inputs():
        one_input(data)


def _files_reached(target: Target) -> set[Path]:
    """The files in which its corpus ran a line of a function."""
    one_input, inputs = load(target).one_input, target.inputs()
    reached: set[Path] = set()
    before = sys.gettrace()

    def trace(frame: types.FrameType, _event: str, _argument: object) -> None:
        if frame.f_code.co_name != "<module>":
            reached.add(Path(frame.f_code.co_filename))

    sys.settrace(trace)
    try:
        for data in inputs:
            one_input(data)
    finally:
        sys.settrace(before)
    return reached


@pytest.mark.parametrize("target", targets("python"), ids=lambda target: target.title)
def test_a_corpus_reaches_the_parsers_that_the_table_names_it_for(target: Target) -> None:
    """A fuzzer that takes its inputs apart in another way than before has no use for old ones."""
    named = {
        path
        for path, titles in parsers().items()
        if target.title in titles and path.suffix == ".py"
    }
    assert named
    missed = named - _files_reached(target)
    assert not missed


def test_corpora_are_small_and_of_fuzzers() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_CORPORA
    titles = {target.title for target in [*c_targets(), *targets("python")]}
    assert {str(path.relative_to(CORPUS).with_suffix("")) for path in files} == titles
    assert all(targets(folder) for folder in FOLDERS)
