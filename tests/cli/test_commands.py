"""The command line, and what is said where micro-VMs cannot run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

from udfvm.cli import commands

ROOT = Path(__file__).resolve().parents[2]
CALL = """
    import udfvm

    @udfvm.udf
    def one() -> int:
        return 1

    try:
        one()
    except udfvm.Error as error:
        print(type(error).__name__)
        print(error)
"""


def run(*command: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"UDFVM_CACHE": str(cache)} if cache else {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def udfvm(*arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-c", "from udfvm.cli import main; main()", *arguments, cache=cache)


def test_doctor_shows_what_was_found() -> None:
    done = udfvm("doctor")
    assert done.returncode == 0, done.stderr
    for word in (
        "KVM",
        "API 12",
        "Exit round trip",
        "us",
        "Huge pages",
        "Image cache",
        "all present",
    ):
        assert word in done.stdout
    found = dict(re.findall(r"^ *(\S+(?: \S+)*)  +(\S.*?) *$", done.stdout, re.MULTILINE))
    assert re.search(r"PVM|standard KVM on (Intel VT-x|AMD-V)", found["KVM"])
    assert found["Python"].startswith(platform.python_version())
    for package in ("apsw", "pyarrow", "numpy", "pandas", "wasmtime"):
        assert found[package].startswith(importlib.metadata.version(package))
    assert found["Walls of a jail"].startswith("filter, privileges, limits")
    assert found["Hardened calls"] == "possible"
    assert apsw.sqlite_lib_version() in found["apsw"]
    loads = hasattr(sqlite3.Connection, "enable_load_extension")
    assert (
        sqlite3.sqlite_version in found["Module sqlite3"]
        and ("cannot load extensions" in found["Module sqlite3"]) is not loads
    )
    assert shutil.which("gcc") is None or found["gcc"].endswith(f" at {shutil.which('gcc')}")


def test_doctor_says_what_is_missing_and_how_to_get_it() -> None:
    program = """
        import importlib.metadata, os, sqlite3, sys
        from udfvm.cli import main
        class Connection: pass
        sqlite3.Connection = Connection
        asked = importlib.metadata.version
        def version(name):
            if name in ("pandas", "wasmtime"):
                raise importlib.metadata.PackageNotFoundError(name)
            return asked(name)
        importlib.metadata.version = version
        os.environ["PATH"] = "/nowhere"
        sys.argv[1:] = ["doctor"]
        main()
    """
    done = run(sys.executable, "-c", textwrap.dedent(program))
    assert done.returncode == 0, done.stderr
    assert "cannot load extensions (this Python was built without): functions cost" in done.stdout
    assert "gcc not found" in " ".join(done.stdout.split()) and "apt-get install gcc" in done.stdout
    assert (
        "pip install 'udfvm[wasm]'" in done.stdout
        and "not installed, and needed only by functions that use it" in done.stdout
    )


def test_doctor_says_why_calls_cannot_be_hardened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import udfvm\ndef harden(): raise udfvm.HardenError('refused by this system')\n"
        "udfvm.harden = harden\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = udfvm("doctor")
    assert done.returncode == 0, done.stderr
    assert "not possible: refused by this system" in " ".join(done.stdout.split())


def test_what_is_listed_to_a_pipe_is_whole(tmp_path: Path) -> None:
    name = "a_function_with_a_name_so_long_that_no_terminal_shows_it_beside_" + "other_columns_" * 3
    program = CALL.replace("def one", f"def {name}").replace("one()", f"{name}()")
    assert run(sys.executable, "-c", textwrap.dedent(program), cache=tmp_path).stdout == ""
    for columns in ("40", "80"):
        environment = {**os.environ, "UDFVM_CACHE": str(tmp_path), "COLUMNS": columns}
        for options, wanted in (
            ((), rf" *[0-9a-f]{{12}} +layer +\S+ [KMG]iB +[-0-9]+ [:0-9]+ +{name} *"),
            (
                ("--builds",),
                rf" *[0-9a-f]{{12}} +{name} +[0-9.]+ s +[0-9]+, [0-9]+ trapped *.*",
            ),
        ):
            command = (sys.executable, "-c", "from udfvm.cli import main; main()", "cache", "list")
            done = subprocess.run(
                (*command, *options), capture_output=True, text=True, timeout=300, env=environment
            )
            (line,) = [line for line in done.stdout.splitlines() if name in line]
            assert re.fullmatch(wanted, line)
            assert len(done.stdout.splitlines()) == 4 and "…" not in done.stdout


def test_lists_fit_a_terminal_of_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich
    program = CALL.replace("one()", "one_with_a_name()")
    assert run(sys.executable, "-c", textwrap.dedent(program), cache=tmp_path).stdout == ""
    for options in ([], ["--builds"]):
        done = CliRunner().invoke(commands, ["cache", "list", *options])
        assert done.exit_code == 0, done.output
        lines = re.sub(r"\x1b\[[0-9;]*m", "", done.output).splitlines()
        table = [line.rstrip() for line in lines if not line.startswith("/")]
        assert max(map(len, table)) <= 80 and any("one_with_a_name" in line for line in table)


@pytest.mark.parametrize("command", [[], ["cache"]], ids=" ".join)
def test_help_has_whole_lines(command: list[str]) -> None:
    done = CliRunner().invoke(commands, [*command, "--help"], terminal_width=80)
    assert done.exit_code == 0 and "Commands:" in done.output
    assert "..." not in done.output.partition("Commands:")[2]


@pytest.mark.parametrize(
    "command", [("cache", "prune", "--size"), ("prepare", "--memory")], ids=" ".join
)
@pytest.mark.parametrize("size", ["1x", "", "-1", "GiB", "1e9"])
def test_sizes_that_are_none_name_their_option(
    command: tuple[str, ...], size: str, tmp_path: Path
) -> None:
    done = udfvm(*command, size, cache=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert (
        f"{command[-1]}={size!r} is not a size; write a whole number of bytes, or text such as"
        " '64MiB'" in done.stderr
    )


def test_what_runtimes_cannot_be_prepared_with(tmp_path: Path) -> None:
    assert (
        "memory=1048576 must be from 16 MiB to 64 GiB"
        in udfvm("prepare", "--memory", "1MiB", cache=tmp_path).stderr
    )
    assert (
        "which is not installed"
        in udfvm("prepare", "--package", "no_such_package", cache=tmp_path).stderr
    )
    assert (
        "which is not the name of a module"
        in udfvm("prepare", "--package", "no-name", cache=tmp_path).stderr
    )


def test_seal_says_that_it_runs_the_file(tmp_path: Path) -> None:
    help_text = " ".join(udfvm("seal", "--help").stdout.split())
    assert (
        "The command imports FILE: all of its code except the bodies of UDFs runs on this host"
        in help_text
    )
    source = tmp_path / "mine.py"
    source.write_text(
        "import os, pathlib, udfvm\n"
        "pathlib.Path(__file__).with_suffix('.ran').write_text(str(os.getppid()))\n"
        "@udfvm.udf\ndef mine() -> int:\n    return 1\n"
    )
    assert udfvm("seal", str(source), cache=tmp_path / "cache").stdout == "mine() -> int\n"
    assert source.with_suffix(".ran").read_text() == str(os.getpid())  # it did, on the host


def test_seal_stores_all_functions_or_none(tmp_path: Path) -> None:
    source, cache = tmp_path / "mine.py", tmp_path / "cache"
    source.write_text(
        "import udfvm\ndef one() -> int:\n    return 1\n"
        "@udfvm.udf\ndef first() -> int:\n    return 1\n"
        "@udfvm.udf(host_functions=[one])\ndef asks() -> int:\n    return one()\n"
        "@udfvm.udf\ndef last() -> int:\n    return 2\n"
    )
    done = udfvm("seal", str(source), cache=cache)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    reason, _, way_out = line.partition(". Nothing was sealed. ")
    assert reason.startswith("udfvm: UDF 'asks': it calls host functions")
    assert not list(cache.glob("functions/*"))
    command = way_out.rpartition(": udfvm ")[2].split()
    assert command == ["seal", str(source), "first", "last"]
    assert udfvm(*command, cache=cache).stdout == "first() -> int\nlast() -> int\n"
    alone = udfvm("seal", str(source), "asks", cache=cache)
    assert "calls host functions" in alone.stderr and "Nothing" not in alone.stderr


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("def f(:\n", "at line 1: SyntaxError: "),
        ("import os\nimport no_such_module\n", "at line 2: ModuleNotFoundError: "),
        ("def f():\n    return 1 / 0\n\nf()\n", "at line 4: ZeroDivisionError: "),
    ],
)
def test_seal_shows_where_a_file_fails(tmp_path: Path, code: str, wanted: str) -> None:
    source = tmp_path / "mine.py"
    source.write_text(code)
    done = udfvm("seal", str(source), cache=tmp_path / "cache")
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"udfvm: {source} fails {wanted}")
    whole = udfvm("seal", str(source), "--traceback", cache=tmp_path / "cache")
    assert f'  File "{source}", line ' in whole.stderr
    assert whole.stderr.splitlines()[-1] == done.stderr.rstrip()


def test_cache_lists_and_clears(tmp_path: Path) -> None:
    assert "no images" in udfvm("cache", "list", cache=tmp_path).stdout
    assert run(sys.executable, "-c", textwrap.dedent(CALL), cache=tmp_path).stdout == ""
    listed = udfvm("cache", "list", cache=tmp_path).stdout
    assert "base" in listed and "layer" in listed and "one" in listed and "2 images" in listed
    assert ": no packages" in listed and not any(line.endswith(" ") for line in listed.splitlines())
    assert "2 images removed" in udfvm("cache", "clear", cache=tmp_path).stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_demo_runs_the_main_job(tmp_path: Path) -> None:
    done = udfvm("demo", "--keep", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["flights.db", "flights.parquet"]
    assert "336,776 rows" in done.stdout and "EV" in done.stdout and "4.809" in done.stdout
    assert "score(12.0, 300.0) = 4.0" in done.stdout and "Exit:" in done.stdout


def test_the_latency_benchmark_prints_one_json_object() -> None:
    done = run(sys.executable, str(ROOT / "bench" / "latency.py"), "--json", "--calls", "100")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    calls = ("core_native", "core_python", "udf_scalar", "udf_host_call", "udf_nested")
    for name in ("exit", *calls, "udf_numpy_1000", "restore"):
        assert 0 < result[name]["p50"] <= result[name]["p99"]
    for name in (*calls, "round_trip"):
        assert result["times_exit"][name] == round(result[name]["p50"] / result["exit"]["p50"], 2)
    assert result["hot_pages"] > 0 and result["base_build_s"] > 0 and result["image_open_ms"] > 0


def as_root_without(mount: str, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script where /dev is not as it was: in a mount namespace of its own."""
    command = f'{mount} && exec "$0" -c "$1"'
    return run("unshare", "--mount", "sh", "-c", command, sys.executable, textwrap.dedent(script))


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="mount namespaces and other users are root's"
)


@needs_root
def test_without_kvm_the_error_says_what_is_missing() -> None:
    lines = as_root_without("mount -t tmpfs none /dev", CALL).stdout.splitlines()
    assert lines[0] == "KVMUnavailableError"
    assert (
        "/dev/kvm is absent" in lines[1]
        and "modprobe" in lines[1]
        and "--device=/dev/kvm" in lines[1]
    )
    done = as_root_without(
        "mount -t tmpfs none /dev",
        "from udfvm.cli import main; import sys; sys.argv[1:] = ['doctor']; main()",
    )
    assert (
        done.returncode == 1 and "not usable" in done.stdout and "/dev/kvm is absent" in done.stderr
    )


@needs_root
def test_something_else_in_the_place_of_kvm() -> None:
    lines = as_root_without("mount --bind /dev/null /dev/kvm", CALL).stdout.splitlines()
    assert lines[0] == "KVMUnavailableError" and "API version" in lines[1]


@needs_root
def test_without_permission_the_error_says_how_to_get_it() -> None:
    script = """
        import os, udfvm.vmm
        os.chmod("/dev/kvm", 0o600)
        os.seteuid(65534)
        try:
            udfvm.vmm.probe()
        except udfvm.Error as error:
            print(type(error).__name__)
            print(error)
    """
    command = (
        "mount -t tmpfs none /mnt && cp -a /dev/kvm /mnt/kvm && mount --bind /mnt/kvm /dev/kvm"
    )
    lines = as_root_without(command, script).stdout.splitlines()
    assert lines[0] == "KVMPermissionError"
    assert "may not be opened" in lines[1] and "usermod -aG kvm" in lines[1]


def test_the_doctor_finds_a_cache_that_cannot_be_used(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = udfvm("doctor", cache=blocked / "cache")
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "not usable" in told and "set UDFVM_CACHE" in told
