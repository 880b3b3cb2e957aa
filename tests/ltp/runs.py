"""Runs a test of LTP on the host and in a micro-VM.

On the host a test is what it is in a micro-VM: root over files, without other privileges, with a
`/tmp` and `/dev/shm` of its own, and no process that it could reach. Namespaces make it so. Their
users are none of this machine's, so that a test can harm nothing.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from ltp.outcomes import Outcomes, variants_of
from ltp.suite import Case

from udfvm import errors, vmm
from udfvm.images.host import LIBRARY_DIRECTORIES, SINGLE_FILES
from udfvm.images.hostfs import HostFS
from udfvm.installation import GUEST
from udfvm.limits import Limits

SECONDS = 60
MEMORY = 512 << 20
WINDOW = 4 << 20
SCRATCH = 128 << 20
LOG = 1 << 20

ENVIRONMENT = {
    "HOME": "/tmp",
    "KCONFIG_SKIP_CHECK": "1",  # a test that needs what is missing says so itself
    "LANG": "C.UTF-8",
    "LTP_COLORIZE_OUTPUT": "n",
    "LTP_VIRT_OVERRIDE": "kvm",  # what sleeps too long is not said: machines are busy
    "PATH": "/usr/bin",
    "TMPDIR": "/tmp",
}
USERS = "0 1000000 65536"  # those of the namespace, those of this machine, and how many
RIGHTS = ("chown", "dac_override", "dac_read_search", "fowner", "fsetid")  # as a guest's root has
# The first shell waits for its users. The second one is the first process of its namespace, which
# the signals that a test sends itself would not reach.
OUTSIDE = """
echo; read _ || exit
exec setpriv --reuid=0 --regid=0 --clear-groups \\
    unshare --pid --fork --kill-child --ipc --mount --mount-proc sh -c "$0" "$@"
"""
INSIDE = f"""
mount -t tmpfs none /tmp && mount -t tmpfs none /dev/shm && cd /tmp || exit 125
prlimit --core=0 --nofile=1024 \\
    setpriv --inh-caps=-all --bounding-set=-all,{",".join(f"+{each}" for each in RIGHTS)} \\
    "$0" "$@" </dev/null
exit $?
"""
TIMED_OUT = "timed out"

# Takes a test and its environment. Returns what it printed, and how it ended.
RunOne = Callable[[Case, dict[str, str]], tuple[str, str]]
NO_NAMESPACES = 125


def run(test: Case) -> tuple[Outcomes, Outcomes]:
    """Returns what a test said on the host and in a micro-VM, each variant of it."""
    return _every_variant(test, _on_host), _every_variant(test, _in_guest)


def _every_variant(test: Case, run_one: RunOne) -> Outcomes:
    outcomes = Outcomes()
    variant, variants = 0, 1
    while variant < variants:
        environment = {**ENVIRONMENT, "LTP_ONE_PROCESS": str(variant)}
        output, end = run_one(test, environment)
        if variant == 0:
            variants = variants_of(output)
        outcomes.add(f"variant {variant} " if variants > 1 else "", output, end)
        variant += 1
    return outcomes


def _on_host(test: Case, environment: dict[str, str]) -> tuple[str, str]:
    """Runs a variant on the host. Returns what it printed, and how it ended."""
    command = ["unshare", "--user", "--keep-caps", "sh", "-c", OUTSIDE, INSIDE]
    process = subprocess.Popen(
        [*command, str(test.program), *test.arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    for users in ("uid_map", "gid_map"):
        Path(f"/proc/{process.pid}/{users}").write_text(USERS)
    try:
        output, _ = process.communicate(b"\n", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return output.decode(errors="replace"), TIMED_OUT
    status = process.returncode
    text = output.decode(errors="replace")
    if status == NO_NAMESPACES:
        raise RuntimeError(f"no namespaces for tests: {text}")
    return text, f"signal {status - 128}" if status > 128 else f"exit {status}"


def _in_guest(test: Case, environment: dict[str, str]) -> tuple[str, str]:
    """Runs a variant in a micro-VM. Returns what it printed, and how it ended."""
    files = HostFS([str(test.program.parent), *LIBRARY_DIRECTORIES], SINGLE_FILES)
    arguments = [str(test.program), *test.arguments]
    variables = [f"{name}={value}" for name, value in environment.items()]
    strings = b"".join(os.fsencode(each) + b"\0" for each in (*arguments, *variables))
    payload = struct.pack("<QQII", MEMORY, 0, len(arguments), len(variables)) + strings
    limits = Limits(memory=MEMORY, timeout_ns=SECONDS * 1_000_000_000, max_log=LOG)
    kernel = (GUEST / "kernel.bin").read_bytes()
    try:
        vmm.boot(kernel, payload, MEMORY, WINDOW, files, limits, SCRATCH)
    except errors.BuildError as error:
        return error.report, _end(error.__cause__)
    raise AssertionError(f"{test.name} sealed an image")


def _end(error: BaseException | None) -> str:
    match error:
        case errors.GuestExitError():
            return f"exit {error.status}"
        case errors.GuestCrashError():
            return f"signal {error.signal}"
        case errors.CallTimeoutError():
            return TIMED_OUT
    return f"{type(error).__name__}: {error}"
