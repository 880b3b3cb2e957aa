/* A hardened call: the caller hands it over to a thread behind the filter, and waits; the thread
 * enters the guest, has an errand for the caller, and gives the call back. A signal may end the
 * caller's sleep: then the guest leaves. A thread without a call for long ends, unless it is given
 * one in that moment: base/baton.c and call/vcpu_thread.c of udfvm/vmm/core.
 *
 * Holds: nobody waits for ever; one at a time uses the VM; a call has a thread that lives, and is
 * given to one thread; a guest that runs on leaves after a signal. */
#include "mutants.inc"

#define CALLS 2

#define SLEEPS_LATE  1 /* who waits looks for its turn before it says that it sleeps */
#define LOOKS_EARLY  2 /* who gives a turn looks whether the other sleeps before it gives it */
#define ALWAYS_ENDS  3 /* a thread without a call for long ends, although it was taken */
#define ENDS_QUIETLY 4 /* it ends without a word: it may be taken */
#define PUT_EARLY    5 /* the thread is put back to be taken before it has answered */
#define KICKS_FIRST  6 /* the caller looks whether the guest was entered before it stops it */
#define NO_STOP      7 /* it kicks the thread, and does not stop the guest */
#define ERRAND_QUIET 8 /* the thread does not wait for its errand */

byte asked = 1, answered, posted = 1, seen = 1; /* of the thread that there is */
bool asked_sleeps, asked_waits, answered_sleeps, answered_waits;
bool alive, idle, taken, threads_lock;
bool stop, told, entered, kicked, stuck, errand, interrupted;
byte users; /* of the VM */

/* udfvm_baton_give() in base/baton.c */
inline give(number, value, sleeps, waits)
{
    if
    :: is(LOOKS_EARLY) -> early = sleeps; number = value
    :: else -> number = value; early = sleeps
    fi;
    if
    :: early -> waits = false
    :: else
    fi
}

/* udfvm_baton_sleep() in base/baton.c: the kernel compares the number before it lets the thread
 * sleep. */
inline sleep(number, value, sleeps, waits)
{
    if
    :: is(SLEEPS_LATE) -> came = (number == value)
    :: else -> sleeps = true; came = (number == value)
    fi;
    if
    :: came
    :: else ->
        if
        :: atomic { is(SLEEPS_LATE) -> waits = true; sleeps = true }
        :: atomic { !is(SLEEPS_LATE) && number != value -> waits = true }
        :: atomic { !is(SLEEPS_LATE) && number == value -> skip }
        fi
    fi
}

/* ---- The thread ---- */

/* udfvm_vm_run_vcpu() in call/run.c: the guest asks for something once, then it ends or runs on. */
inline run_vcpu()
{
    users++;
    assert(users == 1);
    entered = true;
    interrupted = false;
    if
    :: stop -> interrupted = true
    :: else ->
        do
        :: kicked -> kicked = false; interrupted = true; break
        :: !kicked && !stuck -> break
        od
    fi;
    entered = false;
    users--
}

/* leave() in call/vcpu_thread.c */
inline leave()
{
    lock(threads_lock);
    ends = is(ALWAYS_ENDS) || idle;
    if
    :: ends -> alive = false; idle = idle && is(ENDS_QUIETLY)
    :: else
    fi;
    unlock(threads_lock)
}

/* udfvm_outside() in call/vcpu_thread.c */
inline outside()
{
    errand = true;
    give(answered, seen, answered_sleeps, answered_waits);
    if
    :: is(ERRAND_QUIET)
    :: else ->
        do
        :: asked == seen + 1 -> break
        :: else ->
            sleep(asked, seen + 1, asked_sleeps, asked_waits);
            !asked_waits;
            asked_sleeps = false
        od
    fi;
    seen++
}

/* serve() in call/vcpu_thread.c, wait_for_turn() in call/vcpu_thread.c */
proctype thread()
{
    bool early, came, ends;
    give(answered, seen, answered_sleeps, answered_waits);
    do
    :: asked == seen + 1 ->
        seen++;
        if
        :: outside()
        :: skip
        fi;
        run_vcpu();
        errand = false;
        give(answered, seen, answered_sleeps, answered_waits)
    :: asked != seen + 1 ->
        sleep(asked, seen + 1, asked_sleeps, asked_waits);
        if
        :: !asked_waits -> asked_sleeps = false
        :: atomic { asked_waits -> asked_waits = false }; /* for long */
            asked_sleeps = false;
            if
            :: asked != seen + 1 ->
                leave();
                if
                :: ends -> break
                :: else
                fi
            :: else
            fi
        fi
    od
}

/* ---- The caller ---- */

/* stop_guest() in call/vcpu_thread.c */
inline stop_guest()
{
    told = true;
    if
    :: is(KICKS_FIRST) -> early = entered; stop = true
    :: is(NO_STOP) -> early = entered
    :: else -> stop = true; early = entered
    fi;
    if
    :: early -> kicked = true
    :: else
    fi
}

/* wait_for_answer() in call/vcpu_thread.c; a signal ends a sleep once in a call, and one comes for a
 * guest that runs on. */
inline wait_for_answer()
{
    do
    :: answered == posted -> break
    :: else ->
        sleep(answered, posted, answered_sleeps, answered_waits);
        if
        :: !answered_waits -> answered_sleeps = false
        :: atomic { answered_waits && (!signalled || (stuck && !told)) -> answered_waits = false };
            signalled = true;
            answered_sleeps = false;
            if
            :: answered != posted && taken -> stop_guest()
            :: else
            fi
        fi
    od
}

/* start() in call/vcpu_thread.c */
inline start()
{
    asked = 1; answered = 0; posted = 1; seen = 1;
    asked_sleeps = false; asked_waits = false; answered_sleeps = false; answered_waits = false;
    alive = true;
    run thread();
    wait_for_answer()
}

/* take() in call/vcpu_thread.c */
inline take()
{
    lock(threads_lock);
    found = idle;
    idle = false;
    unlock(threads_lock);
    if
    :: found
    :: else -> start()
    fi
}

/* put() in call/vcpu_thread.c */
inline put()
{
    lock(threads_lock);
    idle = true;
    unlock(threads_lock)
}

/* hand_over() in call/vcpu_thread.c */
inline hand_over()
{
    do
    :: posted++;
        give(asked, posted, asked_sleeps, asked_waits);
        wait_for_answer();
        if
        :: errand -> users++; assert(users == 1); users--
        :: else -> break
        fi
    od
}

/* udfvm_vcpu_thread_run() in call/vcpu_thread.c */
active proctype caller()
{
    bool early, came, found, signalled;
    byte calls;
    choose_mutant();
    do
    :: calls < CALLS ->
        calls++;
        signalled = false;
        take();
        assert(alive);
        taken = true;
        if
        :: stuck = true
        :: stuck = false
        fi;
        if
        :: is(PUT_EARLY) -> put()
        :: else
        fi;
        hand_over();
        assert(users == 0);
        assert(!stuck || interrupted);
        stop = false;
        told = false;
        kicked = false; /* it is taken by the next run: udfvm_signals_settle() */
        taken = false;
        if
        :: is(PUT_EARLY)
        :: else -> put()
        fi
    :: else -> break
    od
}
