"""What all commands have in common: JSON, errors on one line, exit codes, completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from udfvm.cli import commands

COMMAND = (sys.executable, "-c", "from udfvm.cli import main; main()")
SOURCE = "import udfvm\n@udfvm.udf\ndef mine() -> int:\n    return 1\n"


def run(
    *arguments: str, cache: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables, **({"UDFVM_CACHE": str(cache)} if cache else {})}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=300, env=environment
    )


def leaves(command: click.Command, path: Sequence[str] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    for name, each in command.commands.items():
        yield from leaves(each, (*path, name))


ALL = dict(leaves(commands))


@pytest.mark.parametrize("command", ALL.values(), ids=ALL)
def test_every_command_has_json_and_traceback(command: click.Command) -> None:
    options = [option for each in command.params for option in each.opts]
    assert options.count("--json") == options.count("--traceback") == 1


def test_commands_say_json(tmp_path: Path) -> None:
    source, cache = tmp_path / "mine.py", tmp_path / "cache"
    source.write_text(SOURCE)
    sealed, archive = tmp_path / "mine.udfvm", tmp_path / "mine.tar"

    def said(*arguments: str) -> object:
        done = run(*arguments, "--json", cache=cache)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return json.loads(done.stdout)

    mine = {"name": "mine", "form": "scalar", "signature": "() -> int"}
    assert said("seal", str(source)) == [{**mine, "replaced": False}]
    assert said("seal", str(source)) == [{**mine, "replaced": True}]
    whole = said("seal", str(source), "--output", str(sealed))
    assert whole == [{**mine, "file": str(sealed)}]
    exported = said("image", "export", str(sealed), str(archive))
    assert isinstance(exported, dict) and exported["digest"].startswith("sha256:")
    copy = tmp_path / "copy.udfvm"
    imported = said("image", "import", str(archive), str(copy), "--digest", exported["digest"])
    assert imported == {"name": "mine", "file": str(copy)} and copy.exists()
    listed = said("cache", "list")
    assert isinstance(listed, dict) and listed["directory"] == str(cache)
    assert {each["kind"] for each in listed["images"]} == {"base", "layer"}
    assert all(each["bytes"] > 0 and each["report"] for each in listed["images"])
    pruned = said("cache", "prune")
    assert isinstance(pruned, dict) and pruned["files"] == 0 and pruned["left_bytes"] > 0
    assert said("cache", "clear", "--all") == {"directory": str(cache), "removed": 2, "kept": 0}
    extension = said("extension")
    assert isinstance(extension, dict) and Path(extension["extension"]).exists()
    assert said("sbom") == json.loads(run("sbom").stdout)
    found = said("doctor")
    assert isinstance(found, dict) and found["usable"] and "API 12" in found["found"]["KVM"]


@pytest.mark.parametrize("group", [[], ["cache"]], ids=["udfvm", "udfvm cache"])
def test_a_group_alone_is_its_help(group: list[str]) -> None:
    alone, helped = run(*group), run(*group, "--help")
    assert alone.returncode in (0, 2)  # as the version of click says
    assert alone.stdout + alone.stderr == helped.stdout and "Commands:\n" in helped.stdout


@pytest.mark.parametrize("errors", [False, True], ids=["output", "both"])
def test_output_that_nobody_reads(tmp_path: Path, errors: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        for arguments in (["doctor"], ["sbom"], ["inspect", str(tmp_path / "absent.so")]):
            done = subprocess.run(
                [*COMMAND, *arguments],
                stdout=nobody,
                stderr=nobody if errors else subprocess.PIPE,
                timeout=300,
                env={**os.environ, "UDFVM_CACHE": str(tmp_path)},
            )
            fails = arguments[0] == "inspect" and not errors
            assert done.returncode == (1 if fails else 141), arguments
            assert errors or bool(done.stderr) == fails


def test_prepared_runtimes_are_said_as_json(tmp_path: Path) -> None:
    done = run("prepare", "--json", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tmp_path / "runtimes" / "python.runtime" in map(Path, json.loads(done.stdout))


@pytest.mark.parametrize("early", [False, True], ids=["variable", "option"])
def test_an_error_is_one_line_unless_all_of_it_is_asked_for(tmp_path: Path, early: bool) -> None:
    source = tmp_path / "mine.py"
    source.write_text("import udfvm\nudfvm.udf(len)\n")
    done = run("seal", str(source))
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("udfvm: ")
    whole = (
        run("seal", str(source), "--traceback")
        if early
        else run("seal", str(source), UDFVM_DEBUG="1")
    )
    assert whole.stderr.startswith("Traceback (most recent call last):\n")
    assert whole.stderr.splitlines()[-1] == line
    assert run("seal", str(source), UDFVM_DEBUG="0").stderr.splitlines() == [line]


def test_errors_are_json_where_output_is() -> None:
    done = run("inspect", "nowhere.wasm", "--json")
    assert done.returncode == 1 and done.stdout == ""
    assert json.loads(done.stderr) == {
        "error": "CodeFileNotFoundError",
        "message": "nowhere.wasm cannot be read: No such file or directory",
    }


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["cache", "lst"], "No such command 'lst'"),
        (["inspect"], "Missing argument 'FILE' ('udfvm inspect --help'"),
        (["cache", "prune", "--sizes", "1"], "No such option"),
        (["completion", "tcsh"], "Invalid value for '{bash|zsh|fish}': 'tcsh' is not one of"),
    ],
    ids=["command", "argument", "option", "choice"],
)
def test_a_wrong_command_line_is_told_on_one_line(arguments: list[str], wanted: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"udfvm: {wanted}")


def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "sbom"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert done.returncode == 1 and done.stderr == "udfvm: No space left on device\n"


def test_a_broken_pipe_is_not_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "sbom"], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300
    )
    os.close(writing)
    assert done.returncode == 141 and done.stderr == ""


def test_closed_output_is_no_failure() -> None:
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *COMMAND, "extension"], timeout=300)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("shell", "check"),
    [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])],
)
def test_completion_scripts_are_of_their_shells(
    shell: str, check: list[str], tmp_path: Path
) -> None:
    done = run("completion", shell)
    assert done.returncode == 0 and "_UDFVM_COMPLETE" in done.stdout and done.stderr == ""
    assert json.loads(run("completion", shell, "--json").stdout)["script"] == done.stdout[:-1]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(done.stdout)
    assert subprocess.run([*check, str(script)], timeout=60).returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "udfvm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{COMMAND[2]}" "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(udfvm completion bash)"
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _udfvm_completion udfvm
                echo "${COMPREPLY[@]}"; }
        ask udfvm cache ''
        ask udfvm completion z
        ask udfvm cache prune --s
    """
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stdout.splitlines() == ["clear list prune", "zsh", "--size"], done.stderr
