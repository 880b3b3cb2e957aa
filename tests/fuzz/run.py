"""Runs the fuzzers: see docs/fuzzing.md. Prints how many inputs each ran, how many edges of the
code these reached, and how many lines of each parser. A crash leaves its input.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz_programs import (
    FOLDERS,
    FUZZ,
    ROOT,
    Fuzzers,
    Target,
    c_targets,
    clang,
    covering,
    fuzzing,
    parsers,
    targets,
)
from recorded import Ran, read, write

WORK = ROOT / "build" / "fuzz"
MAX_BYTES = 4096  # of an input
TICKS = os.sysconf("SC_CLK_TCK")  # a second of processor time, in /proc
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(FUZZ.parent),
    "ASAN_OPTIONS": "allocator_may_return_null=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class Result(NamedTuple):
    target: Target
    seconds: float  # of processor time
    executions: int
    edges: int
    crash: str  # the command that repeats it; empty: none


def command(target: Target, programs: dict[Target, Path]) -> list[str]:
    if target.folder == "python":
        return [sys.executable, str(FUZZ / "drive.py"), target.name]
    return [str(programs[target])]


def last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text)
    return found[-1] if found else ""


def found_folder(target: Target) -> Path:
    folder = WORK / "found" / target.folder / target.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def inputs(target: Target) -> list[Path]:
    """Folders of what was found, which the fuzzer adds to, and of the corpus in the tree."""
    folder = WORK / "corpus" / target.folder / target.name
    shutil.rmtree(folder, ignore_errors=True)
    return [found_folder(target), target.unpack(folder)]


def processor_time(process: subprocess.Popen[bytes]) -> float:
    """Returns the seconds of processor time that a process had until now."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run_for(process: subprocess.Popen[bytes], seconds: int) -> float:
    """Ends a fuzzer when it had its time of a processor, however busy the machine is; one that
    crashes, or hangs in an input, ends by itself. Returns the time that it had.
    """
    took = 0.0
    while took < seconds:
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            took = processor_time(process)
        else:
            return took
    process.send_signal(signal.SIGUSR1)  # after which libFuzzer prints what it did
    process.wait()
    return took


def fuzz(target: Target, seconds: int, program: list[str]) -> Result:
    crashes = WORK / "crashes"
    crashes.mkdir(parents=True, exist_ok=True)
    prefix = f"{crashes}/{target.folder}-{target.name}-"
    options = [
        f"-max_len={MAX_BYTES}",
        "-timeout=60",
        "-print_final_stats=1",
        f"-artifact_prefix={prefix}",
    ]
    corpora = map(str, inputs(target))
    log = WORK / f"{target.folder}-{target.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*program, *options, *corpora], stdout=output, stderr=output, env=ENVIRONMENT
        )
        took = run_for(process, seconds)
    text = log.read_text(errors="replace")
    executions = last(r"number_of_executed_units: (\d+)", text) or last(r"Done (\d+) runs", text)
    executions = executions or last(r"(?m)^#(\d+)\t", text)
    edges = last(r"cov: (\d+)", text)
    written = last(r"Test unit written to (\S+)", text)
    if not process.returncode:
        crash = ""  # libFuzzer also writes inputs that took long, as beside other programs
    elif written:
        crash = shlex.join(["env", f"PYTHONPATH={FUZZ.parent}", *program, written])
    else:
        crash = f"(see {log})"
    return Result(target, took, int(executions or 0), int(edges or 0), crash)


def keep(target: Target, program: list[str]) -> None:
    """Replaces the corpus in the tree: by the fewest inputs that reach as much. atheris cannot tell
    which these are; it has found each because it reached more.
    """
    if target.folder == "python":
        found = [path for folder in inputs(target) for path in folder.iterdir()]
        target.pack({path.read_bytes() for path in found if path.stat().st_size <= MAX_BYTES})
        return
    made = WORK / "minimal" / target.folder / target.name
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    options = ["-merge=1", f"-max_len={MAX_BYTES}"]
    subprocess.run(
        [*program, *options, made, *inputs(target)],
        check=True,
        capture_output=True,
        env=ENVIRONMENT,
    )
    target.pack(path.read_bytes() for path in made.iterdir())


# ---- Coverage ----


def cover(compiler: str, chosen: Iterable[Target]) -> dict[Path, tuple[int, int]]:
    """Lines of each file in C that ran, and all."""
    suffix = compiler.removeprefix("clang")
    profdata, cov = f"llvm-profdata{suffix}", f"llvm-cov{suffix}"
    if not (shutil.which(profdata) and shutil.which(cov)):
        print(f"(no lines: {profdata} and {cov} are not installed)")
        return {}
    folder = WORK / "cover"
    programs = Fuzzers(folder, covering(compiler)).build()
    profiles = []
    for target in chosen:
        profile = folder / f"{target.folder}-{target.name}.profraw"
        environment = {**ENVIRONMENT, "LLVM_PROFILE_FILE": str(profile)}
        subprocess.run([programs[target], *inputs(target)], env=environment, capture_output=True)
        profiles.append(profile)
    merged = folder / "merged.profdata"
    subprocess.run([profdata, "merge", "-sparse", *profiles, "-o", merged], check=True)
    objects = [word for program in programs.values() for word in ("-object", program)]
    report = subprocess.run(
        [cov, "export", "-format=lcov", f"-instr-profile={merged}", *objects[1:]],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = {}
    for record in report.split("end_of_record"):
        path = re.search(r"SF:(.+)", record)
        hit, whole = re.search(r"LH:(\d+)", record), re.search(r"LF:(\d+)", record)
        if path and hit and whole:
            lines[Path(path[1])] = (int(hit[1]), int(whole[1]))
    return lines


def cover_python(chosen: Iterable[Target]) -> dict[Path, tuple[int, int]]:
    """The same of Python: of what the corpora of all reach together."""
    names = [target.name for target in chosen]
    files = [str(path) for path in parsers() if path.suffix == ".py"]
    folders = [str(path) for target in chosen for path in inputs(target)]
    if not names:
        return {}
    done = subprocess.run(
        [sys.executable, FUZZ / "lines.py", ",".join(names), ",".join(files), *folders],
        check=True,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    rows = [line.rsplit(" ", 2) for line in done.stdout.splitlines()]
    return {Path(path): (int(hit), int(whole)) for path, hit, whole in rows}


def print_lines(lines: dict[Path, tuple[int, int]], chosen: Iterable[Target]) -> None:
    titles = {target.title for target in chosen}
    print(f"\n{'parser':56} {'lines':>11}")
    for path, names in parsers().items():
        if path in lines and titles & set(names):
            hit, whole = lines[path]
            share = f"{hit / whole:6.0%}" if whole else ""
            print(f"{path.relative_to(ROOT)!s:56} {f'{hit}/{whole}':>11} {share}")


# ---- The command ----


def record(result: Result) -> None:
    """Adds what a fuzzer did to the table of docs/fuzzing.md."""
    page = ROOT / "docs" / "fuzzing.md"
    text = page.read_text()
    ran = read(text)
    before = ran.get(result.target.title, Ran(0.0, 0, 0))
    ran[result.target.title] = before.then(result.seconds, result.executions, result.edges)
    page.write_text(write(text, ran))


def choose(names: list[str]) -> list[Target]:
    every = [*c_targets(), *targets("python")]
    chosen = [target for target in every if not names or target.title in names]
    unknown = set(names) - {target.title for target in chosen}
    if unknown:
        sys.exit(f"no such fuzzer: {', '.join(sorted(unknown))}")
    if any(target.folder == "python" for target in chosen) and not has_atheris():
        print("(without those in Python: they need atheris, pip install -e '.[fuzz]')")
        chosen = [target for target in chosen if target.folder != "python"]
    return chosen


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def report(result: Result) -> None:
    title, crash = result.target.title, f"  CRASH: {result.crash}" if result.crash else ""
    print(f"{title:28} {result.executions:>12,} {result.edges:>8,}{crash}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=int, help="of processor time for each fuzzer")
    parser.add_argument("names", nargs="*", help="of fuzzers, such as core/images; all without")
    parser.add_argument("--keep", action="store_true", help="replace the corpora in the tree")
    parser.add_argument("--record", action="store_true", help="add to the table of hours")
    given = parser.parse_intermixed_args()
    compiler = clang()
    chosen = choose(given.names)
    if compiler is None:
        sys.exit("fuzzing needs clang with libFuzzer: apt-get install -y clang llvm")
    programs = Fuzzers(WORK / "programs", fuzzing(compiler)).build()
    print(f"{'fuzzer':28} {'executions':>12} {'edges':>8}")
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        running = [
            threads.submit(fuzz, target, given.seconds, command(target, programs))
            for target in chosen
        ]
        results = []
        for each in running:
            results.append(each.result())
            report(results[-1])
            if given.record:
                record(results[-1])
        if given.keep:
            list(threads.map(lambda each: keep(each, command(each, programs)), chosen))
    in_c = [target for target in chosen if target.folder in FOLDERS]
    lines = (cover(compiler, in_c) if in_c else {}) | cover_python(
        [each for each in chosen if each not in in_c]
    )
    print_lines(lines, chosen)
    return int(any(result.crash for result in results))


if __name__ == "__main__":
    sys.exit(main())
