/* Unlogged memory: after a call that wrote much, its pages are zeroed in chunks, by the worker and
 * by whoever enters the VM next: base/worker.c and memory/unlogged.c of udfvm/vmm/core. Two VMs
 * share the worker, which ends when it has nothing to do.
 *
 * Holds: each chunk is zeroed, and once; a VM is entered when all of them are; its memory goes when
 * nobody zeroes it; nobody waits for ever. */
#include "mutants.inc"

#define CHUNKS 2
#define VMS    2

#define NO_WAIT      1 /* who enters a VM does not wait for the worker's last chunk */
#define NOT_SETTLED  2 /* nor for anything */
#define TAKEN_TWICE  3 /* a chunk is taken without the lock */
#define NO_SIGNAL    4 /* the last chunk wakes nobody */
#define NO_OFFER     5 /* work is offered without a word to the worker, and only it does any */
#define STAYS_LISTED 6 /* abandoned work stays in the list */
#define NO_FINISH    7 /* abandoned work is not waited for */

byte next[VMS], done[VMS], chunks[VMS];
bool offered[VMS], gone[VMS], zeroed[4], worker_lock, worker_runs;
byte waiting, woken;

#define left(vm) (offered[vm] && next[vm] < chunks[vm])

/* do_chunk() in base/worker.c, zero_chunk() in memory/unlogged.c */
inline do_chunk(vm)
{
    index = next[vm];
    if
    :: is(TAKEN_TWICE) -> unlock(worker_lock); lock(worker_lock)
    :: else
    fi;
    next[vm] = index + 1;
    offered[vm] = offered[vm] && (next[vm] < chunks[vm] || is(STAYS_LISTED));
    unlock(worker_lock);
    assert(!gone[vm]);
    zeroed[vm * CHUNKS + index] = true;
    lock(worker_lock);
    assert(!gone[vm]);
    done[vm]++;
    if
    :: done[vm] == chunks[vm] && !is(NO_SIGNAL) -> woken = waiting
    :: else
    fi
}

/* run_worker() in base/worker.c, wait_for_work() in base/worker.c */
proctype worker()
{
    byte index;
    lock(worker_lock);
    do
    :: left(0) -> do_chunk(0)
    :: !left(0) && left(1) -> do_chunk(1)
    :: !left(0) && !left(1) -> break
    od;
    worker_runs = false;
    unlock(worker_lock)
}

/* udfvm_work_offer() in base/worker.c, start_worker() in base/worker.c */
inline offer(vm)
{
    lock(worker_lock);
    next[vm] = 0;
    done[vm] = 0;
    chunks[vm] = CHUNKS;
    offered[vm] = true;
    if
    :: !worker_runs -> worker_runs = true; run worker()
    :: !worker_runs /* it cannot be started */
    :: worker_runs
    fi;
    unlock(worker_lock)
}

/* udfvm_work_finish() in base/worker.c */
inline finish(vm)
{
    lock(worker_lock);
    do
    :: next[vm] < chunks[vm] && !is(NO_OFFER) -> do_chunk(vm)
    :: next[vm] >= chunks[vm] || is(NO_OFFER) -> break
    od;
    do
    :: done[vm] < chunks[vm] && !is(NO_WAIT) ->
        atomic { unlock(worker_lock); waiting++ }
        atomic { woken > 0 -> woken--; waiting-- }
        lock(worker_lock)
    :: else -> break
    od;
    unlock(worker_lock)
}

/* udfvm_work_abandon() in base/worker.c, udfvm_unlogged_abandon() in memory/unlogged.c */
inline abandon(vm)
{
    lock(worker_lock);
    offered[vm] = offered[vm] && is(STAYS_LISTED);
    if
    :: !is(STAYS_LISTED) -> chunks[vm] = next[vm]
    :: else
    fi;
    unlock(worker_lock);
    if
    :: !is(NO_FINISH) && !is(STAYS_LISTED) -> finish(vm)
    :: else
    fi
}

proctype user(byte vm)
{
    byte index;
    offer(vm); /* udfvm_unlogged_scrub() in memory/unlogged.c */
    if
    :: true -> /* udfvm_unlogged_settle() in memory/unlogged.c */
        if
        :: !is(NOT_SETTLED) -> finish(vm)
        :: else
        fi;
        assert(zeroed[vm * CHUNKS] && zeroed[vm * CHUNKS + 1] && done[vm] == CHUNKS)
    :: true -> abandon(vm) /* the VM is closed */
    fi;
    gone[vm] = true
}

init
{
    choose_mutant();
    atomic { run user(0); run user(1) }
}
