"""Programs of native functions, and the ways to link them."""

from __future__ import annotations

import atexit
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import udfvm

SOURCE = r"""
#include <udfvm.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

static char *prepared;
static int arguments;

UDFVM_SCALAR(half, f64, (f64, value)) { return value / 2; }
UDFVM_SCALAR(letter, text, (i64, index)) { return (udfvm_text){ prepared + index, 1 }; }
UDFVM_SCALAR(started, i64) { return arguments; }
UDFVM_SCALAR(serves_again, i64) { return udfvm_serve(); }
UDFVM_SCALAR(leaves, i64, (i64, status)) { exit((int)status); }
UDFVM_SCALAR(says, i64, (i64, value)) { return printf("%lld\n", (long long)value); }

double twice(double value) { return 2 * value; }
__attribute__((used)) static double thrice(double value) { return 3 * value; }

/* ---- Memory ---- */

static void *volatile kept;
static int64_t take(size_t bytes, int64_t most)
{
    int64_t taken = 0;
    while (taken < most && (kept = malloc(bytes)) != NULL) {
        memset(kept, 1, bytes);
        taken++;
    }
    return taken;
}
UDFVM_SCALAR(takes_large, i64, (i64, mib)) { return take(1 << 20, mib); }
UDFVM_SCALAR(takes_small, i64, (i64, mib)) { return take(4000, mib * 256) / 256; }

/* Its own memory and what it asks the runtime for, in turns. */
UDFVM_SCALAR(turns, text, (i64, rounds))
{
    enum { MAX_BLOCKS = 300, BYTES = 5000 };
    char *mine[MAX_BLOCKS], *theirs[MAX_BLOCKS];
    for (int64_t i = 0; i < rounds && i < MAX_BLOCKS; i++) {
        mine[i] = malloc(BYTES);
        memset(mine[i], 'm', BYTES);
        theirs[i] = udfvm_allocate(BYTES);
        memset(theirs[i], 't', BYTES);
    }
    for (int64_t i = 0; i < rounds && i < MAX_BLOCKS; i++)
        for (int k = 0; k < BYTES; k++)
            if (mine[i][k] != 'm' || theirs[i][k] != 't')
                udfvm_fail("block %d was overwritten", (int)i);
    return (udfvm_text){ theirs[0], 3 };
}

/* ---- Threads, and what is theirs ---- */

static _Thread_local int64_t mine = 7;
static void *add(void *sum)
{
    mine = 1;
    usleep(10);
    *(int64_t *)sum += 5;
    return NULL;
}
UDFVM_SCALAR(threads, i64, (i64, count))
{
    pthread_t made[8];
    int64_t sum = mine;
    for (int64_t i = 0; i < count && i < 8; i++)
        if (pthread_create(&made[i], NULL, add, &sum) != 0)
            udfvm_fail("no thread %d", (int)i);
    for (int64_t i = 0; i < count && i < 8; i++)
        pthread_join(made[i], NULL);
    return sum;
}
static void *fault(void *at) { *(volatile int *)at = 1; return NULL; }
UDFVM_SCALAR(thread_crashes, i64, (i64, address))
{
    pthread_t made;
    pthread_create(&made, NULL, fault, (void *)(intptr_t)address);
    pthread_join(made, NULL);
    return 0;
}

/* ---- Signals ---- */

static sigjmp_buf before;
static void recover(int number) { siglongjmp(before, number); }
UDFVM_SCALAR(recovers, i64, (i64, address))
{
    if (sigsetjmp(before, 1))
        return -1;
    return *(volatile int *)(intptr_t)address;
}

/* ---- Host functions ---- */

UDFVM_SCALAR(converts, f64, (text, currency))
{
    struct udfvm_any argument = udfvm_any_text(currency), found;
    return udfvm_call_host("rate", &argument, 1, &found) ? found.real : 0;
}

int main(int count, char **given)
{
    arguments = count * 100 + (getenv("HOME") != NULL) * 10 + (strrchr(given[0], '/') != NULL) +
                (getenv("GIVEN") ? 1000 * (int)strlen(getenv("GIVEN")) : 0);
    prepared = malloc(3 << 20);
    for (int i = 0; i < 3 << 20; i++)
        prepared[i] = (char)('a' + i % 26);
    if (getenv("UDFVM_RUNTIME"))
        signal(SIGSEGV, SIGSEGV_IS);
    return udfvm_serve();
}
"""

# musl of the distribution, linked by Zig's lld; or Zig's own musl, all of which Zig compiles first:
# 48 seconds of a processor.
MUSL_LIBRARY = Path("/usr/lib/x86_64-linux-musl")
MUSL_OF_DISTRIBUTION = shutil.which("musl-gcc") is not None
MUSL_STARTS = [str(MUSL_LIBRARY / name) for name in ("rcrt1.o", "crti.o", "crtn.o")]
ZIG = [sys.executable, "-m", "ziglang"]


def _lld() -> str:
    """A folder in which gcc finds Zig's lld."""
    folder = Path(tempfile.mkdtemp(prefix="udfvm-lld-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    linker = folder / "ld.lld"
    linker.write_text(f'#!/bin/sh\nexec {shlex.join(ZIG)} ld.lld "$@"\n')
    linker.chmod(0o755)
    return str(folder)


def _musl() -> dict[str, list[str]]:
    """Commands that link statically with musl: to fixed addresses, lld's own from 0x200000 on or
    those of Zig, and position-independent.
    """
    if not MUSL_OF_DISTRIBUTION:
        zig = [*ZIG, "cc", "-target", "x86_64-linux-musl"]
        # With -fPIC, for -pie too has Zig one C library.
        return {"fixed": [*zig, "-fPIC", "-no-pie"], "pie": [*zig, "-fPIE", "-pie"]}
    gcc = ["musl-gcc", "-static", "-Wl,--no-dynamic-linker", f"-B{_lld()}", "-fuse-ld=lld"]
    return {
        "fixed": [*gcc, "-no-pie"],
        "pie": [*gcc, "-fPIE", "-Wl,-pie", "-nostartfiles", *MUSL_STARTS],
    }


MUSL = _musl()
LINKS = {
    "dynamic": ["gcc", "-pie", "-fPIE"],
    "dynamic, fixed": ["gcc", "-no-pie"],
    "static": ["gcc", "-static-pie", "-fPIE"],
    "static, fixed": ["gcc", "-static", "-no-pie"],
    "musl": MUSL["fixed"],
}
if MUSL_OF_DISTRIBUTION:
    LINKS["musl, dynamic"] = ["musl-gcc"]


def build(folder: Path, command: list[str], source: str, *flags: str) -> Path:
    program = folder / "program"
    words = [
        *command,
        "-O2",
        "-g",
        "-I",
        udfvm.get_include(),
        "-DSIGSEGV_IS=SIG_DFL",
        *flags,
        "-x",
        "c",
        "-",
        "-o",
        str(program),
    ]
    done = subprocess.run(words, input=source, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return program
