"""Handlers of signals that loop, raise, nest, jump, run out of stack, and lie about where they go
on, in C and in Python: each call ends as an error of its own kind, in time, or as it should. The
next call on the same VM is right.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import udfvm
from udfvm.errors import (
    CallTimeoutError,
    GuestCrashError,
    GuestDeadlockError,
    GuestExitError,
    UDFError,
)

HASTE = 0.15  # seconds: many of them never end
PATIENCE = 60.0
SOURCE = r"""
#define _GNU_SOURCE
#include <udfvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int64_t zero, count;
static greg_t where[3]; /* RIP, RSP, flags */

static void fault(void) { *(volatile char *)8 = 1; }
static void divide(void) { count = 10 / zero; }
static void undefined(void) { __asm__ volatile("ud2"); }
static void loop(int number) { for (;;) count += number; }
static void go_on(int number) { count += number; }
static void leave(int number) { _exit(number); }
static void jump(int number) { count++; siglongjmp(back, number); }
static void fault_again(int number) { count += number; fault(); }
static void raise_again(int number) { count++; raise(number); }
static void raise_other(int number) { count++; raise(number == SIGUSR1 ? SIGUSR2 : SIGUSR1); }
static void use_stack(int number)
{
    volatile char much[4096];
    much[0] = (char)number;
    use_stack(much[0] + 1);
    much[1] = much[0];
}
static void block_and_loop(int number)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    loop(number);
}
static void block_and_fault(int number)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    fault_again(number);
}
static void lie(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)number, (void)info;
    registers[REG_RIP] = where[0] ? where[0] : registers[REG_RIP];
    registers[REG_RSP] = where[1] ? where[1] : registers[REG_RSP];
    registers[REG_EFL] |= where[2];
}
static void spoil(int number, siginfo_t *info, void *context)
{
    ucontext_t *all = context;
    (void)number, (void)info;
    memset(all->uc_mcontext.fpregs, 0xff, 512 + 64);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_flags = flags };
    action.sa_handler = handler;
    sigaction(number, &action, NULL);
}
static void inform(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = { .sa_flags = SA_SIGINFO };
    action.sa_sigaction = handler;
    sigaction(number, &action, NULL);
}
static void other_stack(void *at, size_t length)
{
    const stack_t stack = { .ss_sp = at, .ss_size = length };
    sigaltstack(&stack, NULL);
}
static int64_t jumps(int64_t times)
{
    handle(SIGSEGV, jump, SA_ONSTACK);
    other_stack(malloc(65536), 65536);
    sigsetjmp(back, 1);
    if (times < 0 || count < times)
        fault();
    return count;
}

UDFVM_SCALAR(act, i64, (i64, how))
{
    sigset_t all;
    sigfillset(&all);
    count = 0;
    switch (how) {
    case 0: handle(SIGALRM, loop, 0); raise(SIGALRM); break;
    case 1: handle(SIGSEGV, go_on, 0); fault(); break;
    case 2: handle(SIGFPE, go_on, 0); divide(); break;
    case 3: handle(SIGILL, go_on, SA_NODEFER); undefined(); break;
    case 4: handle(SIGSEGV, fault_again, SA_NODEFER); fault(); break;
    case 5: handle(SIGSEGV, fault_again, 0); fault(); break;
    case 6: handle(SIGALRM, raise_again, SA_NODEFER); raise(SIGALRM); break;
    case 7: handle(SIGUSR1, raise_other, SA_NODEFER); handle(SIGUSR2, raise_other, SA_NODEFER);
        raise(SIGUSR1); break;
    case 8: handle(SIGALRM, raise_again, 0); raise(SIGALRM); break; /* pends as it returns */
    case 9: return jumps(1000);
    case 10: return jumps(-1);
    case 11: handle(SIGALRM, use_stack, 0); raise(SIGALRM); break;
    case 12: handle(SIGSEGV, use_stack, SA_ONSTACK); other_stack(malloc(8192), 8192); fault();
        break;
    case 13: handle(SIGSEGV, loop, SA_ONSTACK); other_stack((void *)0x600000000000, 65536); fault();
        break;
    case 14: handle(SIGSEGV, loop, SA_ONSTACK); other_stack((void *)-65536, 65536); fault(); break;
    case 15: handle(SIGALRM, block_and_loop, 0); raise(SIGALRM); break;
    case 16: handle(SIGSEGV, block_and_fault, 0); fault(); break;
    case 17: handle(SIGSEGV, SIG_IGN, 0); fault(); break;
    case 18: sigprocmask(SIG_SETMASK, &all, NULL); fault(); break;
    case 19: sigprocmask(SIG_SETMASK, &all, NULL); loop(1); break;
    case 20: handle(SIGTERM, leave, 0); raise(SIGTERM); break;
    case 21: inform(SIGALRM, lie); where[0] = 0x700000000000; raise(SIGALRM); break;
    case 22: inform(SIGALRM, lie); where[0] = (greg_t)(1ull << 63); raise(SIGALRM); break;
    case 23: inform(SIGALRM, lie); where[1] = (greg_t)(1ull << 63); raise(SIGALRM); break;
    case 24: inform(SIGALRM, lie); where[2] = 0x40100; raise(SIGALRM); break;
    case 25: inform(SIGALRM, spoil); raise(SIGALRM); break;
    case 26: syscall(SYS_rt_sigreturn); break;
    case 27: sigemptyset(&all); sigsuspend(&all); break;
    case 28: sigwaitinfo(&all, NULL); break;
    case 29: handle(SIGALRM, go_on, 0); for (int i = 0; i < 5000; i++) raise(SIGALRM);
        return count / SIGALRM;
    case 30: handle(SIGALRM, (void (*)(int))0x700000000000, 0); raise(SIGALRM); break;
    case 31: handle(SIGALRM, (void (*)(int))(1ull << 63), 0); raise(SIGALRM); break;
    case 32: kill(getpid(), SIGSTOP); loop(1); break;
    case 33: handle(SIGSEGV, go_on, 0);
        __asm__ volatile("movq $-8, %rsp\n\tpushq $1"); break;
    default: return 7;
    }
    return -1;
}
"""
CRASH, TIMEOUT = (GuestCrashError,), (CallTimeoutError,)
IN_C: dict[int, tuple[type[Exception], ...] | int] = {
    **dict.fromkeys((0, 1, 2, 3, 8, 10, 15, 19), TIMEOUT),
    **dict.fromkeys((4, 5, 6, 7, 11, 13, 14, 16, 17, 18, 21, 22, 23, 30, 31, 33), CRASH),
    12: CRASH + TIMEOUT,  # its stack grows over the program and the kernel's data: see below
    9: 1000,
    20: (GuestExitError,),
    **dict.fromkeys((24, 25, 26), CRASH),
    27: (GuestDeadlockError,),
    28: (GuestDeadlockError,),
    29: 5000,
    32: TIMEOUT,  # nothing could continue a program that stops
}


def ends(call: Any, how: object, expected: object) -> None:
    if isinstance(expected, int):
        assert call(how) == expected, how
        return
    assert isinstance(expected, tuple)
    with pytest.raises(expected):
        print(how, call(how))


def test_handlers_in_c() -> None:
    pool = udfvm.Pool(size=1)
    act = udfvm.from_c(SOURCE, "act", pool=pool, timeout=PATIENCE)
    hasty = act.with_options(timeout=HASTE)
    assert act(99) == 7
    for how, expected in IN_C.items():
        # What overwrote all memory below its stack ends somehow, as the layout of memory has it.
        never_ends = isinstance(expected, tuple) and CallTimeoutError in expected
        ends(hasty if never_ends else act, how, expected)
        assert act(99) == 7, how
        assert act(29) == 5000, how


told: list[int] = []


def note(number: int, frame: object) -> None:
    told.append(number)


def endless(*_: object) -> None:
    while True:
        pass


def again(number: int, frame: object) -> None:
    os.kill(os.getpid(), number)


def fails(*_: object) -> None:
    raise ValueError("in a handler")


def swallows(number: int, frame: object) -> None:
    while True:
        try:
            os.kill(os.getpid(), number)
            raise RuntimeError
        except BaseException:  # noqa: BLE001, S110 - it never ends
            pass


def sent(handler: Any, number: int = signal.SIGALRM) -> int:
    signal.signal(number, handler)
    os.kill(os.getpid(), number)
    return sum(range(10))


def touched() -> int:
    return len(ctypes.string_at(8))


def block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))


def started(target: Any) -> None:
    threading.Thread(target=target, daemon=True).start()


def many() -> int:
    signal.signal(signal.SIGALRM, note)
    for _ in range(300):
        os.kill(os.getpid(), signal.SIGALRM)
    return len(told)


# Python's own handler of a fault only notes it: the instruction faults for ever.
PROGRAMS: dict[str, Callable[[], object]] = {
    "none": lambda: 45 if signal.getsignal(signal.SIGALRM) == signal.SIG_DFL else 0,
    "loops": lambda: sent(endless),
    "sends itself": lambda: sent(again),
    "raises": lambda: sent(fails),
    "swallows": lambda: sent(swallows),
    "after a fault": lambda: (signal.signal(signal.SIGSEGV, note), touched()),
    "after a division": lambda: sent(note, signal.SIGFPE),
    "ignored": lambda: (signal.signal(signal.SIGSEGV, signal.SIG_IGN), touched()),
    "blocked": lambda: (block(), endless()),
    "blocked, and a fault": lambda: (block(), touched()),
    "waits": signal.pause,
    "waits for one": lambda: signal.sigwait([signal.SIGUSR1]),
    "in a thread": lambda: (started(endless), sent(endless)),
    "default": lambda: sent(signal.SIG_DFL, signal.SIGUSR1),
    "many": many,
}


@udfvm.udf(timeout=PATIENCE)
def handles(how: str) -> int:
    done = PROGRAMS[how]()
    return done if isinstance(done, int) else -1


IN_PYTHON: dict[str, tuple[type[Exception], ...] | int] = {
    "loops": TIMEOUT,
    "sends itself": (UDFError, CallTimeoutError),  # as deep as Python recurses
    "raises": (UDFError,),
    "swallows": (UDFError, CallTimeoutError, GuestCrashError),
    "after a fault": TIMEOUT,
    "after a division": 45,
    "ignored": CRASH,
    "blocked": TIMEOUT,
    "blocked, and a fault": CRASH,
    "waits": (GuestDeadlockError,),
    "waits for one": (GuestDeadlockError,),
    "in a thread": TIMEOUT,
    "default": CRASH,
    "many": 300,
}


def test_handlers_in_python() -> None:
    act = handles.with_options(pool=udfvm.Pool(size=1))
    hasty = act.with_options(timeout=HASTE)
    assert act("none") == 45
    for how, expected in IN_PYTHON.items():
        loops = isinstance(expected, tuple) and CallTimeoutError in expected
        ends(hasty if loops else act, how, expected)
        assert act("none") == 45, how
        assert act("many") == 300, how
