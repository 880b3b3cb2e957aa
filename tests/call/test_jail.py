"""Functions whose VMs run in processes of their own: as elsewhere, and what becomes of calls whose
process dies.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pyarrow as pa
import pytest
from jails import jails, new_jails, times_in_control_areas, wait_for_its_end

import udfvm
import udfvm.sqlite
from udfvm.images import host

CGROUPS = {  # where memory is limited: the file that does, by version of cgroups(7)
    Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes",
    Path("/sys/fs/cgroup"): "memory.max",
}
root_alone = pytest.mark.skipif(os.geteuid() != 0, reason="others do not see into the processes")


@pytest.fixture(scope="module")
def pool() -> Iterator[udfvm.Pool]:
    with udfvm.Pool(size=2, jail=True) as pool:
        yield pool


def test_calls_are_as_elsewhere(pool: udfvm.Pool) -> None:
    @udfvm.udf(pool=pool)
    def half(x: float) -> float:
        return x / 2

    @udfvm.udf(pool=pool)
    def inverse(x: int) -> float:
        return 1 / x

    @udfvm.udf(pool=pool, timeout=0.2)
    def loop(x: int) -> int:
        while True:
            x += 1

    assert [half(3.0), inverse(4), half(1.0)] == [1.5, 0.25, 0.5]
    assert half(pa.array([2.0, 4.0])).to_pylist() == [1.0, 2.0]
    for _ in range(2):
        with pytest.raises(udfvm.UDFError, match="ZeroDivisionError"):
            inverse(0)
        with pytest.raises(udfvm.CallTimeoutError):
            loop(1)
    assert inverse(2) == 0.5


def own_vms() -> int:
    """The descriptors of KVM that this process has open."""
    found = []
    for at in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the folder itself
            found.append(os.readlink(f"/proc/self/fd/{at}"))
    return sum("kvm" in each for each in found)


def test_base_images_boot_in_jails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What packages do as they are imported is done in there: the program has no VM."""
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    before, during = own_vms(), set()
    open_ = host._HostFiles.open

    def opens(files: host._HostFiles, path: bytes) -> object:
        during.add(own_vms())
        return open_(files, path)

    monkeypatch.setattr(host._HostFiles, "open", opens)
    with udfvm.Pool(jail=True) as pool:

        @udfvm.udf(pool=pool, memory="128 MiB")
        def plus(x: int) -> int:
            return x + 1

        assert plus(1) == 2
    assert during and max(during) <= before  # idle ones may end meanwhile
    (image,) = tmp_path.glob("*.base")
    assert image.stat().st_blocks * 512 < image.stat().st_size / 2  # holes are holes


def test_a_boot_that_fails_in_a_jail_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    with udfvm.Pool(jail=True) as pool:

        @udfvm.udf(pool=pool, memory="16 MiB")
        def plus(x: int) -> int:
            return x + 1

        with pytest.raises(udfvm.BuildError, match="the base image could not be built"):
            plus(1)


def test_large_batches(pool: udfvm.Pool) -> None:
    import numpy as np

    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double", pool=pool)
    def twice(x):  # type: ignore[no-untyped-def]
        return x * 2

    @udfvm.udf(pool=pool)
    def text(x: int) -> str:
        return "n" * 30 + str(x)

    numbers = np.arange(500_000, dtype=np.float64)
    for _ in range(3):
        assert (twice(numbers) == numbers * 2).all()
    found = text(pa.array(range(60_000)))
    assert found[59_999].as_py() == "n" * 30 + "59999"
    found.validate(full=True)


def test_host_functions_files_and_output(
    pool: udfvm.Pool, capfd: pytest.CaptureFixture[str]
) -> None:
    threads, shared = [], []

    def price(name: str) -> float:
        threads.append(threading.get_ident())
        shared.append(times_in_control_areas(name.encode()) if len(name) > 30 else 0)
        if name == "nothing":
            raise LookupError("no price")
        return len(name) * 1.5

    @udfvm.udf(pool=pool, host_functions=[price])
    def total(name: str) -> float:
        import colorsys  # noqa: F401 - a file of the host, which no image has

        print("asked for", name)
        return price(name) + price(name)

    assert total("apple") == 15.0
    assert capfd.readouterr().out == "asked for apple\n"
    assert set(threads) == {threading.get_ident()}
    with pytest.raises(udfvm.HostFunctionError, match="no price"):
        total("nothing")
    assert total("quince" * 9) == 162.0
    assert shared[-1] > 0  # what passes; after the call nothing of it is there
    assert times_in_control_areas(b"quince" * 9) == 0
    assert total("fig") == 9.0


def test_rows_that_are_streamed_read_files(pool: udfvm.Pool) -> None:
    """The guest runs on a thread of its own then, and asks while the program waits for a reply."""
    size = os.path.getsize(os.__file__)

    @udfvm.udf(pool=pool, timeout=20)
    def reads(i: int) -> int:
        if i % 100 == 50:
            with open(os.__file__, "rb") as file:
                return len(file.read())
        while i == 400:
            os.stat(os.__file__)
        return 0

    reads.prepare()
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, reads, reads.with_options(timeout=0.5, name="reads_soon"))
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 399)"
    for _ in range(2):
        assert connection.execute(f"{numbers} SELECT sum(reads(i)) FROM n").get == 4 * size
        with pytest.raises(apsw.SQLError, match=r"row 399: the call did not end within 0.5 s"):
            connection.execute(
                f"{numbers.replace('399', '500')} SELECT sum(reads_soon(i)) FROM n"
            ).fetchall()


@root_alone
def test_a_process_that_is_killed_ends_its_call_alone() -> None:
    begun, before = threading.Event(), jails()

    def begin() -> int:
        begun.set()
        return 0

    with udfvm.Pool(size=1, jail=True) as pool:

        @udfvm.udf(pool=pool, host_functions=[begin])
        def loop(forever: bool) -> int:
            begin()
            while forever:
                pass
            return 7

        assert loop(False) == 7
        (process,) = new_jails(before)
        os.kill(process, signal.SIGKILL)  # while it is idle: nobody sees it
        wait_for_its_end(process)
        assert loop(False) == 7
        (process,) = new_jails(before)

        def kill() -> None:
            begun.wait()
            os.kill(process, signal.SIGKILL)

        begun.clear()
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(udfvm.GuestCrashError, match="process that the micro-VM ran in ended"):
            loop(True)
        killer.join()
        assert loop(False) == 7
        assert process not in jails()


@root_alone
def test_processes_of_root_have_users_of_their_own() -> None:
    before, users = jails(), set()
    with udfvm.Pool(size=2, jail=True) as pool:

        @udfvm.udf(pool=pool)
        def one(x: int) -> int:
            return x + 1

        assert "user" in pool.walls()
        assert pool.warm(one, vms=2).result() == 2
        for process in new_jails(before):
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            status = {name: value.split() for name, _, value in (x.partition(":") for x in lines)}
            (user,), (group,) = set(status["Uid"]), set(status["Gid"])
            assert user == group != "0"
            assert status["Groups"] == []
            assert [status[name] for name in ("CapPrm", "CapEff")] == [["0" * 16]] * 2
            users.add(user)
    assert len(users) == 2


@pytest.fixture
def cgroup() -> Iterator[tuple[Path, Path]]:
    """A cgroup of its own, and the file that limits its memory."""
    for parent, limit in CGROUPS.items():
        made = parent / f"udfvm-{os.getpid()}"
        with contextlib.suppress(OSError):
            made.mkdir()
            if (made / limit).exists():
                break
            made.rmdir()
    else:
        pytest.skip("cgroups whose memory is limited cannot be made here")
    yield made, made / limit
    for process in (made / "cgroup.procs").read_text().split():
        wait_for_its_end(int(process))
    made.rmdir()


@root_alone
def test_processes_in_a_cgroup(cgroup: tuple[Path, Path]) -> None:
    """One that takes more memory than its cgroup has ends its call alone."""
    folder, limit = cgroup
    before = jails()
    with udfvm.Pool(size=1, jail=True, cgroup=folder) as pool:

        @udfvm.udf(pool=pool)
        def fills(mebibytes: int) -> int:
            return len(bytes(range(256)) * 4096 * mebibytes)

        assert "cgroup" in pool.walls()
        assert fills(1) == 1 << 20
        assert new_jails(before) == [int(x) for x in (folder / "cgroup.procs").read_text().split()]
        limit.write_text(str(96 << 20))
        with pytest.raises(udfvm.GuestCrashError, match="process that the micro-VM ran in ended"):
            fills(160)
        assert fills(1) == 1 << 20


def test_the_end_of_the_program_ends_the_processes(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, signal, sys, udfvm
        pool = udfvm.Pool(jail=True)
        @udfvm.udf(pool=pool)
        def one(x: int) -> int:
            return x + 1
        assert one(1) == 2
        sys.path.insert(0, sys.argv[1])
        from jails import jails
        print(*jails())
        sys.stdout.flush()
        if sys.argv[2] == "child":
            if os.fork() == 0:  # a child that lives on keeps nothing alive
                sys.stdin.read()
                os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    for way in ("alone", "child"):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(Path(__file__).parents[1]), way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            processes = [int(word) for word in running.stdout.readline().split()]
            running.wait()
            assert processes or os.geteuid() != 0
            for process in processes:
                wait_for_its_end(process)


def test_what_a_signal_handler_raises_while_files_are_served_ends_the_call() -> None:
    """The guest is told of an interrupt, and would ask for the file again, for ever."""

    class Alarm(Exception):
        pass

    with udfvm.Pool(jail=True) as pool:

        @udfvm.udf(pool=pool, timeout=60)
        def reads_files(x: int) -> int:
            import os

            while x:
                with open(os.__file__):
                    os.stat(os.__file__)
            return x

        def handler(*_: object) -> None:
            raise Alarm

        assert reads_files(0) == 0
        open_ = host._HostFiles.open

        def opens(files: host._HostFiles, path: bytes) -> object:
            signal.raise_signal(signal.SIGUSR2)
            return open_(files, path)

        before = signal.signal(signal.SIGUSR2, handler)
        host._HostFiles.open = opens  # type: ignore[assignment,method-assign]
        try:
            with pytest.raises(Alarm):
                reads_files(1)
        finally:
            host._HostFiles.open = open_  # type: ignore[method-assign]
            signal.signal(signal.SIGUSR2, before)
        assert reads_files(0) == 0


def test_a_jail_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    with udfvm.Pool(jail=True, cgroup=tmp_path) as pool:

        @udfvm.udf(pool=pool)
        def one(x: int) -> int:
            return x + 1

        with pytest.raises(udfvm.JailError, match="did not begin"):
            one(1)
        with pytest.raises(udfvm.JailError):
            pool.walls()


def test_options() -> None:
    with pytest.raises(udfvm.OptionError, match=r"udfvm.Pool: jail= takes True or False; got 1"):
        udfvm.Pool(jail=1)  # type: ignore[arg-type]
    with pytest.raises(udfvm.OptionError, match="pass jail=True, too"):
        udfvm.Pool(cgroup="/sys/fs/cgroup", jail=False)
    with pytest.raises(udfvm.OptionError, match="path of a directory"):
        udfvm.Pool(cgroup=3, jail=True)  # type: ignore[arg-type]


def test_the_environment_decides_where_nothing_else_does() -> None:
    program = "import udfvm; print(udfvm.Pool().jail, udfvm.Pool(jail=False).jail)"
    for value, expected in (("1", "True False"), ("0", "False False")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "UDFVM_JAIL": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_a_pool_that_goes_to_another_process_is_as_jailed_there() -> None:
    pool = udfvm.Pool(jail=True, tenant="acme")
    assert pickle.loads(pickle.dumps(pool)).jail
    assert not pickle.loads(pickle.dumps(udfvm.Pool(jail=False, tenant="acme"))).jail
