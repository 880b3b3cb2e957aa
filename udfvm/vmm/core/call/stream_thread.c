/* The vCPU's thread of a streaming call. It stays in the guest while requests come. It takes a
 * guest out that works past its deadline, or that goes on where nothing was asked of it, and sleeps
 * until the next request. After a while without one it ends. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/error.h"
#include "call/exchange.h"
#include "call/hypercall.h"
#include "call/stream.h"
#include "call/streaming.h"
#include "call/watchdog.h"

#define MAX_SLEEP_NS \
    1000000000u /* how long a sleeping stream keeps its thread, and its processor */

/* ---- Processors. Threads that spin against each other for a processor are slower than exits: so
 * only as many calls are streamed at a time as there are processors beside the caller's. ---- */

static atomic_int processors_taken;

void udfvm_stream_forget_processors(void)
{
    atomic_store(&processors_taken, 0);
}

bool udfvm_stream_take_processor(void)
{
    cpu_set_t set;
    const int usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) - 1 : 0;
    int taken = atomic_load(&processors_taken);
    while (taken < usable)
        if (atomic_compare_exchange_weak(&processors_taken, &taken, taken + 1))
            return true;
    return false;
}

void udfvm_stream_force_processor(void)
{
    atomic_fetch_add(&processors_taken, 1);
}

void udfvm_stream_give_processor(void)
{
    atomic_fetch_sub(&processors_taken, 1);
}

void udfvm_stream_let_processor_go(struct stream *stream)
{
    if (stream->has_processor)
        udfvm_stream_give_processor();
    stream->has_processor = false;
}

/* ---- Deadlines ---- */

uint64_t udfvm_stream_timeout_ticks(const struct udfvm_vm *vm)
{
    const uint64_t microseconds = vm->limits.timeout_ns / 1000;
    return vm->limits.timeout_ns == 0 || microseconds > UINT64_MAX / 1000000
               ? 0
               : stream_ticks(vm, microseconds + 1);
}

/* Where the guest has answered, the caller may do something else before it takes the reply. */
static bool nothing_to_do(const struct stream *stream)
{
    const unsigned long posted = atomic_load(&stream->words->posted);
    return !atomic_load(&stream->stop) &&
           (posted == atomic_load(&stream->words->accepted) ||
            posted == __atomic_load_n(&stream->reply->number, __ATOMIC_ACQUIRE));
}

/* The guest had nothing to do at an earlier look already, for longer than it may wait for a
 * request. */
static bool idle_for_long(struct stream *stream, uint64_t now)
{
    const unsigned long posted = atomic_load(&stream->words->posted);
    if (!nothing_to_do(stream))
        return false;
    if (stream->idle_number == posted)
        return udfvm_ticks_between(stream->idle_since, now) >
               stream_ticks(stream->vm, stream->vm->idle_spin_us);
    stream->idle_number = posted;
    stream->idle_since = now;
    return false;
}

static int check_deadlines(const struct stream *stream, uint64_t now, struct udfvm_error *error)
{
    const struct udfvm_vm *vm = stream->vm;
    const uint64_t allowed = udfvm_stream_timeout_ticks(vm);
    if (nothing_to_do(stream))
        return UDFVM_OK;
    if (allowed && udfvm_ticks_between(atomic_load(&stream->words->posted_at), now) > allowed)
        return udfvm_vm_fail_own_timeout(vm, error);
    return vm->end_ns && udfvm_monotonic_ns() >= vm->end_ns
               ? udfvm_fail(error, UDFVM_E_TIMEOUT,
                            "the call did not end in the time of its statement")
               : UDFVM_OK;
}

/* ---- The thread ---- */

/* Sleeps until there is a request to answer; false: the thread is to end. Where there is none for
 * long it ends as well: a thread that stayed would keep a process whose others have ended. */
static bool wait_for_request(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    atomic_store(&stream->words->parked, true);
    const uint64_t end_ns = udfvm_monotonic_ns() + MAX_SLEEP_NS;
    while (nothing_to_do(stream) && udfvm_condition_wait(&stream->wake, &stream->lock, end_ns))
        ;
    stream->dormant = nothing_to_do(stream);
    if (stream->dormant)
        udfvm_stream_let_processor_go(stream);
    else
        atomic_store(&stream->words->parked, false);
    const bool goes_on = !stream->dormant && !atomic_load(&stream->stop);
    pthread_mutex_unlock(&stream->lock);
    return goes_on;
}

/* After a signal: UDFVM_OK to go on. */
static int look(struct stream *stream, struct udfvm_error *error)
{
    struct udfvm_vm *vm = stream->vm;
    if (atomic_load(&vm->deadline.due)) {
        const uint64_t now = __rdtsc();
        UDFVM_TRY(check_deadlines(stream, now, error));
        if (idle_for_long(stream, now) && !wait_for_request(stream))
            return udfvm_fail(error, UDFVM_E_TIMEOUT,
                              "the stream was ended, or waits without a thread");
        udfvm_deadline_looked(&vm->deadline);
    }
    /* After the look, which lets the vCPU run on: whoever ends the stream says so first, and then
     * stops it. */
    return atomic_load(&stream->stop) || atomic_load(&vm->deadline.expired)
               ? udfvm_fail(error, UDFVM_E_TIMEOUT, "the stream was ended")
               : UDFVM_OK;
}

bool udfvm_stream_outside(struct stream *stream, struct errand *errand)
{
    pthread_mutex_lock(&stream->lock);
    stream->errand = errand;
    atomic_store(&stream->words->asks, true);
    while (!errand->done && !atomic_load(&stream->stop))
        pthread_cond_wait(&stream->wake, &stream->lock);
    atomic_store(&stream->words->asks, false);
    stream->errand = NULL;
    pthread_mutex_unlock(&stream->lock);
    return errand->done;
}

int udfvm_stream_serve(struct stream *stream, struct udfvm_error *error)
{
    pthread_mutex_lock(&stream->lock);
    struct errand *errand = stream->errand && !stream->errand->done ? stream->errand : NULL;
    pthread_mutex_unlock(&stream->lock);
    if (!errand)
        return UDFVM_OK;
    udfvm_errand_run(stream->vm, errand);
    if (udfvm_vm_forked(stream->vm))
        return udfvm_vm_fail_forked(error);
    pthread_mutex_lock(&stream->lock);
    errand->done = true;
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
    return UDFVM_OK;
}

/* Runs the guest until the thread is to end; how the last exit was. */
static int run_guest(struct stream *stream)
{
    struct udfvm_vm *vm = stream->vm;
    struct registers *registers = vm->machine.registers;
    for (;;) {
        const int kind = udfvm_vm_run_vcpu(vm, &stream->error);
        if (kind == HYPERCALL_INTERRUPTED) {
            if (look(stream, &stream->error) != UDFVM_OK)
                return HYPERCALL_FAILED;
            continue;
        }
        if (kind != HYPERCALL_COMPLETE || registers->rdi != UDFVM_STATUS_IDLE)
            return kind;
        registers->rax = 0;
        udfvm_hypervisor_load_registers(vm->machine.hypervisor);
        if (!wait_for_request(stream))
            return kind;
    }
}

static void *run_stream(void *argument)
{
    struct stream *stream = argument;
    struct udfvm_vm *vm = stream->vm;
    int kind = HYPERCALL_FAILED;
    atomic_store(&stream->number, (int)syscall(SYS_gettid));
    vm->deadline.looks = true;
    vm->deadline.ticker.timer = udfvm_vm_timer(vm);
    if (udfvm_deadline_start(&vm->deadline, vm->machine.hypervisor, 0, &stream->error) ==
            UDFVM_OK &&
        udfvm_vcpu_thread_begin(&stream->error) == UDFVM_OK && !atomic_load(&stream->stop))
        kind = run_guest(stream);
    udfvm_deadline_stop(&vm->deadline);
    if (stream->dormant)
        return NULL;
    if (kind != HYPERCALL_FAILED && !atomic_load(&stream->stop))
        udfvm_fail(&stream->error, UDFVM_E_PROTOCOL, "the guest left its streaming call");
    atomic_store(&stream->words->ended, true);
    return NULL;
}

/* The thread takes no signals: they are for the program's own threads. */
int udfvm_stream_start_thread(struct stream *stream, struct udfvm_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&stream->thread, NULL, run_stream, stream);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    stream->started = failed == 0;
    errno = failed;
    return failed ? udfvm_fail_errno(error, "starting the vCPU's thread") : UDFVM_OK;
}

/* Makes the vCPU's thread leave the guest, or its sleep. */
static void kick(struct stream *stream)
{
    udfvm_hypervisor_stop(stream->vm->machine.hypervisor);
    pthread_mutex_lock(&stream->lock);
    const bool runs = !stream->dormant;
    pthread_cond_signal(&stream->wake);
    pthread_mutex_unlock(&stream->lock);
    if (runs) /* or the number may be another thread's by now */
        udfvm_kick(atomic_load(&stream->number));
}

void udfvm_stream_stop_thread(struct stream *stream)
{
    atomic_store(&stream->stop, true);
    if (!stream->started)
        return;
    kick(stream);
    pthread_join(stream->thread, NULL);
    stream->started = false;
}
