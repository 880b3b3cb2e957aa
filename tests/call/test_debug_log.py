"""What the logger ``udfvm`` says at the level DEBUG: images, micro-VMs, pools."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import udfvm
from udfvm.vmm import notices
from udfvm.vmm.windows import Windows


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """All lines so far."""
    with caplog.at_level(logging.DEBUG, logger="udfvm"):

        class Lines(list[str]):
            def __contains__(self, pattern: object) -> bool:
                return any(re.fullmatch(str(pattern), each) for each in caplog.messages)

        yield Lines()
    notices.set_vm_hook(None)


def test_an_image_is_missing_then_built_then_found(
    lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = tmp_path.name  # in no other image

    def named() -> str:
        return number

    udfvm.udf(named)()
    assert r"image of UDF 'named': not in the cache \(.*\.layer\): it is built" in lines
    assert r"image of UDF 'named': there after .* s" in lines
    assert r"image of UDF 'named': found in the cache .*" not in lines
    udfvm.udf(named)()
    assert r"image of UDF 'named': found in the cache \(.*\.layer\)" in lines


@pytest.mark.parametrize("jail", [False, True])
def test_micro_vms_start_and_end(lines: list[str], jail: bool) -> None:
    kind = "jailed micro-VM" if jail else "micro-VM"

    def one() -> int:
        return 1

    with udfvm.Pool(size=2, tenant="log", jail=jail) as pool:
        function = udfvm.udf(one, pool=pool)
        function()
        assert rf"pool of 'log': a {kind} started, in .*" in lines
        assert rf"pool of 'log': a {kind} ended .*" not in lines
        pool.trim()
        ended = rf"pool of 'log': a {kind} ended after .* and \d+ calls?: "
        assert ended + "more were idle than are kept" in lines
        function()
        assert "pool of 'log': closed" not in lines
    assert "pool of 'log': closed" in lines
    assert ended + "its pool is closed" in lines


def test_a_micro_vm_with_larger_windows(lines: list[str]) -> None:
    pool = udfvm.Pool(size=2, tenant="large")

    @udfvm.udf(pool=pool)
    def three() -> int:
        return 3

    three()
    (image_pool,) = pool._list()
    windows = Windows(8 << 20, 8 << 20, 0)
    image_pool.give(image_pool.take(image_pool.base, windows))
    assert r"pool of 'large': a .*micro-VM ended .*: it had larger windows, for one call" in lines


def test_idle_micro_vms_end(lines: list[str]) -> None:
    pool = udfvm.Pool(size=2, tenant="idle")

    @udfvm.udf(pool=pool)
    def two() -> int:
        return 2

    two()
    (image_pool,) = pool._list()
    assert image_pool.trim_old(0, 1e-9) == 0
    assert r"pool of 'idle': a .*micro-VM ended .*: it was idle for long" in lines


def test_nothing_is_told_where_the_level_is_off() -> None:
    program = """
import sys
import udfvm
from udfvm.vmm import notices
from udfvm.vmm.windows import Windows

with udfvm.Pool(size=1) as pool:
    @udfvm.udf(pool=pool)
    def one() -> int:
        return 1
    assert one() == 1
    assert notices._Hook.take is None
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
