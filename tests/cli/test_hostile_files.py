"""Files of functions that attack: nothing of them runs, or is parsed, on the host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: The command, which notes what the interpreter of the host compiles, imports, opens and runs.
WATCHED = """
import os, sys
from udfvm.cli import main
MARK = "attack" + "er"
EVENTS = ("compile", "exec", "import", "open", "os.system", "subprocess.Popen", "marshal.loads")
def watch(event, arguments):
    if event not in EVENTS or MARK not in repr(arguments):
        return
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return  # the text is read
    os.write(2, f"HOST: {event} {arguments!r}\\n".encode())
    os._exit(99)
sys.addaudithook(watch)
main()
"""
HEAD = "import udfvm\n"
TAIL = "\n\ndef attacker_score(x: float) -> float:\n    return x + 1\n"
WRITE = "open({mark!r}, 'w').write('ran')"

ATTACKS = {
    "module": WRITE + TAIL,
    "decorator": (
        HEAD
        + "def note(f):\n    "
        + WRITE
        + "\n    return f\n"
        + "@note"
        + TAIL.replace("\n\n", "\n")
    ),
    "decorator call": HEAD + "@(lambda f: [" + WRITE + ", f][1])" + TAIL.replace("\n\n", "\n"),
    "option": (HEAD + "@udfvm.udf(timeout=5 if " + WRITE + " else 5)" + TAIL.replace("\n\n", "\n")),
    "default": f"def attacker_score(x: float = {WRITE}) -> float:\n    return x + 1\n",
    "annotation": f"def attacker_score(x: {WRITE}) -> float:\n    return x + 1\n",
    "annotation text": (
        "def attacker_score(x: \"__import__('os').system('touch {mark}')\") -> float:\n"
        "    return x + 1\n"
    ),
    "class": f"class A:\n    {WRITE}\n" + TAIL,
    "metaclass": (
        f"class M(type):\n    def __new__(*a):\n        {WRITE}\n"
        "        return type('X', (), dict())\n"
        "class A(metaclass=M): pass\n" + TAIL
    ),
    "del": f"class A:\n    def __del__(self):\n        {WRITE}\nA()\nx = A()\n" + TAIL,
    "exit": f"import atexit\natexit.register(lambda: {WRITE})\n" + TAIL,
    "frames": (
        "import sys, os\nos.system('touch {mark}')\nf = sys._getframe()\n"
        "while f.f_back: f = f.f_back\nf.f_globals['hit'] = 1\n" + TAIL
    ),
    "udfvm": (
        "import udfvm\nfor name in ('from_c', 'run', 'harden'):\n"
        "    try: getattr(udfvm, name)('x')\n    except Exception: pass\n" + WRITE + TAIL
    ),
    "escape cookie": "# coding: unicode_escape\n# \\n" + WRITE + TAIL,
    "unknown cookie": "# coding: attacker_codec\n" + WRITE + TAIL,
    "form feed": "\f# coding: utf-7\n" + WRITE + TAIL,
}
REFUSED = {  # with a word of the error
    "option": "is no literal, and nothing of the file runs to tell its value",
    "annotation": "parameter 'x' has no type in the text",
    "annotation text": "parameter 'x' has no type in the text",
}


def run(path: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", WATCHED, *arguments],
        input="x\n1\n2\n",
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env=dict(os.environ),
    )


@pytest.mark.parametrize(
    ("attack", "command"),
    [(each, "run") for each in ATTACKS]
    + [(each, command) for each in ("module", "option") for command in ("sql", "bench")],
)
def test_nothing_of_a_file_runs_here(attack: str, command: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "attacker.py"
    path.write_text(ATTACKS[attack].format(mark=str(mark)))
    before = sorted(tmp_path.iterdir())
    arguments, result = {
        "run": (["attacker.py:attacker_score", "--keep-none"], '"attacker_score"\n2\n3\n'),
        "sql": (
            [":memory:", "SELECT attacker_score(1.0) AS s", "--functions", "attacker.py"],
            "s\n2.0\n",
        ),
        "bench": (["attacker.py:attacker_score", "--seconds", "0.01", "--rows", "10"], None),
    }[command]
    done = run(path, command, *arguments, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert not mark.exists() and sorted(tmp_path.iterdir()) == before
    if attack in REFUSED:
        assert done.returncode == 1 and (REFUSED[attack] in done.stderr or command == "sql")
    elif done.returncode:  # the guest has no such folder to write to, for example
        assert done.stderr.startswith("udfvm: UDF 'attacker_score'"), done.stderr
    else:
        assert result is None or done.stdout == result


def test_the_watch_sees_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "attacker.py"
    path.write_text("attacker = 1\n")
    done = run(path, "seal", "attacker.py", cwd=tmp_path)  # which imports it
    assert done.returncode == 99 and done.stderr.startswith("HOST: ")


@pytest.mark.parametrize(
    "data",
    [
        b"# coding: latin-1\ndef f(x: float) -> float:\n    '\xe9'\n    return x\n",
        b"\xff\xfed\x00e\x00f\x00",
        b"def f(x: float) -> float:\n    return x\0\n",
        b"(" * 100_000,
        b"def f(x: float) -> float:\n    return " + b"-" * 200_000 + b"x\n",
        b"@udfvm.udf(name=" + b"[" * 5000 + b"]" * 5000 + b")\ndef f(x: float): return x\n",
        b"def f(" + b", ".join(b"a%d: float" % each for each in range(2000)) + b"): pass\n",
        b"def f(x: " + b"list[" * 90 + b"int" + b"]" * 90 + b") -> float: return 1.0\n",
        b"def f(x: '" + b"(" * 5000 + b"') -> float: return 1.0\n",
    ],
    ids=["latin-1", "utf-16", "nul", "brackets", "signs", "option", "parameters", "list", "text"],
)
def test_files_that_are_odd_end_in_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_bytes(data)
    done = run(path, "run", "odd.py:f", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("udfvm: ") and len(line) < 2000


def test_a_file_is_read_to_a_bound(tmp_path: Path) -> None:
    done = run(tmp_path, "run", "/dev/zero:f", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "udfvm: /dev/zero is larger than 16 MiB, and so no file of Python\n"


def test_modules_beside_the_file_are_not_imported(tmp_path: Path) -> None:
    for name in ("udfvm", "json", "click", "numpy", "sitecustomize", "helper"):
        (tmp_path / f"{name}.py").write_text("open('mark', 'w').write('attacker')\n")
    path = tmp_path / "attacker.py"
    path.write_text(
        "import udfvm, json, numpy\n@udfvm.udf\ndef attacker_score(x: float) -> float:\n"
        "    return float(numpy.float64(x)) + 1\n"
    )
    done = run(path, "run", "attacker.py", "--keep-none", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, '"attacker_score"\n2\n3\n'), done.stderr
    assert not (tmp_path / "mark").exists()
    path.write_text("import helper\n" + TAIL)
    done = run(path, "run", "attacker.py", "--keep-none", cwd=tmp_path)
    assert done.returncode == 1 and "No module named 'helper'" in done.stderr


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("memory='64GiB'", "asks for memory=64GiB, which is more than a file may have: pass --m"),
        ("timeout=None", "asks for timeout=None, which is more than a file may have: pass --tim"),
        ("max_log='1GiB'", "asks for max_log=1GiB, which is more than a file may have: lower it"),
        ("build_timeout=10**9", "build_timeout=10 ** 9 is no literal"),
        ("build_timeout=1000000", "asks for build_timeout=1000000, which is more"),
        ("host_functions=[print]", "is no literal"),
        ("host_functions=['print']", "host_functions= is an object of a program"),
        ("pool='p'", "pool= is an object of a program"),
        ("data={{'a': '/etc/passwd'}}", "data= gives files of this machine, which only who runs"),
        ("tiemout=1", "unknown option tiemout=: did you mean timeout=?"),
        ("packages=['no_such_package']", "which is not installed"),
        ("log='\\x1b[31m'", "log='\\x1b[31m'"),
        ("**{{}}", "its decorator has **options: write them out"),
    ],
)
def test_what_a_file_asks_for_has_bounds(option: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "greedy.py"
    path.write_text(
        HEAD + f"@udfvm.udf({option})".format() + "\ndef f(x: float) -> float:\n    return x\n"
    )
    done = run(path, "run", "greedy.py", cwd=tmp_path)
    assert done.returncode == 1 and wanted in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "\x1b" not in done.stderr


def test_a_file_gets_the_files_of_the_command_alone(tmp_path: Path) -> None:
    (tmp_path / "given.txt").write_text("given")
    (tmp_path / "rows.csv").write_text("x\n1\n")
    path = tmp_path / "curious.py"
    path.write_text(
        HEAD + "@udfvm.udf(data={'given': '/etc/passwd', 'other': '/etc/passwd'})\n"
        "def found(x: int) -> str:\n    import os\n"
        "    return ' '.join([*os.listdir('/data'), open('/data/given').read()])\n"
    )
    given = ("--data", f"given={tmp_path / 'given.txt'}")
    done = run(path, "run", "curious.py", "rows.csv", "--keep-none", *given, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, '"found"\n"given given"\n'), done.stderr
    for wrong, text in (("given", "is not NAME=PATH"), ("given=absent", "No such file")):
        done = run(path, "run", "curious.py", "rows.csv", "--data", wrong, cwd=tmp_path)
        assert done.returncode and text in done.stderr, done.stderr


def test_a_top_level_that_never_ends_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "endless.py"
    function = "def f(x: float) -> float:\n    return x\n"
    path.write_text(function)
    done = run(path, "run", "endless.py", cwd=tmp_path)  # which builds the base image
    assert done.returncode == 0, done.stderr
    path.write_text("while True: pass\n" + function)
    done = run(path, "run", "endless.py", "--build-timeout", "3", cwd=tmp_path)
    assert done.returncode == 1
    assert "UDF 'f': the function was not ready within 3 s" in done.stderr
    assert done.stderr.endswith("the top level of its file: raise --build-timeout\n")


def test_lower_limits_of_a_file_hold(tmp_path: Path) -> None:
    path = tmp_path / "low.py"
    path.write_text(
        HEAD + "@udfvm.udf(timeout=0.2)\ndef f(x: float) -> float:\n    while True: pass\n"
    )
    done = run(path, "run", "low.py", cwd=tmp_path)
    assert done.returncode == 1 and "did not end within 0.2 s" in done.stderr
