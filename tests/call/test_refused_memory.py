"""Before an allocation fails, garbage that refers to itself is collected, however little it is."""

from __future__ import annotations

import pytest

import udfvm

MIB = 1 << 20


@udfvm.udf(memory="128MiB", timeout=120)
def allocates(kind: str, size: int, garbage: int, collecting: bool) -> int:
    """Makes MiB of garbage, less than a collection by memory in use waits for, then allocates."""
    import gc
    import mmap
    import threading

    def take() -> int:
        if kind == "mapped":
            return len(mmap.mmap(-1, size << 20))
        if kind == "bytes":
            return len(bytes(size << 20))
        if kind == "grown":
            grown = bytearray(1 << 20)
            grown *= size
            return len(grown)
        if kind == "list":
            return len([None] * (size << 17)) * 8
        if kind == "small":
            return len(list(range(1000, 1000 + (size << 20) // 40))) * 40
        return len(bytearray(size << 20))

    if not collecting:
        gc.disable()
    for _ in range(garbage):
        holder: list[object] = [bytearray(1 << 20)]
        holder.append(holder)
    del holder
    if kind != "thread":
        return take()
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(take()))
    thread.start()
    thread.join()
    return sum(taken)


@pytest.mark.parametrize("kind", ["block", "bytes", "grown", "list", "mapped", "small", "thread"])
def test_memory_that_garbage_holds_is_there_for_one_that_needs_it(kind: str) -> None:
    assert allocates(kind, 76, 28, True) >= 76 * MIB - 40


def test_what_no_collection_frees_is_still_refused() -> None:
    with pytest.raises(udfvm.UDFError, match="MemoryError"):
        allocates("block", 120, 28, True)
    assert allocates("block", 76, 28, True) == 76 * MIB


def test_nothing_is_collected_where_the_function_says_so() -> None:
    with pytest.raises(udfvm.UDFError, match="MemoryError"):
        allocates("block", 76, 28, False)


def test_arrays_of_numpy() -> None:
    pytest.importorskip("numpy")

    @udfvm.udf(memory="192MiB", timeout=120, packages=["numpy"])
    def array(garbage: int) -> bool:
        import numpy as np

        with open("/proc/meminfo") as file:
            free = next(int(line.split()[1]) >> 10 for line in file if line[:7] == "MemFree")
        for _ in range(garbage):
            holder: list[object] = [np.ones(1 << 20, np.uint8)]
            holder.append(holder)
        del holder
        size = (free - 6) << 20
        return len(np.empty(size, np.uint8)) == size

    assert array(24)


def test_code_without_the_lock_of_the_interpreter() -> None:
    """ctypes leaves it while a function of C runs."""

    @udfvm.udf(memory="128MiB", timeout=120)
    def foreign(size: int) -> bool:
        import ctypes

        malloc = ctypes.CDLL(None).malloc
        malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
        for _ in range(28):
            holder: list[object] = [bytearray(1 << 20)]
            holder.append(holder)
        del holder
        return malloc(size) is not None

    assert foreign(76 * MIB)
    assert not foreign(126 * MIB)


def test_finalisers_run_after_the_allocation_and_not_within() -> None:
    """They could change the very object that is growing."""

    @udfvm.udf(memory="128MiB", timeout=120)
    def grows(size: int) -> str:
        import gc
        import weakref

        told: dict[str, int] = {}
        grown = bytearray(1 << 20)

        class Noisy:
            def __del__(self) -> None:
                told["finaliser"] = len(grown)

        class Slotted:
            __slots__ = ()

            def __del__(self) -> None:
                told["of what the collector does not see"] = len(grown)

        class Plain:
            pass

        def generator():  # type: ignore[no-untyped-def]
            try:
                yield
            finally:
                told["generator"] = len(grown)

        suspended = generator()
        next(suspended)
        plain = Plain()
        references = [weakref.ref(plain, lambda _: told.update({"callback": len(grown)}))]
        for each in [Noisy(), ((Slotted(),),), suspended, plain]:
            holder: list[object] = [each]
            holder.append(holder)
        for _ in range(28):
            holder = [bytearray(1 << 20)]
            holder.append(holder)
        del each, holder, suspended, plain
        gc.callbacks.append(
            lambda phase, _: told.update({phase: len(grown)})  # type: ignore[arg-type]
        )
        grown *= size
        within = [name for name, length in told.items() if length != len(grown)]
        gc.callbacks.clear()
        gc.collect()
        names = sorted(told.keys() - {"start", "stop"})
        return f"{within} {names} {len(references)} {len(grown) >> 20}"

    everything = ["callback", "finaliser", "generator", "of what the collector does not see"]
    assert grows(76) == f"[] {everything} 1 76"


def test_a_refusal_that_was_made_good_is_not_told() -> None:
    """A later crash has another cause."""

    @udfvm.udf(memory="128MiB", timeout=120)
    def crashes(size: int) -> int:
        import ctypes

        for _ in range(28):
            holder: list[object] = [bytearray(1 << 20)]
            holder.append(holder)
        del holder
        taken = len(bytearray(size))
        ctypes.string_at(0)
        return taken

    with pytest.raises(udfvm.errors.GuestCrashError) as caught:
        crashes(76 * MIB)
    assert "raise memory=" not in str(caught.value)
