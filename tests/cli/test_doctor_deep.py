"""``udfvm doctor --deep``: each check holds here, and each can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from udfvm import Pool, vmm
from udfvm.call.pool import pools
from udfvm.cli.deep import checks, guest, vcpu
from udfvm.cli.deep.report import DIFFERS, FAILS, HOLDS, UNKNOWN, Check

TOPICS = [
    "State before and after",
    "x87 pointers (FIP and FDP)",
    "AMX, PKU and CET in leaf 0xD",
    "SMEP and UMIP",
    "MAXPHYADDR",
    "Split locks",
    "Dirty log (PML, accessed and dirty bits)",
    "Exits of a call",
]


def doctor(*options: str) -> subprocess.CompletedProcess[str]:
    program = "from udfvm.cli import main; main()"
    command = [sys.executable, "-c", program, "doctor", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def machine() -> checks.Machine:
    for pool in pools():  # else idle VMs end meanwhile, and the new VM may have their descriptors
        pool.trim(keep=0)
    others = frozenset(vcpu.descriptors())
    return checks.Machine(vmm.probe(), Pool(size=1, jail=False), others)


def test_every_check_holds_or_says_what_to_do() -> None:
    done = doctor("--deep", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["kvm"] == vmm.probe().vendor
    assert [check["check"] for check in found["checks"]] == TOPICS
    assert [check["rank"] for check in found["checks"]] == list(range(1, len(TOPICS) + 1))
    for check in found["checks"]:
        assert check["expected"] and check["seen"]
        assert check["status"] in (HOLDS, DIFFERS, UNKNOWN)
        assert check["advice"] or check["status"] != DIFFERS
    assert found["checks"][0]["status"] == found["checks"][1]["status"] == HOLDS


def test_text_has_all_parts() -> None:
    text = Check("T", "E", checks.Found(FAILS, "S", "A")).as_text(3)
    assert text == "3. T: fails\n   expected  E\n   seen      S\n   to do     A"


class Leaking(checks.Machine):
    """A machine whose calls find what the call before them left."""

    left: list[bytes] = []

    def run(self, code: bytes, timeout: float = 20) -> bytes:
        before = self.left[-1] if self.left else b""
        for disturbance in (guest.DISTURB, guest.FAULTING_X87):
            if code.startswith(disturbance):
                self.left.append(disturbance)
                before = b""
        return super().run(before + code, timeout)


@pytest.mark.parametrize("check", [checks.state, checks.pointers])
def test_what_a_call_left_is_found(machine: checks.Machine, check: object) -> None:
    Leaking.left.clear()
    assert callable(check)
    found = check(Leaking(*machine))
    assert Leaking.left and found.found.status == FAILS and found.found.advice


def test_pages_that_are_not_put_back_are_found(
    machine: checks.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kept:
        def with_options(self, **_: object) -> Kept:
            return self

        def __call__(self, count: int) -> int:
            return 1

    monkeypatch.setattr(guest, "write_pages", Kept())
    assert checks.dirty_log(machine).found.status == FAILS


def test_a_feature_that_is_offered_must_be_on(
    machine: checks.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves = {(7, 0): vcpu.Cpuid(0, 1 << 7, 1 << 2, 0), (0x80000008, 0): vcpu.Cpuid(29, 0, 0, 0)}
    monkeypatch.setattr(vcpu, "offered", lambda: leaves)
    monkeypatch.setattr(vcpu, "control_register_4", lambda _: 0)
    assert checks.ring0(machine).found.status == FAILS
    assert checks.addresses(machine).found.status == FAILS
    monkeypatch.setattr(vcpu, "control_register_4", lambda _: checks._PKE)
    standard = machine._replace(system=machine.system._replace(is_pvm=False))
    assert checks.components(standard).found.status == FAILS


def test_locks_that_fail_are_told(machine: checks.Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "SPLIT_LOCK", guest.ENDS["a crash"])
    found = checks.split_locks(machine).found
    assert found.status == DIFFERS and found.seen.startswith("GuestCrashError: ") and found.advice


def test_locks_that_are_not_made_are_found(machine: checks.Machine) -> None:
    class Without(checks.Machine):
        def run(self, code: bytes, timeout: float = 20) -> bytes:
            return bytes(16 + 512)

    assert checks.split_locks(Without(*machine)).found.status == FAILS


def test_exits_beyond_that_of_the_reply_are_found(
    machine: checks.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits = iter([0, 100_000_000])
    monkeypatch.setattr(vcpu, "counters", lambda _: {"exits": next(exits)})
    found = checks.exits(machine).found
    assert found.status == DIFFERS and found.advice and "exits" in found.seen


def test_a_virtual_processor_is_found_and_counts(machine: checks.Machine) -> None:
    descriptor = machine.vcpu()
    assert descriptor not in machine.others
    assert os.readlink(f"/proc/self/fd/{descriptor}").startswith("anon_inode:kvm-vcpu")
    assert set(vcpu.states(descriptor)) >= {"registers", "special registers", "events"}
    assert vcpu.counters(descriptor).get("exits", 1) >= 1
