"""Too little guest memory is told as such, with the option that gives more: while building,
compiling, mapping and calling.
"""

from __future__ import annotations

import pytest

import udfvm
from udfvm import errors

LARGE = (
    "(module "
    + "".join(
        f'(func (export "f{number}") (param f64) (result f64) local.get 0'
        f" {'local.get 0 f64.mul f64.sqrt ' * 200})"
        for number in range(3000)
    )
    + ")"
)
STATIC = "static volatile char block[200 << 20]; int f(int x) { block[x] = 1; return block[x]; }"
ALLOCATES = """
    #include <stdlib.h>
    #include <string.h>
    int f(int x) { char *p = malloc(200u << 20); memset(p, 1, 200u << 20); return p[x]; }
"""
ABORTS = """
    #include <stdlib.h>
    int f(int x) { char *p = malloc(200u << 20); if (!p) abort(); return p[x]; }
"""
SIGNATURE = "(i32) -> i32"


def test_the_interpreter_does_not_fit() -> None:
    @udfvm.udf(memory="16MiB")
    def same(x: float) -> float:
        return x

    with pytest.raises(errors.BuildError, match=r"^UDF 'same': .*out of memory: .*; raise memory="):
        same(1.0)


def test_an_interpreter_that_almost_fits_fails_with_one_line() -> None:
    @udfvm.udf(memory="20MiB")
    def same(x: float) -> float:
        return x

    told = r"^UDF 'same': .* of 20 MiB are used; raise memory= \(.* needs 32 MiB or more\)$"
    with pytest.raises(errors.BuildError, match=told) as caught:
        same(1.0)
    assert "Traceback" in caught.value.report


def test_the_documented_memory_is_enough() -> None:
    @udfvm.udf(memory="32MiB")
    def same(x: float) -> float:
        return x

    assert same(1.0) == 1.0


def test_a_package_does_not_fit() -> None:
    @udfvm.udf(memory="32MiB", packages=["numpy"])
    def same(x: float) -> float:
        return x

    with pytest.raises(errors.BuildError, match=r"out of memory: .*; raise memory="):
        same(1.0)


def test_wasm_is_compiled_with_the_memory_for_it() -> None:
    """But it must fit when it is loaded."""
    assert udfvm.from_wasm(LARGE, "f1", memory="72MiB")(1.0) == 1.0
    with pytest.raises(errors.Error, match="raise memory=") as caught:
        udfvm.from_wasm(LARGE, "f1", memory="44MiB")
    assert "rax=" not in str(caught.value)


def test_wasm_memory_does_not_fit() -> None:
    with pytest.raises(errors.SignatureError, match=r"(?s)linking failed: .*raise memory="):
        udfvm.from_wasm(
            '(module (memory 4000) (func (export "f") (result i32) i32.const 0))',
            "f",
            memory="128MiB",
        )


def test_an_object_does_not_fit_while_it_is_mapped() -> None:
    with pytest.raises(errors.SignatureError, match=r"raise memory="):
        udfvm.from_c(STATIC, "f", signature=SIGNATURE)


@pytest.mark.parametrize("source", [ALLOCATES, ABORTS])
def test_native_code_that_crashes_for_want_of_memory(source: str) -> None:
    made = udfvm.from_c(source, "f", signature=SIGNATURE, timeout=60)
    told = (
        r"the micro-VM refused 20\d(\.\d)? MiB of memory where .* of .* MiB are used: raise memory="
    )
    with pytest.raises(errors.GuestCrashError, match=told) as caught:
        made(1)
    assert "rax=" not in str(caught.value)
    assert "#0 0x" in str(caught.value)
    assert udfvm.from_c(source, "f", signature=SIGNATURE, memory="320MiB")(1) in (0, 1)


# Programs try to grow memory where it is, and move it if that fails.
GROWS_IN_PLACE = """
#define _GNU_SOURCE
#include <sys/mman.h>
int f(int x)
{
    char *block = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mremap(block, 4096, 8192, 0) != MAP_FAILED) /* the second page is taken */
        return 0;
    return *(volatile int *)(long)x;
}
"""


def test_a_crash_of_another_cause_says_nothing_of_memory() -> None:
    made = udfvm.from_c(GROWS_IN_PLACE, "f", signature=SIGNATURE)
    with pytest.raises(errors.GuestCrashError, match=r"address 0x1,.*\n(?s:.*)rax=") as caught:
        made(1)
    assert "raise memory=" not in str(caught.value)


@udfvm.udf(memory="64MiB", timeout=60)
def blocks(size: int, times: int, collecting: bool) -> int:
    """Makes blocks one after the other, each held by a list that holds itself."""
    import gc

    if not collecting:
        gc.disable()
    made = 0
    for _ in range(times):
        block = bytearray(size)
        holder: list[object] = [block]
        holder.append(holder)
        made += len(block)
    return made


@udfvm.udf(memory="96MiB", timeout=60)
def garbage(size: int, times: int, kind: str) -> int:
    """As `blocks`, of memory that is mapped, or in threads while the first one waits."""
    import gc
    import mmap
    import threading

    done = []

    def make() -> None:
        for _ in range(times):
            block = mmap.mmap(-1, size) if kind == "mapped" else bytearray(size)
            holder: list[object] = [block]
            holder.append(holder)
        done.append(times)

    gc.enable()
    if kind == "threads":
        threads = [threading.Thread(target=make) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    else:
        make()
    return sum(done)


def test_python_code_that_wants_too_much() -> None:
    told = "MemoryError: the micro-VM has no more memory: raise memory="
    with pytest.raises(udfvm.UDFError, match=told):
        blocks(200 << 20, 1, True)
    assert blocks(1 << 20, 1, True) == 1 << 20


def test_a_limit_of_the_function_itself_is_said() -> None:
    @udfvm.udf
    def limited(size: int) -> int:
        import resource

        limits = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), limits[1]))
        return len(bytearray(size))

    assert limited(1 << 20) == 1 << 20
    with pytest.raises(udfvm.UDFError, match=r"MemoryError: the function exceeds .*RLIMIT_AS"):
        limited(100 << 20)
    assert limited(2 << 20) == 2 << 20


@pytest.mark.parametrize("size", [2000, 100_000, 1 << 20])
def test_garbage_that_refers_to_itself_is_collected_before_memory_is_full(size: int) -> None:
    """The containers are too few for a collection by their number."""
    times = (256 << 20) // size
    assert blocks(size, times, True) == size * times


@pytest.mark.parametrize(("kind", "made"), [("mapped", 200), ("threads", 600)])
def test_garbage_of_other_memory_and_of_other_threads_is_collected(kind: str, made: int) -> None:
    assert garbage(1 << 20, 200, kind) == made


def test_garbage_is_kept_where_the_function_says_so() -> None:
    with pytest.raises(udfvm.UDFError, match="MemoryError"):
        blocks(100_000, 1000, False)
