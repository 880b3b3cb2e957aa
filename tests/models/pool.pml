/* A pool: users take VMs for one of two images, call and give them back, while one closes or shrinks
 * idle VMs, and one shuts the pool: udfvm/vmm/core/pool. What is done with the pool's lock held is
 * one step (atomic).
 *
 * Holds: a VM has one user, and is entered restored and on the image that was asked for; there are
 * never more VMs than the limit; nobody waits for ever; a pool that everybody left is freed, once,
 * has no VM, and is not used afterwards. */
#include "mutants.inc"

#define MOST   2
#define NOBODY 255

#define NO_SIGNAL      1  /* a VM that becomes idle wakes nobody */
#define SILENT_SHUT    2  /* who shuts the pool wakes nobody */
#define NO_RESTORE     3  /* a VM becomes idle as its user left it */
#define BROKEN_STAYS   4  /* so does one that could not be restored */
#define NOT_BOUND      5  /* an idle VM stays on its image */
#define FORGETS_EARLY  6  /* a VM counts as closed before it is */
#define NO_REFERENCE   7  /* a VM that is taken holds no reference */
#define KEPT_WHEN_SHUT 8  /* a VM becomes idle in a pool that was shut */
#define SILENT_SHRINK  9  /* a VM that was shrunk wakes nobody */
#define SILENT_FORGET  10 /* a VM that is closed wakes nobody */
#define COUNTS_LATE    11 /* a new VM counts as live once it is open */
#define ROOM_COUNTS    12 /* a VM that is closed for another counts as gone before that is open */

mtype:where = { NONE, IDLE, TAKEN };
mtype:state = { SEALED, STOPPED, BROKEN };

mtype:where place[MOST] = NONE;
mtype:state state[MOST] = SEALED;
bit image[MOST];
bool used[MOST];

bool closed, freed;
byte limit, live, references = 5, waiting, signals;

#define any_idle (place[0] == IDLE || place[1] == IDLE)

inline signal()
{
    if
    :: waiting > signals -> signals++
    :: else
    fi
}

/* wait_for_vm() in pool/take.c, without its slices of time */
inline wait()
{
    waiting++;
    signals > 0; /* meanwhile the lock is not held */
    signals--;
    waiting--
}

/* udfvm_pool_retain() in pool/pool.c */
inline retain()
{
    d_step { assert(!freed); references++ }
}

/* udfvm_pool_close() in pool/pool.c; the last reference frees */
inline release()
{
    d_step {
        assert(!freed && references > 0);
        references--;
        if
        :: references == 0 ->
            freed = true;
            assert(!closed || !any_idle);
            assert(place[0] != TAKEN && place[1] != TAKEN);
            live = live - (place[0] == IDLE) - (place[1] == IDLE);
            place[0] = NONE;
            place[1] = NONE
        :: else
        fi
    }
}

/* udfvm_pool_forget_vm() in pool/pool.c, after the VM was closed */
inline forget_vm()
{
    atomic {
        assert(!freed);
        live--;
        if
        :: !is(SILENT_FORGET) -> signal()
        :: else
        fi
    }
}

inline close_vm(vm)
{
    if
    :: is(FORGETS_EARLY) -> forget_vm(); place[vm] = NONE
    :: else -> place[vm] = NONE; forget_vm()
    fi;
    vm = NOBODY
}

/* udfvm_pool_remove_idle() in pool/pool.c */
inline remove_idle(vm)
{
    if
    :: place[0] == IDLE -> vm = 0
    :: place[1] == IDLE -> vm = 1
    fi;
    place[vm] = TAKEN
}

/* pick_idle() in pool/take.c: one of the image, or another that moves over, which it does if no new
 * one may be made; for VMs with other windows one that makes room, only if it must */
inline pick_idle(vm)
{
    if
    :: any_idle && (!once || live == limit) -> remove_idle(vm)
    :: !any_idle || live < limit -> skip
    fi
}

/* reserve() in pool/take.c: an idle VM, or the place for a new one */
inline reserve()
{
    atomic {
        assert(!freed);
        do
        :: closed -> break
        :: else ->
            pick_idle(vm);
            if
            :: vm != NOBODY -> break
            :: vm == NOBODY && live < limit -> live = live + !is(COUNTS_LATE); opens = true; break
            :: else -> wait()
            fi
        od
    }
}

/* open_vm() in pool/take.c */
inline open_vm()
{
    atomic {
        if
        :: place[0] == NONE -> vm = 0
        :: else -> vm = 1; assert(limit == 2 && place[1] == NONE) /* no more than the limit */
        fi;
        place[vm] = TAKEN;
        state[vm] = SEALED;
        image[vm] = wanted
    }
}

/* Another VM is opened in the place of one that is closed, which counts on. */
inline make_room(vm)
{
    atomic {
        place[vm] = NONE;
        live = live - is(ROOM_COUNTS);
        vm = NOBODY;
        opens = true
    }
}

/* udfvm_pool_take_in_time() in pool/take.c, udfvm_pool_take_windows() in pool/take.c */
inline take()
{
    reserve();
    if
    :: vm != NOBODY && once -> make_room(vm)
    :: vm != NOBODY && !once ->
        /* udfvm_vm_usable() in call/vm.c, udfvm_vm_bind() in call/restore.c */
        if
        :: !is(NOT_BOUND) -> image[vm] = wanted
        :: is(NOT_BOUND)
        :: make_room(vm) /* it died while it was idle, or could not be moved */
        fi
    :: else
    fi;
    if
    :: opens -> open_vm(); live = live + is(COUNTS_LATE)
    :: opens -> forget_vm() /* it could not be opened */
    :: else
    fi;
    if /* taken() in pool/take.c */
    :: vm != NOBODY && !is(NO_REFERENCE) -> retain()
    :: else
    fi
}

/* udfvm_vm_call() in call/call.c */
inline call()
{
    atomic {
        assert(!used[vm] && place[vm] == TAKEN);
        assert(state[vm] == SEALED && image[vm] == wanted);
        used[vm] = true
    }
    if
    :: state[vm] = STOPPED
    :: state[vm] = BROKEN
    fi;
    used[vm] = false
}

/* udfvm_vm_restore() in call/restore.c, which may fail */
inline restore()
{
    if
    :: is(NO_RESTORE)
    :: !is(NO_RESTORE) -> state[vm] = SEALED
    :: !is(NO_RESTORE) -> state[vm] = BROKEN
    fi
}

/* put_idle() in pool/idle.c */
inline put_idle()
{
    atomic {
        assert(!freed);
        if
        :: !closed || is(KEPT_WHEN_SHUT) ->
            place[vm] = IDLE;
            vm = NOBODY;
            if
            :: !is(NO_SIGNAL) -> signal()
            :: else
            fi
        :: else
        fi
    }
}

/* udfvm_pool_give() in pool/idle.c */
inline give()
{
    restore();
    if
    :: !once && (state[vm] != BROKEN || is(BROKEN_STAYS)) -> put_idle()
    :: else
    fi;
    if
    :: vm != NOBODY -> close_vm(vm)
    :: else
    fi;
    release()
}

proctype user(bit wanted; bool once)
{
    byte vm = NOBODY;
    bool opens;
    take();
    if
    :: vm != NOBODY -> call(); give()
    :: else
    fi;
    release()
}

/* udfvm_pool_trim_old() in pool/idle.c */
inline trim_one()
{
    atomic {
        assert(!freed);
        if
        :: any_idle -> remove_idle(vm)
        :: else -> left = false
        fi
    }
    if
    :: vm != NOBODY -> close_vm(vm)
    :: else
    fi
}

/* shrink_old() in pool/idle.c */
inline shrink_one()
{
    atomic {
        if
        :: any_idle -> remove_idle(vm)
        :: else
        fi
    }
    if
    :: vm != NOBODY ->
        atomic { /* udfvm_vm_shrink() in call/restore.c, and then with the lock */
            if
            :: !closed ->
                place[vm] = IDLE;
                vm = NOBODY;
                if
                :: !is(SILENT_SHRINK) -> signal()
                :: else
                fi
            :: true /* it failed */
            fi
        }
        if
        :: vm != NOBODY -> close_vm(vm)
        :: else
        fi
    :: else
    fi
}

proctype keeper()
{
    byte vm = NOBODY;
    bool left;
    if
    :: trim_one()
    :: shrink_one()
    fi;
    release()
}

/* udfvm_pool_shut() in pool/pool.c, or never */
proctype shutter()
{
    byte vm = NOBODY;
    bool left = true;
    if
    :: skip ->
        atomic {
            closed = true;
            if
            :: !is(SILENT_SHUT) -> signals = waiting
            :: else
            fi
        }
        do
        :: left -> trim_one()
        :: else -> break
        od;
    :: skip
    fi;
    release()
}

init
{
    choose_mutant();
    if
    :: limit = 1
    :: limit = 2
    fi;
    atomic { run user(0, false); run user(1, false); run user(0, true); run keeper(); run shutter() }
    _nr_pr == 1; /* all have ended */
    assert(freed && live == 0 && place[0] == NONE && place[1] == NONE)
}
