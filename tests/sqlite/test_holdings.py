"""What a connection and its functions hold: descriptors, memory, names in the cache and in the
database.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner
from guest_addresses import GUEST_ADDRESSES

import udfvm
import udfvm.sqlite
from udfvm import protocol
from udfvm.cli import commands
from udfvm.functions import compiled_requests
from udfvm.images.cache_files import cache_directory
from udfvm.types.signature_text import parse_signature

POLICY = udfvm.sqlite.Policy(languages=["python"], allow_create=True)
SEAL_WRITE = 0x0008


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    opened = apsw.Connection(":memory:")
    udfvm.sqlite.register(opened, policy=POLICY)
    yield opened
    opened.close(True)


def create(connection: apsw.Connection, name: str, value: int, *options: str) -> int:
    source = f"def {name}(x): return x + {value}"
    marks = ", ".join("?" * (4 + len(options)))
    (version,) = connection.execute(
        f"SELECT vm_create({marks})", (name, "python", source, "(int) -> int", *options)
    ).fetchall()[0]
    return int(version)


def call(connection: apsw.Connection, name: str, x: int = 0) -> int:
    return int(connection.execute("SELECT vm_udf(?, ?)", (name, x)).fetchall()[0][0])


def layers() -> int:
    """Layers in memory that this process holds."""
    return Path("/proc/self/maps").read_text().count("memfd:udfvm-layer")


def descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}


# ---- Stored functions ----


def test_dropped_functions_hold_nothing(connection: apsw.Connection) -> None:
    held = []
    for i in range(60):
        create(connection, f"f{i}", i)
        assert call(connection, f"f{i}") == i
        connection.execute("SELECT vm_drop(?)", (f"f{i}",)).fetchall()
        held.append((len(descriptors()), layers()))
    assert max(held[20:]) <= max(held[:20])


def test_functions_used_last_stay_loaded(connection: apsw.Connection) -> None:
    before, largest = layers(), 0
    for i in range(90):
        create(connection, f"f{i}", i)
        assert call(connection, f"f{i}") == i
        assert call(connection, "f0") == 0  # the one that is used stays
        largest = max(largest, layers())
    # Those kept, those that idle VMs stand at, the one being made.
    assert largest - before <= 64 + 8 + 1
    assert call(connection, "f1") == 1  # loaded again


def test_release_lets_all_go(connection: apsw.Connection) -> None:
    create(connection, "first", 0)
    assert connection.execute("SELECT vm_release()").fetchall() == [(1,)]
    before = layers()
    for i in range(20):
        create(connection, f"f{i}", i)
        assert call(connection, f"f{i}") == i
    assert layers() >= before + 20
    cursor = connection.execute("SELECT vm_udf('f3', value) FROM json_each('[1, 2, 3]')")
    assert next(cursor) == (4,)
    assert connection.execute("SELECT vm_release()").fetchall() == [(20,)]
    assert layers() <= before + 1  # what the running statement uses
    assert cursor.fetchall() == [(5,), (6,)]
    assert connection.execute("SELECT vm_release()").fetchall() == [(0,)]
    assert layers() <= before
    assert call(connection, "f7") == 7  # loaded again
    with pytest.raises(apsw.SQLError, match="vm_release takes no arguments"):
        connection.execute("SELECT vm_release(1)")


def test_a_statement_keeps_its_function(connection: apsw.Connection) -> None:
    create(connection, "kept", 1)
    cursor = connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50) SELECT"
        " vm_udf('kept', i) FROM n"
    )
    taken = [next(cursor)[0] for _ in range(20)]
    for i in range(70):
        create(connection, f"g{i}", i)
    taken.extend(row[0] for row in cursor)
    assert taken == list(range(2, 52))


def test_one_of_many_creates(tmp_path: Path) -> None:
    """Without 'replace' one succeeds; with it each gets a version of its own."""
    path = str(tmp_path / "functions.db")
    barrier = threading.Barrier(4)
    created: list[int] = []
    versions: list[int] = []

    def work(number: int) -> None:
        own = apsw.Connection(path)
        own.set_busy_timeout(60_000)
        udfvm.sqlite.register(own, policy=POLICY)
        create(own, f"own{number}", number)
        for i in range(15):
            barrier.wait()
            try:
                create(own, f"shared{i}", number)
                created.append(i)
            except apsw.SQLError as error:
                assert "it exists already (version 1)" in str(error)
        for _ in range(5):
            barrier.wait()
            versions.append(create(own, "replaced", number, "replace"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == list(range(15))
    assert sorted(versions) == list(range(1, 21))


# ---- Descriptors ----


def test_no_descriptor_is_inherited(tmp_path: Path) -> None:
    program = """
import os, apsw, udfvm, udfvm.sqlite
before = set(os.listdir("/proc/self/fd"))
@udfvm.udf
def f(x: int) -> int:
    import colorsys
    return x + 1
c = apsw.Connection(":memory:")
policy = udfvm.sqlite.Policy(languages=["python", "native"], allow_create=True)
udfvm.sqlite.register(c, f, policy=policy)
c.execute("select vm_create('g', 'python', 'def g(x): return 1', '(int) -> int')").fetchall()
it = c.execute(
    "with recursive n(i) as (select 1 union all select i + 1 from n limit 50)"
    " select vm_udf('g', i), f(i) from n"
)
[next(it) for _ in range(20)]
appeared = set(os.listdir("/proc/self/fd")) - before
opened = [int(name) for name in appeared if os.path.exists(f"/proc/self/fd/{name}")]
assert len(opened) > 5
print([os.readlink(f"/proc/self/fd/{number}") for number in opened if os.get_inheritable(number)])
links = [os.readlink(f"/proc/self/fd/{number}") for number in opened]
print([name for name in links if "udfvm-layer" in name])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "[]\n[]\n"


def test_layers_in_memory_cannot_be_written(connection: apsw.Connection) -> None:
    create(connection, "f", 1)
    call(connection, "f")
    line = next(
        line
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "memfd:udfvm-layer" in line
    )
    try:
        descriptor = os.open(f"/proc/self/map_files/{line.split()[0]}", os.O_RDWR)
    except PermissionError:
        pytest.skip("only root opens what is mapped")
    try:
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEAL_WRITE
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.truncate(descriptor, 0)
    finally:
        os.close(descriptor)
    assert call(connection, "f") == 1


def test_guests_leave_the_program_its_descriptors() -> None:
    """Concurrent calls that open all that they can; the program opens files meanwhile."""
    program = f"""
import os, resource, threading, udfvm
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
folder = {os.path.dirname(os.__file__)!r}
all_hold, all_opened = threading.Barrier(5), threading.Barrier(5)
def meet() -> int:
    all_hold.wait(120)
    all_opened.wait(120)
    return 0
@udfvm.udf(timeout=300, host_functions=[meet])
def hoards(path: str, number: int) -> int:
    import os
    names = [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".py")]
    held = []
    for name in names[:250]:
        try:
            held.append(os.open(name, os.O_RDONLY))
        except OSError:
            break
    return len(held) + meet()
hoards.prepare()
counts, own = [], 0
threads = [threading.Thread(target=lambda i=i: counts.append(hoards(folder, i))) for i in range(4)]
for thread in threads: thread.start()
all_hold.wait(120)
for _ in range(100):
    held = [open(os.__file__) for _ in range(40)]
    own += 1
    for file in held: file.close()
all_opened.wait(120)
for thread in threads: thread.join()
print(len(counts), own, all(counts))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "4 100 True\n", done.stderr
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 300


# ---- Names ----


def first() -> udfvm.ScalarFunction:
    @udfvm.udf
    def swapped(x: int) -> int:
        return x + 1001

    return swapped


def second() -> udfvm.ScalarFunction:
    @udfvm.udf
    def swapped(x: int) -> int:
        return x + 2002

    return swapped


def test_a_layer_under_the_name_of_another() -> None:
    one, other = first(), second()
    assert (one(0), other(0)) == (1001, 2002)
    assert one.image.path and other.image.path
    shutil.copy(one.image.path, other.image.path.with_suffix(".copy"))
    os.replace(other.image.path.with_suffix(".copy"), other.image.path)
    assert (first()(0), second()(0)) == (1001, 2002)


def test_a_description_under_the_name_of_another() -> None:
    source = "#include <udfvm.h>\nUDFVM_SCALAR(swapped_{0}, {0}, ({0}, x)) {{ return x; }}"
    for each in ("i64", "f64"):
        udfvm.from_c(source.format(each), f"swapped_{each}")
    newest = sorted(
        cache_directory().glob("*.description"), key=lambda path: path.stat().st_mtime_ns
    )[-2:]
    shutil.copy(newest[0], newest[1])
    assert udfvm.from_c(source.format("f64"), "swapped_f64").parameters[0].type.name == "double"


def test_a_sealed_function_under_the_name_of_another(tmp_path: Path) -> None:
    file = tmp_path / "functions_of_names.py"
    file.write_text("import udfvm\n@udfvm.udf\ndef is_named(x: int) -> int:\n    return x + 1\n")
    done = CliRunner().invoke(commands, ["seal", "--replace", str(file)])
    assert done.exit_code == 0, done.output
    functions = cache_directory() / "functions"
    shutil.copy(functions / "is_named.udf", functions / "is_called.udf")
    bare = apsw.Connection(":memory:")
    bare.enable_load_extension(True)
    bare.load_extension(str(udfvm.sqlite.EXTENSION))
    assert call(bare, "is_named", 1) == 2
    with pytest.raises(apsw.SQLError, match="is that of another function"):
        call(bare, "is_called", 1)
    (functions / "is_called.udf").unlink()
    bare.close(True)


@pytest.mark.parametrize(
    "signature", ["(: i64) -> i64", "(a: i64, : i64) -> i64", "(a: i64, : text?) -> i64"]
)
def test_parameters_have_names(signature: str) -> None:
    with pytest.raises(udfvm.SignatureError, match="empty name"):
        parse_signature("f", signature)


FORGED = """
#include <string.h>
__attribute__((constructor)) static void forge(void)
{
    static const unsigned char description[] = { %s };
    memcpy((void *)UDFVM_OUTPUT_BASE, description, sizeof description);
    void (*complete)(unsigned long, unsigned long) = (void *)UDFVM_VECTOR_COMPLETE;
    complete(UDFVM_STATUS_OK, sizeof description);
}
long f(long x) { return x; }
"""


@pytest.mark.parametrize(
    ("slots", "flags", "names"),
    [
        (((4, 0, b"r"), (4, 0, b"")), 0, b""),
        (((4, 0, b"r"), (4, 0, b"x"), (4, 0, b"")), 0, b""),
        (((4, 0, b"r"), (4, 0, b"x"), (4, 0, b"x")), 0, b""),
        (((4, 0, b"r"), (4, 0, b"1x")), 0, b""),
        (((4, 0, b"r"), (4, 0, b"x")), protocol.DESCRIPTION_INVERSE, b""),
        (((4, 0, b"r"), (4, 0, b"x")), 1 << 30, b""),
        (((17, 10, b"r"), (4, 0, b"x")), 0, b"list<int8]"),
        (((17, 10, b"r"), (4, 0, b"x")), 0, b"list<int9>"),
        (((17, 11, b"r"), (4, 0, b"x")), 0, b"list<int8>"),
    ],
)
def test_forged_descriptions(
    tmp_path: Path, slots: tuple[tuple[int, int, bytes], ...], flags: int, names: bytes
) -> None:
    body = b"".join(
        compiled_requests._SLOT.pack(storage, 0, length, label) for storage, length, label in slots
    )
    description = compiled_requests._DESCRIPTION.pack(len(slots) - 1, flags) + body + names
    source, library = tmp_path / "forged.c", tmp_path / "forged.so"
    source.write_text(GUEST_ADDRESSES + FORGED % ", ".join(map(str, description)))
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", source, "-o", library], check=True)
    with pytest.raises((udfvm.ProtocolError, udfvm.SignatureError)):
        udfvm.from_elf(library, "f")
