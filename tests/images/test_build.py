"""Images: cached by content, shared between processes, rebuilt where they are damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

import udfvm
from udfvm import errors, vmm
from udfvm.images.hostfs import HostFS
from udfvm.images.spec import BaseSpec, base_key
from udfvm.installation import GUEST

PROGRAM = textwrap.dedent("""
    import json, time, udfvm

    @udfvm.udf(packages=[])
    def double(x: int) -> int:
        return 2 * x

    assert double(21) == 42
    layer = json.loads(double.image.metadata)
    base = json.loads(double.image.base.metadata)
    print(json.dumps({
        "layer": layer["created"], "base": base["created"], "pages": double.image.pages,
        "unknown": base["unknown_syscalls"], "calls": [base["syscalls"], base["trapped_syscalls"]],
    }))
    """)


def start(cache: Path, program: str = PROGRAM) -> subprocess.Popen[str]:
    environment = {**os.environ, "UDFVM_CACHE": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return dict(json.loads(out))


def images(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.suffix in (".base", ".layer"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A cache with one base image and one layer, and what their builder printed."""
    cache = tmp_path_factory.mktemp("images")
    return cache, outcome(start(cache))


def test_most_system_calls_do_not_trap(filled: tuple[Path, dict[str, object]]) -> None:
    calls = filled[1]["calls"]
    assert isinstance(calls, list)
    served, trapped = calls
    assert served > 500
    assert 0 < trapped < served / 4


def test_later_processes_use_the_images(filled: tuple[Path, dict[str, object]]) -> None:
    cache, built = filled
    before = {path: path.stat().st_mtime_ns for path in images(cache)}
    assert len(before) == 2
    assert outcome(start(cache)) == built
    assert {path: path.stat().st_mtime_ns for path in images(cache)} == before


def test_the_report_names_unknown_system_calls(filled: tuple[Path, dict[str, object]]) -> None:
    unknown = filled[1]["unknown"]
    assert isinstance(unknown, dict)
    assert all(name.isidentifier() and count > 0 for name, count in unknown.items())


def test_a_system_call_that_is_not_there_is_refused_and_counted(tmp_path: Path) -> None:
    program = """
        import json, udfvm

        @udfvm.udf(packages=[], sample=(1,))
        def call(x: int) -> int:
            import ctypes
            library = ctypes.CDLL(None, use_errno=True)
            failed = library.syscall(447 if x else 999, 0, 0, 0, 0, 0, 0) == -1
            return ctypes.get_errno() if failed else 0

        assert call(1) == 38 and call(0) == 38
        print(json.dumps(json.loads(call.image.metadata)["unknown_syscalls"]))
    """
    assert outcome(start(tmp_path, textwrap.dedent(program)))["memfd_secret"]


@pytest.mark.parametrize("suffix", [".base", ".layer"])
@pytest.mark.parametrize(
    "where", ["header", "middle", "end", "truncated", "empty", "foreign", "of another kind"]
)
def test_damaged_images_are_rebuilt(
    filled: tuple[Path, dict[str, object]], tmp_path: Path, suffix: str, where: str
) -> None:
    for path in images(filled[0]):
        subprocess.run(["cp", "--sparse=always", path, tmp_path / path.name], check=True)
    target, other = sorted(images(tmp_path), key=lambda path: path.suffix != suffix)
    size = target.stat().st_size
    if where == "truncated":
        os.truncate(target, size // 2)
    elif where == "empty":
        os.truncate(target, 0)
    elif where == "foreign":
        target.write_bytes(os.urandom(1 << 16))
    elif where == "of another kind":
        subprocess.run(["cp", "--sparse=always", other, target], check=True)
    else:
        with target.open("r+b") as file:
            file.seek({"header": 20, "middle": stored(target), "end": size - 1}[where])
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x40]))
    rebuilt = outcome(start(tmp_path))
    assert (
        rebuilt["base" if suffix == ".base" else "layer"]
        != filled[1]["base" if suffix == ".base" else "layer"]
    )
    assert not list(tmp_path.glob("*.tmp"))


def stored(path: Path) -> int:
    """An offset in the middle of a sparse file, where there is data."""
    with path.open("rb") as file:
        return os.lseek(file.fileno(), path.stat().st_size // 2, os.SEEK_DATA) + 100


def test_processes_that_build_the_same_image_do_not_collide(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(4)]
    outcomes = [outcome(process) for process in processes]
    assert len({json.dumps(found) for found in outcomes}) == 1
    assert len(images(tmp_path)) == 2
    assert {path.suffix for path in tmp_path.iterdir()} <= {".base", ".layer", ".verified"}


def test_a_builder_that_was_killed_leaves_nothing_that_harms(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        while not list(tmp_path.glob("*.lock")):
            pass
        process.kill()
    outcome(start(tmp_path))
    assert len(images(tmp_path)) == 2


def test_a_layer_holds_the_pages_that_changed(filled: tuple[Path, dict[str, object]]) -> None:
    cache, built = filled
    base, layer = images(cache) if images(cache)[0].suffix == ".base" else reversed(images(cache))
    assert isinstance(built["pages"], int)
    assert layer.stat().st_size < 4096 * (built["pages"] + 16)
    assert layer.stat().st_size < base.stat().st_blocks * 512 // 4


def test_a_layer_needs_its_own_base(filled: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    @udfvm.udf(packages=["decimal"])
    def other(x: int) -> int:
        return x

    (layer,) = filled[0].glob("*.layer")
    with pytest.raises(errors.ImageError):
        vmm.Image.open(layer, other.image.base)
    with pytest.raises(errors.ImageError):
        vmm.Image.open(layer)
    (base,) = filled[0].glob("*.base")
    with pytest.raises(errors.ImageError):
        vmm.Image.open(base, other.image.base)


def test_what_is_built_depends_on_its_content() -> None:
    keys = {
        base_key(BaseSpec(memory, packages, window))
        for memory in (64 << 20, 128 << 20)
        for packages in ((), ("json",))
        for window in (2 << 20, 4 << 20)
    }
    assert len(keys) == 8


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    process = start(blocked)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert str(blocked) in err


def _functions(name: str) -> list[udfvm.Function]:
    """A function of each form, with what forms may have beside their code."""

    class Total:
        def __init__(self) -> None:
            self.total = 0

        def step(self, x: int) -> None:
            self.total += x

        def finish(self) -> int:
            return self.total

    def host(x: int) -> int:
        return x

    def same(x):  # type: ignore[no-untyped-def]
        return x

    def rows(x: int):  # type: ignore[no-untyped-def]
        yield (x,)

    def asks(x: int) -> int:
        return host(x)

    lists = {"input_types": ["list<int64>"], "output_type": "list<int64>"}
    columns = {"vectorized": True, "input_types": ["int64"], "output_type": "int64"}
    return [
        udfvm.udf(asks, name=name, host_functions=[host]),
        udfvm.udf(same, name=name, **lists),  # type: ignore[call-overload]
        udfvm.udf(same, name=name, **columns),  # type: ignore[call-overload]
        udfvm.table_function(rows, name=name, columns={"x": "int64"}),
        udfvm.aggregate(Total, name=name),
        udfvm.aggregate(Total, name=name, **columns),  # type: ignore[call-overload]
    ]


@pytest.fixture
def of_the_runtime(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the runtime that guests open."""
    opened: list[str] = []
    open_file = HostFS.open

    def noting(files: HostFS, path: bytes) -> tuple[int, os.stat_result]:
        if path.startswith(os.fsencode(GUEST)):
            opened.append(Path(os.fsdecode(path)).name)
        return open_file(files, path)

    monkeypatch.setattr(HostFS, "open", noting)
    return opened


def test_layers_read_nothing_of_the_runtime(of_the_runtime: list[str]) -> None:
    """A base image has the runtime for functions of each form: a layer compiles none of it."""
    for function in _functions("first"):  # builds the base images
        function.prepare()
    del of_the_runtime[:]
    for function in _functions(f"f{uuid.uuid4().hex}"):
        assert function.image.base.path is not None  # builds its layer
    assert of_the_runtime == []


def test_base_images_compile_nothing_of_the_runtime(
    of_the_runtime: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))

    @udfvm.udf(packages=[])
    def same(x: int) -> int:
        return x

    assert same(1) == 1
    assert {name for name in of_the_runtime if name.endswith(".py")} == {"agent.py"}
    assert any(name.endswith(".pyc") for name in of_the_runtime)
