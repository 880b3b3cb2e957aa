"""WebAssembly in micro-VMs does what its specification says.

``UDFVM_WAST`` names a folder of scripts: a clone of WebAssembly/testsuite. ``own.wast``, which is
always run, has a part of it in our own words.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wast_driver import run_script

OWN = Path(__file__).with_name("own.wast")
_FOLDER = os.environ.get("UDFVM_WAST", "")
_SCRIPTS = sorted(Path(_FOLDER).glob("*.wast")) if _FOLDER else []
_HALFWAY = "a module that is refused halfway leaves nothing in others"
#: Assertions that the driver makes otherwise than the specification: how many, and why.
_OTHERWISE = {
    "linking": (3, _HALFWAY),
    "linking0": (1, _HALFWAY),
    "linking3": (2, _HALFWAY),
    "names": (2, "wasmtime's reader of text refuses characters that look like others"),
    "type-subtyping": (3, "the driver imports functions of other types than the declared ones"),
}


def test_our_own_part_holds() -> None:
    outcome = run_script(OWN.read_text())
    assert not outcome.failed and not outcome.skipped
    assert outcome.held == OWN.read_text().count("\n(assert_")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"next") (i32.const 2)', '"next") (i32.const 3)'),
        ("nan:arithmetic", "nan:0x1"),
        ('"integer overflow")\n(assert_return', '"unreachable")\n(assert_return'),
        ('"next") (i32.const 1))', '"next") (i32.const 1))\n(assert_trap (invoke "next") "any")'),
        ('(func (result i32) (i64.const 0))) "type', '(func (result i64) (i64.const 0))) "type'),
    ],
)
def test_what_does_not_hold_is_found(right: str, wrong: str) -> None:
    """So the tests of scripts can fail."""
    text = OWN.read_text()
    assert right in text
    assert run_script(text.replace(right, wrong, 1)).failed


@pytest.mark.skipif(not _SCRIPTS, reason="UDFVM_WAST names no folder of scripts")
@pytest.mark.parametrize("script", _SCRIPTS, ids=[each.stem for each in _SCRIPTS])
def test_script(script: Path) -> None:
    outcome = run_script(script.read_text())
    count, _ = _OTHERWISE.get(script.stem, (0, ""))
    assert len(outcome.failed) == count, outcome.failed
    if not outcome.held:
        pytest.skip(f"nothing that the driver does: {dict(outcome.skipped)}")
