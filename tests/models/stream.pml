/* A streaming call: the caller's thread posts requests and takes replies; the thread of the vCPU is
 * in the guest, sleeps, or ended for want of a request; the guest answers, loops, or changes what it
 * said. Then the stream ends, and the VM is restored and called again: call/streaming.c and
 * call/stream_thread.c of udfvm/vmm/core, host/complete.c of guest/kernel.
 *
 * Holds: a reply is read once, after it was written, and is that of its request; what was checked of
 * it is what is used; nobody waits for ever; nobody restores or enters a VM whose vCPU runs, and
 * none is entered before it is restored. */
#include "mutants.inc"

#define REQUESTS 3

#define PARKS_LATE    1  /* the thread looks for a request before it says that it sleeps */
#define LOOKS_EARLY   2  /* the caller looks whether the thread sleeps before it posts */
#define NUMBER_FIRST  3  /* the guest writes a reply's number before the reply */
#define READ_TWICE    4  /* a reply may be received that was received already */
#define NOT_OWED      5  /* a request may be sent before the last reply was received */
#define HEADER_TWICE  6  /* the length is read again after its check */
#define DORMANT_QUIET 7  /* the thread ends without saying so */
#define WAKE_UNLOCKED 8  /* the caller wakes the thread without the lock */
#define NO_KICK       9  /* who ends a stream does not take the vCPU out of the guest */
#define NO_WAKE       10 /* nor wake the thread */
#define STOPS_LATE    11 /* it says that the stream ends after it woke the thread */
#define NO_JOIN       12 /* it does not wait for the thread */
#define NOT_RESTORED  13 /* the next call finds the VM as the stream left it */
#define STALE_REPLY   14 /* the reply of the stream before is not cleared */

#define GOOD 1
#define BAD  2

byte request, number = 1, value, length = GOOD; /* the call page, and an old reply: guest memory */
byte seen;                                      /* the last request, by the guest */
byte posted, accepted;                   /* by the caller */
bool parked, stop, kicked, dormant, running, sleeping, woken, stuck, in_guest, dirty, stream_lock;

/* ---- The vCPU's thread, and the guest ---- */

/* exchange() in host/complete.c */
inline answer()
{
    seen = request;
    if
    :: is(NUMBER_FIRST) -> number = seen; value = seen
    :: else -> value = seen
    fi;
    length = GOOD;
    number = seen
}

/* The guest is hostile: it changes what it said, while it runs. */
active proctype liar()
{
end:
    do
    :: in_guest && length != BAD -> length = BAD; break
    od
}

/* nothing_to_do() in call/stream_thread.c */
#define nothing_to_do (!stop && (posted == accepted || posted == number))

/* wait_for_request() in call/stream_thread.c. Its wait ends by time only where there is nothing to
 * do: a wake-up that is lost is a deadlock. */
inline wait_for_request()
{
    lock(stream_lock);
    parked = !is(PARKS_LATE);
    do
    :: nothing_to_do ->
        if
        :: is(PARKS_LATE) -> parked = true
        :: else
        fi;
        atomic { woken = false; sleeping = true; unlock(stream_lock) }
        if
        :: atomic { woken -> sleeping = false }; lock(stream_lock)
        :: atomic { nothing_to_do -> sleeping = false }; lock(stream_lock); break
        fi
    :: else -> break
    od;
    if
    :: nothing_to_do -> dormant = !is(DORMANT_QUIET); goes_on = false
    :: else -> parked = false; goes_on = !stop
    fi;
    unlock(stream_lock)
}

/* run_stream() in call/stream_thread.c, run_guest() in call/stream_thread.c */
proctype thread()
{
    bool goes_on = !stop;
    do
    :: goes_on ->
        in_guest = true;
        dirty = true;
        do
        :: kicked -> goes_on = false; break
        :: !kicked && !stuck && request != seen -> answer()
        :: !kicked && !stuck && request == seen -> break /* none came for long: it exits */
        od;
        in_guest = false;
        if
        :: goes_on -> wait_for_request()
        :: else
        fi
    :: else -> break
    od;
    running = false
}

/* ---- The caller ---- */

/* udfvm_stream_start_thread() in call/stream_thread.c */
inline start_thread()
{
    running = true;
    run thread()
}

/* udfvm_stream_wake() in call/streaming.c, start_again() in call/streaming.c */
inline wake()
{
    if
    :: is(WAKE_UNLOCKED) -> again = dormant; woken = true
    :: else -> lock(stream_lock); again = dormant; woken = true; unlock(stream_lock)
    fi;
    if
    :: again -> !running; dormant = false; parked = false; start_thread()
    :: else
    fi
}

/* post() in call/streaming.c */
inline post()
{
    if
    :: is(LOOKS_EARLY) -> again = parked; request = posted + 1; posted++
    :: else -> request = posted + 1; posted++; again = parked
    fi;
    if
    :: again -> wake()
    :: else
    fi
}

/* wait_for_reply() in call/streaming.c: it gives up, at a deadline, on a guest that is stuck */
inline wait_for_reply()
{
    if
    :: number == posted
    :: stuck -> failed = true
    fi
}

/* accept_reply() in call/streaming.c: the header is copied, the copy checked and used */
inline accept_reply()
{
    header = length;
    if
    :: header != GOOD -> failed = true
    :: else ->
        if
        :: is(HEADER_TWICE) -> header = length
        :: else
        fi;
        assert(header == GOOD && value == posted);
        assert(read == posted - 1);
        read = posted;
        accepted = posted
    fi
}

/* udfvm_vm_stream_receive() in call/streaming.c */
inline receive()
{
    if
    :: posted == accepted && !is(READ_TWICE) /* refused */
    :: else ->
        wait_for_reply();
        if
        :: !failed -> accept_reply()
        :: else
        fi
    fi
}

/* udfvm_vm_stream_send() in call/streaming.c, go_on() in call/streaming.c */
inline send()
{
    if
    :: posted != accepted && !is(NOT_OWED) /* refused */
    :: else -> post()
    fi
}

/* udfvm_stream_stop_thread() in call/stream_thread.c, kick() in call/stream_thread.c */
inline stop_thread()
{
    stop = !is(STOPS_LATE);
    kicked = !is(NO_KICK);
    lock(stream_lock);
    woken = woken || !is(NO_WAKE);
    unlock(stream_lock);
    if
    :: is(STOPS_LATE) -> !woken || !sleeping; stop = true
    :: else
    fi;
    if
    :: !is(NO_JOIN) -> !running
    :: else
    fi
}

init
{
    byte read, header;
    bool again, failed;
    choose_mutant();
    atomic { if :: stuck = true :: stuck = false fi }
    /* start_stream() in call/streaming.c, clear_reply() in call/streaming.c */
    if
    :: !is(STALE_REPLY) -> number = 0
    :: else
    fi;
    request = 1;
    posted = 1;
    start_thread();
    do
    :: !failed && posted < REQUESTS -> send()
    :: !failed -> receive()
    :: failed || posted == REQUESTS || stuck -> break
    od;
    stop_thread(); /* udfvm_stream_end() in call/streaming.c */
    if /* udfvm_vm_restore() in call/restore.c */
    :: !is(NOT_RESTORED) -> assert(!in_guest && !running); dirty = false
    :: else
    fi;
    assert(!dirty && !in_guest) /* udfvm_vm_call() in call/call.c */
}
