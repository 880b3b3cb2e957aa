"""Large modules: compiled once, in a micro-VM, and kept in the cache for all of their functions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from large_modules import digest_of, large_module, mixed

import udfvm
from udfvm.errors import SignatureError
from udfvm.images.cache import cache_entries, clear_cache


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("UDFVM_CACHE", str(tmp_path))
    return tmp_path


def test_a_module_of_tens_of_thousands_of_functions(cache: Path) -> None:
    module = large_module(20_000)
    assert len(module) > 1_500_000
    udf = udfvm.from_wasm(module, "f")
    assert udf(5) % 2**64 == mixed(19_999, 5)
    [size] = [entry.stored_bytes for entry in cache_entries() if entry.kind == "layer"]
    assert 2 * len(module) < size < 8 * len(module)


def large_component(functions: int) -> str:
    """The text of a component with what ``large_module`` has."""
    bodies = []
    for index in range(functions):
        mixing = " ".join(
            f"i64.const {(index * 61 + step) % 63} i64.mul i64.const {step + 3} i64.shr_u local.get"
            " 0 i64.xor"
            for step in range(10)
        )
        call = f"call {index - 1}" if index % 100 else ""
        bodies.append(f"(func (param i64) (result i64) local.get 0 {mixing} {call})")
    exports = f'(export "f" (func {functions - 1})) (export "g" (func {functions - 2}))'
    lifted = "".join(
        f'(func (export "{name}") (param "x" s64) (result s64) (canon lift (core func $i'
        f' "{name}")))'
        for name in "fg"
    )
    return (
        f"(component (core module $m {' '.join(bodies)} {exports}) (core instance $i (instantiate"
        f" $m)) {lifted})"
    )


@pytest.mark.parametrize("kind", ["module", "component"])
def test_functions_of_one_module_share_what_was_compiled(cache: Path, kind: str) -> None:
    code = large_module(5000) if kind == "module" else large_component(5000)
    assert udfvm.from_wasm(code, "f")(5) % 2**64 == mixed(4999, 5)
    (kept,) = cache.glob("*.compiled")
    written = kept.stat().st_mtime_ns
    assert udfvm.from_wasm(code, "g", signature="(i64) -> i64")(5) % 2**64 == mixed(4998, 5)
    assert [path.stat().st_mtime_ns for path in cache.glob("*.compiled")] == [written]
    with pytest.raises(SignatureError, match="exports no function h"):
        udfvm.from_wasm(code, "h")


def test_a_module_that_takes_more_memory_to_compile(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a module needs is known when it was compiled: the second micro-VM has more."""
    monkeypatch.setattr("udfvm.functions.compiled_requests._COMPILING", 1)
    module = large_module(20_000)
    with monkeypatch.context() as once:
        once.setattr("udfvm.functions.compiled_requests._MORE", 1)
        with pytest.raises(SignatureError, match="raise memory="):
            udfvm.from_wasm(module, "f", memory="64MiB").prepare()
    assert udfvm.from_wasm(module, "f", memory="64MiB")(5) % 2**64 == mixed(19_999, 5)


def test_compiled_code_that_is_damaged_is_made_again(cache: Path) -> None:
    module = large_module(4000)
    udfvm.from_wasm(module, "f").prepare()
    (kept,) = cache.glob("*.compiled")
    content = kept.read_bytes()
    assert content[:32] == digest_of(kept)
    of_another = hashlib.sha256(b"another.compiled\0" + content[32:]).digest() + content[32:]
    for damaged in (b"", content[:-1], content[:1000] + b"\xff" + content[1001:], of_another):
        kept.write_bytes(damaged)
        for path in cache.glob("*.layer"):
            path.unlink()
        assert udfvm.from_wasm(module, "g", name=f"g{damaged[:4].hex()}")(7) % 2**64 == mixed(
            3998, 7
        )
        assert kept.read_bytes()[:32] == digest_of(kept)
        assert kept.read_bytes() != damaged
    clear_cache()
    assert not kept.exists()


def test_small_modules_are_compiled_as_they_are_loaded(cache: Path) -> None:
    assert udfvm.from_wasm(large_module(100), "f")(5) % 2**64 == mixed(99, 5)
    assert not list(cache.glob("*.compiled"))


def test_a_large_module_that_does_not_compile() -> None:
    module = large_module(5000)
    with pytest.raises(SignatureError, match="the module is not valid: "):
        udfvm.from_wasm(module[:-100], "f")


def test_code_that_poses_as_compiled_is_no_module() -> None:
    """Only what the runtime made itself is taken as compiled."""
    for code in (b"m" + b"\x7fELF" + bytes(100), b"c" + bytes(300 << 10)):
        with pytest.raises(SignatureError, match="the module is not valid: "):
            udfvm.from_wasm(code, "f")
